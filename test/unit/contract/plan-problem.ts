import assert from 'node:assert/strict';
import { Problem } from '../../../src/problem.ts';

/** The `invalid_plan` that `run` throws. It names every field that is wrong. */
export function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof Problem, `expected a Problem, got ${(error as Error)?.stack ?? error}`);
    assert.equal(error.code, 'invalid_plan');
    assert.ok(error.errors && error.errors.length > 0, 'no field is named');
    for (const { path, message } of error.errors) {
      assert.ok(path !== '' && path.length < 1_000 && message !== '', JSON.stringify({ path, message }));
    }
    // However much was wrong, the answer is short and can be written down.
    assert.ok(JSON.stringify(error.serialize()).length < 20_000);
    return error;
  }
  assert.fail('expected a Problem');
}
