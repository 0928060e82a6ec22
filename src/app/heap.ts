/** How the server's own process collects garbage: it moves bytes and holds few objects. */
import { setFlagsFromString } from 'node:v8';

/**
 * Keeps V8's young generation at its first size. Each 64 KB of a body is a buffer outside of the heap, which only a
 * collection gives back; in a large young generation so few objects die that V8 waits for the megabytes outside to
 * alarm it, and then marks the whole heap: 24 times in 100 uploads of 2 MB, for 18 ms of CPU each. Small and often, once
 * in 100, for 6 ms (`npm run bench:accept`).
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
