/** A catalog's file looked at from outside, by commands that work on it before or without a service. */
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pendingMigrations } from './migrate.ts';
import { isBusy, problemOf } from './sqlite-errors.ts';

const BUSY_TIMEOUT_MS = 1_000;
/** SQLITE_CORRUPT and SQLITE_NOTADB. */
const NO_CATALOG = new Set([11, 26]);

/**
 * Names of the migrations that the next start would apply: all of them where there is no catalog. Changes nothing.
 * @throws Problem invalid_configuration where a later release wrote it, dependency_down where it cannot be read
 */
export function pendingSqliteMigrations(path: string): string[] {
  const db = new DatabaseSync(existsSync(path) ? path : ':memory:', { timeout: BUSY_TIMEOUT_MS });
  try {
    db.exec('pragma query_only = on');
    return pendingMigrations(db);
  } catch (error) {
    throw problemOf(error);
  } finally {
    db.close();
  }
}

/**
 * Whether any process has the catalog open, told by the locks that SQLite holds for as long: they end with the process,
 * however it ends. Where nobody has, what is in the write-ahead log is in the file afterwards. False for a file that is
 * no catalog: nobody could work with it.
 */
export function isSqliteCatalogOpen(path: string): boolean {
  if (!existsSync(path)) return false;
  const db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    // Leaving the write-ahead log takes the whole file for oneself.
    const [row] = db.prepare('pragma journal_mode = delete').all();
    return row?.journal_mode !== 'delete';
  } catch (error) {
    if (isBusy(error)) return true;
    if (NO_CATALOG.has((error as { errcode?: number }).errcode ?? 0)) return false;
    throw problemOf(error);
  } finally {
    db.close();
  }
}
