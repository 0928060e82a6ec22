/** Numbered `.sql` files, each applied once, in order, in a transaction of its own. */
import { readdirSync, readFileSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { Problem } from '../../problem.ts';

const ownFolder = new URL('migrations/sqlite/', import.meta.url);

/**
 * @returns the names that were applied now
 * @throws Problem invalid_configuration where a later release has been here: its schema is not to be guessed at
 */
export function migrate(db: DatabaseSync, folder: URL = ownFolder): string[] {
  db.exec('create table if not exists migrations (name text primary key, applied_at text not null)');
  return pendingMigrations(db, folder).filter((name) => apply(db, name, folder));
}

/**
 * Names of those that have not been applied, in their order; writes nothing.
 * @throws Problem invalid_configuration as `migrate`
 */
export function pendingMigrations(db: DatabaseSync, folder: URL = ownFolder): string[] {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort();
  const isNew = !db.prepare("select 1 from sqlite_master where name = 'migrations'").get();
  const rows = isNew ? [] : db.prepare('select name from migrations order by name').all();
  const done = new Set(rows.map(({ name }) => String(name)));
  const unknown = [...done].filter((name) => !files.includes(name));
  if (unknown.length > 0) {
    throw new Problem('invalid_configuration', {
      detail: `The catalog was brought up to date by a later release: it has ${unknown.join(', ')}, which this one does not know.`,
    });
  }
  return files.filter((name) => !done.has(name));
}

function apply(db: DatabaseSync, name: string, folder: URL): boolean {
  db.exec('begin immediate');
  try {
    // Asked inside the transaction: another process may have been quicker.
    const isNew = !db.prepare('select 1 from migrations where name = ?').get(name);
    if (isNew) {
      db.exec(readFileSync(new URL(name, folder), 'utf8'));
      db.prepare('insert into migrations values (?, ?)').run(name, new Date().toISOString());
    }
    db.exec('commit');
    return isNew;
  } catch (error) {
    if (db.isTransaction) db.exec('rollback');
    throw error;
  }
}
