/**
 * One DATA_DIR that processes of the real service come and go on, as on a machine where things go wrong; and a look into
 * it from outside. Its renditions are small, so that hundreds of uploads are cheap.
 */
import { lstatSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { integrityOf } from '../../src/drivers/catalog/sqlite-integrity.ts';
import { filesIn } from './files.ts';
import type { ServerProcess } from './server-process.ts';
import { startServerProcess } from './server-process.ts';
import type { Ending } from './service.ts';
import { tempDir } from './temp.ts';
import { JWT_SECRET_KEY } from './uploads.ts';

/** Longer sides of the renditions, in px. */
export const SIDES = { thumbnail: 64, medium: 160 } as const;

const PRESETS = {
  web: {
    renditions: [
      { name: 'thumbnail', plan: 'w_64,h_64,f_webp,effort_0' },
      { name: 'medium', plan: 'w_160,h_160,f_jpeg' },
    ],
  },
};

/** What is wrong with what lies in a DATA_DIR; nothing, where all is well. */
export interface Audit {
  /** `ok`, or what SQLite, and the catalog's own rules, find. */
  integrity: string;
  /** Jobs that have not come to an end. */
  unfinished: number;
  /** Names in staging. */
  staged: string[];
  /** Folders that requests and tasks have left. */
  scratch: string[];
  /** Files in the store that no row knows. */
  orphans: string[];
  /** Rows whose file is missing or has another size. */
  missing: string[];
  /** Keys that are still to be deleted. */
  undeleted: number;
}

export class Installation {
  readonly dataDir: string;
  readonly #t: Ending;
  readonly #env: Record<string, string>;
  #server: ServerProcess | undefined;

  /** @param t a test's context, or `endWithSuite()`: the folder, and what runs on it, end with it */
  constructor(t: Ending, env: Record<string, string> = {}, dataDir: string = tempDir(t)) {
    this.#t = t;
    this.dataDir = dataDir;
    const presets = join(tempDir(t), 'presets.json');
    writeFileSync(presets, JSON.stringify(PRESETS));
    this.#env = {
      JWT_SECRET_KEY,
      PRESETS_FILE: presets,
      RATE_LIMIT_MAX_UPLOADS: '1000000',
      RETRY_DELAY_SECONDS: '0.1',
      MAX_RETRIES: '20',
      LOG_LEVEL: 'warn',
      ...env,
    };
  }

  /** For a command that works on the same folder. */
  get env(): Record<string, string> {
    return { ...this.#env, DATA_DIR: this.dataDir };
  }

  /** The server that was started last. */
  get server(): ServerProcess {
    if (!this.#server) throw new Error('no server was started');
    return this.#server;
  }

  /** Of the server that runs at the moment. */
  address = (): string | undefined => (this.#server?.alive() ? this.#server.address : undefined);

  async start(): Promise<ServerProcess> {
    this.#server = await startServerProcess(this.#t, { env: this.#env, dataDir: this.dataDir });
    return this.#server;
  }

  startWorker(): Promise<ServerProcess> {
    return startServerProcess(this.#t, { env: this.#env, dataDir: this.dataDir, role: 'worker' });
  }

  rows<T = Record<string, unknown>>(sql: string, ...values: (string | number)[]): T[] {
    return this.#use({ readOnly: true }, (db) => db.prepare(sql).all(...values) as T[]);
  }

  /** From outside, as nothing of the service does. */
  change(sql: string, ...values: (string | number)[]): void {
    this.#use({ readOnly: false }, (db) => db.prepare(sql).run(...values));
  }

  /** Where an object lies. */
  objectPath = (key: string): string => join(this.dataDir, 'blobs/objects', key);

  /** Waits until every job has come to an end. */
  async settled(timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (this.unfinished() > 0) {
      if (performance.now() > deadline) {
        const stuck = this.rows(
          "select status, step, count(*) n from processing_jobs where status not in ('completed', 'failed', 'cancelled') group by 1, 2",
        );
        throw new Error(`jobs have not ended within ${timeoutMs} ms: ${JSON.stringify(stuck)}`);
      }
      await sleep(100);
    }
  }

  unfinished(): number {
    const [row] = this.rows<{ n: number }>(
      "select count(*) n from processing_jobs where status not in ('completed', 'failed', 'cancelled')",
    );
    return row?.n ?? 0;
  }

  /** Of an installation on which nothing runs. */
  audit(): Audit {
    const blobs = new Map(
      this.rows<{ key: string; bytes: number }>('select key, bytes from blobs').map((row) => [
        row.key,
        row.bytes,
      ]),
    );
    const objects = filesIn(join(this.dataDir, 'blobs/objects'));
    const [queued] = this.rows<{ n: number }>('select count(*) n from blob_deletions');
    return {
      integrity: this.#use({ readOnly: false }, integrityOf),
      unfinished: this.unfinished(),
      staged: filesIn(join(this.dataDir, 'blobs/staging')),
      scratch: readdirSync(join(this.dataDir, 'work')),
      orphans: objects.filter((key) => !blobs.has(key)),
      missing: [...blobs]
        .filter(([key, bytes]) => sizeOf(this.objectPath(key)) !== bytes)
        .map(([key]) => key),
      undeleted: queued?.n ?? 0,
    };
  }

  #use<T>(options: { readOnly: boolean }, work: (db: DatabaseSync) => T): T {
    const db = new DatabaseSync(join(this.dataDir, 'tintype.sqlite'), { ...options, timeout: 10_000 });
    try {
      return work(db);
    } finally {
      db.close();
    }
  }
}

const sizeOf = (path: string): number | undefined => lstatSync(path, { throwIfNoEntry: false })?.size;
