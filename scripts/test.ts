/**
 * Runs the tests: `npm test`, `npm test -- unit/engine` (files whose path contains a word),
 * `npm test -- --name=orientation` (tests whose title matches). With `CI=true` a skipped test is a failure: all
 * real programs and the image corpus are expected there (`TINTYPE_CORPUS=none` lets corpus tests be skipped).
 */
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';

/** One test; the slowest converts a folder of camera files on two busy cores. */
const TEST_TIMEOUT_MS = 120_000;
/** A file whose tests have ended and whose process has not: something in it was left open. */
const SILENCE_TIMEOUT_MS = TEST_TIMEOUT_MS + 30_000;

const root = resolve(import.meta.dirname, '..');
const inCi = process.env.CI === 'true';
const corpusWaived = process.env.TINTYPE_CORPUS === 'none';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: 'string', multiple: true } },
});

const files = globSync('test/**/*.test.ts', { cwd: root })
  .filter((file) => positionals.length === 0 || positionals.some((word) => file.includes(word)))
  .sort()
  .map((file) => resolve(root, file));
if (files.length === 0) {
  process.stderr.write(
    `no test file has ${positionals.map((word) => `"${word}"`).join(' or ')} in its path\n`,
  );
  process.exit(1);
}

const abort = new AbortController();
const stream = run({
  files,
  cwd: root,
  concurrency: Math.max(1, Math.min(4, availableParallelism())),
  timeout: TEST_TIMEOUT_MS,
  signal: abort.signal,
  ...(values.name && { testNamePatterns: values.name }),
});

const unfinished = new Set<string>();
const forbiddenSkips: string[] = [];
let failed = 0;
let silence = setTimeout(giveUp, SILENCE_TIMEOUT_MS);

stream.on('test:enqueue', heard);
stream.on('test:complete', heard);
stream.on('test:summary', ({ file }) => file && unfinished.delete(relative(root, file)));
stream.on('test:pass', ({ name, skip, file }) => {
  if (skip === undefined || skip === false) return;
  const reason = typeof skip === 'string' && skip ? skip : 'no reason given';
  if (corpusWaived && reason.includes('corpus')) return;
  forbiddenSkips.push(`${file ? relative(root, file) : ''}: ${name}: ${reason}`);
});
stream.on('test:fail', ({ todo }) => {
  if (todo === undefined || todo === false) failed++;
});
stream.compose(spec).pipe(process.stdout);

stream.on('end', () => {
  clearTimeout(silence);
  if (failed > 0) process.exitCode = 1;
  if (inCi && forbiddenSkips.length > 0) {
    process.exitCode = 1;
    process.stderr.write(
      `\nskipped, which CI does not allow:\n${forbiddenSkips.map((s) => `  ${s}\n`).join('')}`,
    );
  }
});

function heard({ file }: { file?: string | undefined }): void {
  if (file) unfinished.add(relative(root, file));
  clearTimeout(silence);
  silence = setTimeout(giveUp, SILENCE_TIMEOUT_MS);
}

function giveUp(): void {
  process.exitCode = 1;
  process.stderr.write(
    `\nnothing heard for ${SILENCE_TIMEOUT_MS / 1000} s; not ended, or not yet reported: ${[...unfinished].join(', ')}\n`,
  );
  abort.abort();
}
