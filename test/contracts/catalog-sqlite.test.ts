import { join } from 'node:path';
import { openSqliteCatalog } from '../../src/drivers/catalog/sqlite.ts';
import { tempDir } from '../support/temp.ts';
import { catalogContract } from './catalog.ts';

catalogContract('sqlite', async (t) => {
  const catalog = await openSqliteCatalog(join(tempDir(t), 'catalog.db'));
  t.after(() => catalog.close());
  return catalog;
});
