/** Work on OpenCV's matrices: each is freed when the work ends, however it ends, and what is thrown is a Problem. */
import { Problem } from '../../problem.ts';
import { type OpenCv, openCv } from './load.ts';

/** Makes the scope free an object of OpenCV, and returns it. */
export type Own = <T extends { delete(): void }>(owned: T) => T;

/**
 * Runs `work` with OpenCV. It is synchronous, so that nothing else comes between its calls, and the random
 * generator starts from the same seed each time, so that the same input gives the same output.
 *
 * @throws Problem `internal` where OpenCV fails: what it is given is ours, not the client's
 */
export async function withOpenCv<T>(work: (cv: OpenCv, own: Own) => T): Promise<T> {
  const cv = await openCv();
  const owned: { delete(): void }[] = [];
  try {
    cv.setRNGSeed(1);
    return work(cv, (object) => {
      owned.push(object);
      return object;
    });
  } catch (error) {
    throw Problem.from(asError(cv, error));
  } finally {
    for (const object of owned.reverse()) object.delete();
  }
}

/** A C++ exception arrives as its address. */
export function asError(cv: OpenCv, thrown: unknown): unknown {
  if (typeof thrown !== 'number') return thrown;
  return new Error(`OpenCV: ${cv.exceptionFromPtr(thrown).msg.trim()}`);
}
