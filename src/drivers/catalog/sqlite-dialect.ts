/**
 * Kysely over `node:sqlite`. Kysely's own SQLite driver hands one connection to everybody, so that a query issued while
 * another's transaction is open would run inside it; here a connection belongs to one user at a time, and transactions
 * begin IMMEDIATE: they wait for the write lock at once, where a deferred one would fail when it first writes.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CompiledQuery, DatabaseConnection, Dialect, Driver, QueryResult } from 'kysely';
import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { isBusy } from './sqlite-errors.ts';

/** How long a transaction waits for another process's; such a one takes milliseconds, or a blob's deletion. */
const WRITE_LOCK_TIMEOUT_MS = 30_000;
const MAX_PAUSE_MS = 10;
const MAX_STATEMENTS = 200;
/** Lists of ids make statements that hardly come twice. */
const MAX_CACHED_SQL_CHARS = 2_000;

class Connection implements DatabaseConnection {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, { statement: StatementSync; returnsRows: boolean }>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { statement, returnsRows } = this.#prepare(sql);
    const values = parameters as (string | number | bigint | null | Uint8Array)[];
    // `all` runs a statement to its end, RETURNING too: none is left half-way, holding a snapshot.
    if (returnsRows) return { rows: statement.all(...values) as R[] };
    const { changes, lastInsertRowid } = statement.run(...values);
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  }

  // biome-ignore lint/correctness/useYield: part of Kysely's interface; nothing here streams
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('queries are small: none is streamed');
  }

  /**
   * Waits for the write lock without holding up the event loop, which SQLite's own busy handler would: it sleeps in
   * the thread.
   */
  async begin(): Promise<void> {
    const deadline = performance.now() + WRITE_LOCK_TIMEOUT_MS;
    for (let pauseMs = 1; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 1.5)) {
      try {
        this.#db.exec('begin immediate');
        return;
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw error;
      }
      await sleep(pauseMs * (0.5 + Math.random()));
    }
  }

  commit(): void {
    this.#db.exec('commit');
  }

  rollback(): void {
    // A full disk or an I/O error may have rolled back already; saying it again would hide that error behind another.
    if (this.#db.isTransaction) this.#db.exec('rollback');
  }

  #prepare(sql: string): { statement: StatementSync; returnsRows: boolean } {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#db.prepare(sql);
    const prepared = { statement, returnsRows: statement.columns().length > 0 };
    if (sql.length <= MAX_CACHED_SQL_CHARS) {
      if (this.#statements.size >= MAX_STATEMENTS) this.#statements.clear();
      this.#statements.set(sql, prepared);
    }
    return prepared;
  }
}

class OneConnectionDriver implements Driver {
  readonly #connection: Connection;
  #last: Promise<void> = Promise.resolve();
  #release: (() => void) | undefined;

  constructor(db: DatabaseSync) {
    this.#connection = new Connection(db);
  }

  async init(): Promise<void> {}

  /** Resolves when nobody uses the connection any more. */
  async destroy(): Promise<void> {
    await this.#last;
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const before = this.#last;
    let release!: () => void;
    this.#last = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    this.#release = release;
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    this.#release?.();
  }

  async beginTransaction(): Promise<void> {
    await this.#connection.begin();
  }
  async commitTransaction(): Promise<void> {
    this.#connection.commit();
  }
  async rollbackTransaction(): Promise<void> {
    this.#connection.rollback();
  }
}

export function sqliteDialect(db: DatabaseSync): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new OneConnectionDriver(db),
    createIntrospector: (kysely) => new SqliteIntrospector(kysely),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}
