/** What is said of an image or a job that has failed for good. */
import { PROBLEMS, Problem, type SerializedProblem } from '../problem.ts';

const UNPROCESSABLE = 422;

/**
 * Always a 422, whatever went wrong: the request that asks is a good one, and asking again does not help. A code with
 * another status stands in `failure_code`, and `processing_failed` in its place.
 */
export function failedProblem(lastError: SerializedProblem | null): Problem {
  const problem = Problem.deserialize(lastError ?? { code: 'internal' });
  const { code, detail, errors, extra, status } = problem;
  const told = { detail: detail ?? `${PROBLEMS[code].title}.`, ...(errors && { errors }) };
  if (status === UNPROCESSABLE) return new Problem(code, { ...told, ...(extra && { extra }) });
  return new Problem('processing_failed', { ...told, extra: { ...extra, failure_code: code } });
}
