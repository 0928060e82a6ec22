/**
 * Queries that are asked with each request for a picture, built once: building one costs several times what SQLite takes
 * to answer it.
 */
import type { Compilable, CompiledQuery, QueryResult } from 'kysely';
import type { Db } from './tables.ts';

type Value = string | number | null;

/** Stands in the built query where a value goes. */
class Blank {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * @param build is given a blank for each value, to be put where the value would stand and looked at in no other way; they
 * are taken one by one, since there is no list of them
 * @returns asks it of the catalog, or within a transaction
 */
export function repeated<V extends Record<keyof V, Value>, Row>(
  build: (db: Db, blanks: V) => Compilable<Row>,
): (db: Db, values: V) => Promise<QueryResult<Row>> {
  let built: CompiledQuery<Row> | undefined;
  const blanks = new Proxy({} as V, { get: (_, name) => new Blank(String(name)) });
  return (db, values) => {
    built ??= build(db, blanks).compile();
    const parameters = built.parameters.map((given) =>
      given instanceof Blank ? values[given.name as keyof V] : given,
    );
    return db.executeQuery({ ...built, parameters });
  };
}
