/** Catalog and store without a service: for the commands that look after them. */
import { existsSync } from 'node:fs';
import { type Config, invalidConfiguration } from '../config.ts';
import { openFsBlobs } from '../drivers/blobs/fs.ts';
import { migrateSqliteCatalog, openSqliteCatalog } from '../drivers/catalog/sqlite.ts';
import { pendingSqliteMigrations } from '../drivers/catalog/sqlite-offline.ts';
import { systemClock } from '../ports/clock.ts';
import type { BackupSource } from '../services/backup.ts';
import { expectNoRestore } from './restore-target.ts';

/**
 * What a running service has open as well.
 * @throws Problem `invalid_configuration` where there is no catalog, or one of another release; `dependency_down`
 */
export async function openStorage(config: Config): Promise<BackupSource & AsyncDisposable> {
  const { databasePath, storagePath } = config;
  if (!existsSync(databasePath)) {
    throw invalidConfiguration([{ path: 'DATABASE_PATH', message: 'there is no catalog yet' }]);
  }
  const pending = pendingSqliteMigrations(databasePath);
  if (pending.length > 0) {
    const message =
      'the catalog is of an earlier release. Use the release that runs it, or bring it up to date: tintype migrate';
    throw invalidConfiguration([{ path: 'DATABASE_PATH', message }]);
  }
  expectNoRestore(config);
  const catalog = await openSqliteCatalog(databasePath);
  try {
    expectNoRestore(config);
    const blobs = await openFsBlobs(storagePath);
    return {
      catalog,
      blobs,
      clock: systemClock,
      openCatalog: openSqliteCatalog,
      [Symbol.asyncDispose]: () => catalog.close(),
    };
  } catch (error) {
    await catalog.close();
    throw error;
  }
}

/** @throws Problem `invalid_configuration` where a later release wrote the catalog, `dependency_down` */
export function pendingMigrations({ databasePath }: Config): string[] {
  return pendingSqliteMigrations(databasePath);
}

/** @returns the names of the migrations that were applied now. @throws Problem as `pendingMigrations` */
export async function migrate(config: Config): Promise<string[]> {
  expectNoRestore(config);
  return migrateSqliteCatalog(config.databasePath);
}
