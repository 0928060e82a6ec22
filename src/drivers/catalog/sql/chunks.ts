/** Databases limit the parameters of a statement; each value comes once. */
const CHUNK = 500;

export function* inChunks<T>(values: readonly T[]): Generator<T[]> {
  const distinct = [...new Set(values)];
  for (let i = 0; i < distinct.length; i += CHUNK) yield distinct.slice(i, i + CHUNK);
}
