import assert from 'node:assert/strict';
import { Problem } from '../../src/problem.ts';

/** The Problem that a wrong configuration ends in. */
export function refusal(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof Problem, `expected a Problem, got ${error}`);
    assert.equal(error.code, 'invalid_configuration');
    return error;
  }
  assert.fail('expected a Problem');
}
