import assert from 'node:assert/strict';
import { DEFAULT_LIMITS, type Limits } from '../../../../src/engine/limits.ts';
import { Reader } from '../../../../src/engine/probe/reader.ts';
import { probeReader } from '../../../../src/engine/probe.ts';
import type { Facts } from '../../../../src/engine/types.ts';
import { Problem, type ProblemCode } from '../../../../src/problem.ts';

/** Probes bytes in memory, with the default limits but for those that are given. */
export const factsOf = (file: Uint8Array, limits: Partial<Limits> = {}): Promise<Facts> =>
  probeReader(Reader.over(file), { ...DEFAULT_LIMITS, ...limits });

/** Passes where the probe refuses the bytes with this code and a detail of this form. */
export async function refuses(
  file: Uint8Array,
  code: ProblemCode,
  detail: RegExp = /./,
  limits: Partial<Limits> = {},
): Promise<void> {
  await assert.rejects(factsOf(file, limits), (error: unknown) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.detail ?? '', detail);
    return true;
  });
}
