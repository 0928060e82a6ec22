/**
 * The catalog in one SQLite file: WAL, one writer connection whose transactions begin IMMEDIATE and sync FULLy before
 * they resolve, one reader. Safe for several processes on one machine.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kysely } from 'kysely';
import type { Catalog } from '../../ports/catalog.ts';
import { Problem } from '../../problem.ts';
import { migrate } from './migrate.ts';
import { acceptMethods } from './sql/accept.ts';
import { activityMethods } from './sql/activity.ts';
import { blobMethods } from './sql/blobs.ts';
import { derivedMethods } from './sql/derived.ts';
import { eventMethods } from './sql/events.ts';
import { expectedMethods } from './sql/expected.ts';
import { expireMethods } from './sql/expire.ts';
import { holdMethods } from './sql/holds.ts';
import { idempotencyMethods } from './sql/idempotency.ts';
import { imageMethods } from './sql/images.ts';
import { jobMethods } from './sql/jobs.ts';
import { leaseMethods } from './sql/leases.ts';
import { makingMethods } from './sql/making.ts';
import { jobFrom, type OnDamage } from './sql/rows.ts';
import { statsMethods } from './sql/stats.ts';
import type { Access, Database } from './sql/tables.ts';
import { sqliteDialect } from './sqlite-dialect.ts';
import { isBusy, problemOf } from './sqlite-errors.ts';
import { integrityOf } from './sqlite-integrity.ts';

/** For what is short and rare: recovery after a crash, the switch to WAL. Transactions wait by themselves. */
const BUSY_TIMEOUT_MS = 5_000;
const OPEN_TIMEOUT_MS = 30_000;
const ALL_PAGES = 0x7fff_ffff;

export interface SqliteCatalogOptions {
  /** Told of a field that cannot be read; whoever asked gets the rest of the row. */
  onDamage?: OnDamage;
}

/**
 * Opens the catalog and brings its schema up to date.
 * @throws Problem invalid_configuration where a later release wrote it, dependency_down where it cannot be opened
 */
export async function openSqliteCatalog(path: string, options: SqliteCatalogOptions = {}): Promise<Catalog> {
  const { writer, reader } = await openMigrated(path);
  reader.exec('pragma query_only = on');
  // The writer's transactions retry by themselves, so that waiting holds nobody up.
  writer.exec('pragma busy_timeout = 0');
  const write = new Kysely<Database>({ dialect: sqliteDialect(writer) });
  const read = new Kysely<Database>({ dialect: sqliteDialect(reader) });
  const access: Access = { read, write, onDamage: options.onDamage ?? (() => {}) };
  const jobById = reader.prepare('select * from processing_jobs where job_id = ?');
  let closing: Promise<void> | undefined;

  async function close(): Promise<void> {
    await write.destroy();
    await read.destroy();
    reader.close();
    writer.exec('pragma wal_checkpoint(truncate)');
    writer.close();
  }

  const methods = {
    ...acceptMethods(access),
    ...expectedMethods(access),
    ...idempotencyMethods(access),
    ...leaseMethods(access),
    ...jobMethods(access),
    ...makingMethods(access),
    ...eventMethods(access),
    ...imageMethods(access),
    ...blobMethods(access),
    ...derivedMethods(access),
    ...holdMethods(access),
    ...expireMethods(access),
    ...statsMethods(access),
    ...activityMethods(access),

    // Asked for all the time, by clients that wait: the query builder would cost five times what the read does.
    async job(jobId: string) {
      const row = jobById.get(jobId) as Database['processing_jobs'] | undefined;
      return row && jobFrom(row, access.onDamage);
    },

    integrity: async () => withConnection(path, integrityOf),

    // All pages in one step, under one snapshot: in several steps, each write of another connection starts it anew.
    backup: (to: string) =>
      withConnection(path, async (db) => {
        await backup(db, to, { rate: ALL_PAGES });
        sync(to);
        sync(dirname(to));
      }),
  } satisfies Omit<Catalog, 'close'>;

  return {
    ...guarded(methods, () => closing !== undefined),
    close: () => (closing ??= close()),
  };
}

/** Brings the schema up to date. @returns the names of the migrations that were applied now */
export async function migrateSqliteCatalog(path: string): Promise<string[]> {
  const { writer, reader, applied } = await openMigrated(path);
  reader.close();
  writer.close();
  return applied;
}

async function openMigrated(
  path: string,
): Promise<{ writer: DatabaseSync; reader: DatabaseSync; applied: string[] }> {
  const deadline = performance.now() + OPEN_TIMEOUT_MS;
  for (;;) {
    let writer: DatabaseSync | undefined;
    try {
      mkdirSync(dirname(path), { recursive: true });
      writer = connect(path);
      const applied = migrate(writer);
      return { writer, reader: connect(path), applied };
    } catch (error) {
      writer?.close();
      // The switch to WAL asks for an exclusive lock and does not wait for it while others start as well.
      if (!isBusy(error) || performance.now() > deadline) throw cannotOpen(error);
    }
    await sleep(5 + Math.random() * 20);
  }
}

function cannotOpen(error: unknown): Problem {
  const problem = problemOf(error);
  if (problem instanceof Problem) return problem;
  return new Problem('dependency_down', { detail: 'The catalog cannot be opened.', cause: error });
}

function connect(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
  try {
    db.exec('pragma journal_mode = wal; pragma synchronous = full; pragma journal_size_limit = 67108864;');
  } catch (error) {
    db.close();
    throw error;
  }
  return db;
}

async function withConnection<T>(path: string, use: (db: DatabaseSync) => T | Promise<T>): Promise<T> {
  const db = connect(path);
  try {
    db.exec('pragma query_only = on');
    return await use(db);
  } finally {
    db.close();
  }
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Every method's errors as Problems, also those of a catalog that is being closed. */
function guarded<T extends object>(methods: T, isClosing: () => boolean): T {
  const wrapped: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(methods)) {
    wrapped[name] = async (...args: unknown[]) => {
      if (isClosing()) throw new Problem('shutting_down');
      try {
        return await (method as (...args: unknown[]) => Promise<unknown>)(...args);
      } catch (error) {
        if (isClosing() && !(error instanceof Problem)) throw new Problem('shutting_down', { cause: error });
        throw problemOf(error);
      }
    };
  }
  return wrapped as T;
}
