/** Every hostile picture of the corpus, and every hostile name, sent to the real server in a process of its own. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import sharp from 'sharp';
import type { ProblemDocument } from '../../src/contract/resources.ts';
import { PROBLEMS } from '../../src/problem.ts';
import {
  corpusDir,
  corpusMissing,
  good,
  goodFacts,
  hostile,
  hostileFacts,
  hostileNames,
} from '../support/corpus.ts';
import { descendants, processesHidden, processesIn, processStatus } from '../support/processes.ts';
import { assertPublished } from '../support/published.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { convert, endWithSuite, eventually, multipartParts, rawConnection } from '../support/service.ts';
import { trailingBytes } from '../support/trailing.ts';
import { noVideoTools } from '../support/videos.ts';

const MAX_CHILD_MEMORY_MB = 1500;
const PROCESSING_TIMEOUT_SECONDS = 20;
const AT_A_TIME = 4;
const GOOD_REQUEST_EVERY_MS = 200;
const MEMORY_SAMPLE_EVERY_MS = 100;

interface Exception {
  got: '415' | 'accept';
  reason: string;
}

const WITHOUT_FFMPEG = Object.fromEntries(
  [
    ...['gen-cut50-video-imovie.mp4', 'gen-cut50-video.webm', 'gen-flip24-video-imovie.mp4'],
    ...['gen-flip24-video.webm', 'gen-ftyp-only.mp4', 'mov-poc-fgw8.mov', 'mp4-poc-2340.mp4'],
  ].map((name): [string, Exception] => [name, { got: '415', reason: 'videos need ffmpeg' }]),
);
const NO_SIGNATURE: Exception = { got: '415', reason: 'no signature of a format is left in its bytes' };

/** Where another answer than the one of hostile.json is right. docs/formats.md tells it in full. */
const EXCEPTIONS: Record<string, Exception> = {
  ...(noVideoTools ? WITHOUT_FFMPEG : {}),
  'heic-github20.heic': NO_SIGNATURE,
  'raf-poc-857.raf': NO_SIGNATURE,
  'svgz-truncated.svgz': { got: '415', reason: 'a whole gzip stream, which holds JSON' },
  'jpg-lossless.jpg': { got: 'accept', reason: 'a baseline JPEG (SOF0) in truth' },
  'svg-as-jpg-gm.jpg': { got: 'accept', reason: 'an SVG by its bytes; drawn without the file that it names' },
};

/** 65,535 px wide: more than JPEG holds, which is told before anything is decoded. */
const FIRST_FORMAT: Record<string, string> = { 'tif-segfault.tif': 'png' };

const PAYLOAD =
  /<script|<\?php|<\?=\$_|alert\(|EICAR|PK\x03\x04|X-Injected|touch pwned|%PDF|\/etc\/passwd|<html|javascript:|HYPERLINK/i;

/** Their payload is text in EXIF, XMP or IPTC, which `metadata=keep` carries over as the text that it is. */
const TEXT_TAGS = [
  'gen-exif-csv-formula.jpg',
  'jpg-php-exif.jpg',
  'jpg-xss-all-metadata.jpg',
  'png-xss-all-metadata.png',
];

/** 422 for a picture that cannot be had, not for a plan that cannot be carried out. */
const NOT_DECODABLE = Object.entries(PROBLEMS)
  .filter(([code, { status }]) => status === 422 && !code.startsWith('invalid_'))
  .map(([code]) => code);

interface Answer {
  name: string;
  expect: string;
  query: string;
  response: Response;
  body: Buffer;
  problem: ProblemDocument | undefined;
}

function fits(expect: string, { response: { status }, problem }: Answer): boolean {
  const accepted = status === 200;
  return expect
    .replace(/,.*/, '')
    .split('/')
    .some((wanted) => {
      if (wanted.startsWith('accept')) return accepted;
      if (wanted === 'sanitise')
        return accepted || status === 415 || NOT_DECODABLE.includes(problem?.code ?? '');
      if (wanted === 'time-out answered') return problem?.code === 'processing_timeout';
      if (wanted === '422') return NOT_DECODABLE.includes(problem?.code ?? '');
      return status === Number.parseInt(wanted, 10);
    });
}

describe('the hostile corpus', { skip: corpusMissing }, () => {
  const ending = endWithSuite();
  let server: ServerProcess;
  let startedAt: string;
  let dataAtStart: string[];
  const answers: Answer[] = [];
  const goodAnswers: { status: number; ms: number }[] = [];
  const peakRssBytes = new Map<number, number>();

  before(async () => {
    server = await startServerProcess(ending, {
      env: {
        PROCESSING_TIMEOUT: String(PROCESSING_TIMEOUT_SECONDS),
        MAX_CHILD_MEMORY_MB: String(MAX_CHILD_MEMORY_MB),
      },
    });
    startedAt = (await health()).started_at;
    dataAtStart = readdirSync(server.dataDir);
    const over = new AbortController();
    const meanwhile = [goodRequests(over.signal), watchMemory(over.signal)];
    try {
      await inTurn(await hostileFiles(), async ({ name, expect, bytes }) => {
        const first = await send(name, expect, bytes, `format=${FIRST_FORMAT[name] ?? 'jpeg'}`);
        if (first.response.status === 200) {
          await send(name, expect, bytes, 'format=webp&metadata=strip&width=400');
        }
      });
    } finally {
      over.abort();
      await Promise.all(meanwhile);
    }
  });

  async function send(name: string, expect: string, bytes: Buffer, query: string): Promise<Answer> {
    const response = await convert(server, bytes, { query, filename: name });
    const body = Buffer.from(await response.arrayBuffer());
    const problem = response.ok ? undefined : JSON.parse(body.toString());
    const answer = { name, expect, query, response, body, problem };
    answers.push(answer);
    return answer;
  }

  async function goodRequests(over: AbortSignal): Promise<void> {
    const image = sharp({ create: { width: 200, height: 150, channels: 3, background: 'teal' } });
    const files = [await image.clone().jpeg().toBuffer(), await image.clone().png().toBuffer()];
    const sent: Promise<void>[] = [];
    while (!over.aborted) {
      const begun = performance.now();
      sent.push(
        convert(server, files[sent.length % 2]!, { query: 'width=50' }).then(async (response) => {
          await response.arrayBuffer();
          goodAnswers.push({ status: response.status, ms: performance.now() - begun });
        }),
      );
      await delay(GOOD_REQUEST_EVERY_MS);
    }
    await Promise.all(sent);
  }

  async function watchMemory(over: AbortSignal): Promise<void> {
    while (!over.aborted && !processesHidden) {
      for (const { pid, peakRssBytes: bytes } of descendants(server.pid)) {
        peakRssBytes.set(pid, Math.max(bytes, peakRssBytes.get(pid) ?? 0));
      }
      await delay(MEMORY_SAMPLE_EVERY_MS);
    }
  }

  const health = async () => {
    const response = await fetch(`${server.address}/health`);
    assert.equal(response.status, 200);
    return (await response.json()) as { status: string; started_at: string };
  };

  const label = ({ name, query, expect, response: { status }, problem }: Answer) => {
    const wanted = EXCEPTIONS[name] ? `${EXCEPTIONS[name].got}, ${EXCEPTIONS[name].reason}` : expect;
    return `${name} (${query}), expected ${wanted}: ${problem?.code ?? status} ${problem?.detail ?? ''}`;
  };

  test('each file is answered as hostile.json expects, or as the table of exceptions says', (t) => {
    const firsts = answers.filter(({ query }) => !query.includes('width='));
    assert.ok(firsts.length > 190, `${firsts.length} were sent`);
    // The second answer may be a refusal too: WebP takes all frames of an animation, JPEG the first.
    const wrong = answers.filter((answer) => {
      const { got } = EXCEPTIONS[answer.name] ?? {};
      return got === undefined
        ? !fits(answer.expect, answer)
        : !fits(got, answer) || fits(answer.expect, answer);
    });
    assert.deepEqual(wrong.map(label), []);
    const sent = new Set(firsts.map(({ name }) => name));
    const unsent = Object.keys(EXCEPTIONS).filter((name) => !sent.has(name));
    assert.deepEqual(unsent, [], 'exceptions without a file');
    const counts = Map.groupBy(firsts, ({ response, problem }) => problem?.code ?? `${response.status}`);
    t.diagnostic([...counts].map(([code, { length }]) => `${code} ${length}`).join(', '));
  });

  test('an exception stands in docs/formats.md', async () => {
    const page = await readFile(new URL('../../docs/formats.md', import.meta.url), 'utf8');
    assert.deepEqual(
      Object.keys(EXCEPTIONS).filter((name) => !page.includes(`\`${name}\``)),
      [],
    );
  });

  test('a refusal is a published problem, and never a fault of the server’s', () => {
    for (const { response, body, problem, ...answer } of answers) {
      const what = label({ response, body, problem, ...answer });
      assert.ok(response.status < 500, what);
      assertPublished('convert', response, problem);
      if (!problem) continue;
      assert.equal(PROBLEMS[problem.code].status, response.status, what);
      assert.notEqual(problem.code, 'decoder_crashed', what);
      assert.doesNotMatch(body.toString(), /\/tmp\/|\.ts:|node_modules|at \w+ \(/, what);
    }
  });

  test('no rendition carries a payload, and nothing lies behind its picture', () => {
    const carriers: string[] = [];
    for (const answer of answers.filter(({ response }) => response.ok)) {
      assert.equal(trailingBytes(answer.body), 0, label(answer));
      const payload = PAYLOAD.exec(answer.body.toString('latin1'))?.[0];
      if (payload !== undefined) carriers.push(`${answer.name} ${answer.query}`);
    }
    // Also shows that the pattern finds what it looks for.
    assert.deepEqual(
      carriers.sort(),
      TEXT_TAGS.map((name) => `${name} format=jpeg`),
    );
  });

  test('an SVG that names a file of the machine is drawn without it', async () => {
    const answer = answers.find(({ name }) => name === 'svg-as-jpg-gm.jpg');
    const { channels } = await sharp(answer!.body).stats();
    assert.ok(channels.every(({ min }) => min === 255));
  });

  test('a GIF without a palette gives the same pixels each time', async () => {
    const bytes = await readFile(hostile('gif-no-palette-leak.gif'));
    const bodies = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const response = await convert(server, bytes, { query: 'format=png&metadata=strip' });
        assert.equal(response.status, 200);
        return Buffer.from(await response.arrayBuffer());
      }),
    );
    for (const body of bodies) assert.ok(body.equals(bodies[0]!));
  });

  test('a HEIC that was cut off is refused, unless all of its picture is there', async (t) => {
    const files = goodFacts.filter(({ name }) => /\.(heic|heif|hif)$/.test(name)).map(({ name }) => name);
    const query = 'format=jpeg&metadata=strip&width=64';
    const whole: string[] = [];
    await inTurn(files, async (name) => {
      const bytes = await readFile(good(name));
      let picture: Buffer | undefined;
      for (const percent of [25, 50, 75, 90, 99]) {
        const cut = bytes.subarray(0, Math.floor((bytes.length * percent) / 100));
        const response = await convert(server, cut, { query });
        const body = Buffer.from(await response.arrayBuffer());
        if (!response.ok) {
          const what = `${name} at ${percent} %: ${body}`;
          assert.deepEqual([response.status, JSON.parse(`${body}`).code], [422, 'undecodable_image'], what);
          continue;
        }
        picture ??= Buffer.from(await (await convert(server, bytes, { query })).arrayBuffer());
        assert.ok(body.equals(picture), `${name} at ${percent} % is another picture`);
        whole.push(name);
      }
    });
    assert.ok(files.length >= 10);
    // The still of a motion photo comes first; its video makes up the rest of the file.
    assert.deepEqual([...new Set(whole)], ['heic-samsung-motion.heic']);
    t.diagnostic(`${files.length} files`);
  });

  test('good requests were answered meanwhile', (t) => {
    assert.ok(goodAnswers.length >= 5, `${goodAnswers.length} were sent`);
    assert.deepEqual(
      goodAnswers.filter(({ status }) => status !== 200),
      [],
    );
    const ms = goodAnswers.map((answer) => Math.round(answer.ms)).sort((a, b) => a - b);
    t.diagnostic(`${ms.length} good requests; median ${ms[ms.length >> 1]} ms, slowest ${ms.at(-1)} ms`);
  });

  for (const [form, parameter] of [
    ['as it is', (name: string) => `filename="${name}"`],
    ['in the extended form', (name: string) => `filename*=UTF-8''${encodeURIComponent(name)}`],
  ] as const) {
    test(`a hostile file name, sent ${form}, stays harmless`, async () => {
      const photo = await sharp({ create: { width: 40, height: 30, channels: 3, background: 'teal' } })
        .jpeg()
        .toBuffer();
      const statuses = new Map<string, number>();
      await inTurn(hostileNames, async (name) => {
        const head = `Content-Disposition: form-data; name="file"; ${parameter(name)}`;
        const { status, headers } = await sendByHand(multipartParts('B', [[head, photo]]));
        statuses.set(name, status);
        assert.ok([200, 400, 422].includes(status), `${JSON.stringify(name)}: ${status}`);
        assert.ok(!headers.some((line) => /^x-injected/i.test(line)));
        const dispositions = headers.filter((line) => /^content-disposition:/i.test(line));
        assert.equal(dispositions.length, status === 200 ? 1 : 0);
        if (status === 200) assertHarmless(dispositions[0]!);
      });
      const accepted = [...statuses.values()].filter((status) => status === 200);
      assert.ok(accepted.length >= hostileNames.length - 3, JSON.stringify([...statuses]));
    });
  }

  /** The status and the header lines of the answer, byte for byte. */
  async function sendByHand(form: Buffer): Promise<{ status: number; headers: string[] }> {
    const { socket, answer } = await rawConnection(server);
    socket.write(
      'POST /convert?width=8 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n' +
        `Content-Type: multipart/form-data; boundary=B\r\nContent-Length: ${form.length}\r\n\r\n`,
    );
    socket.write(form);
    const text = await answer;
    const [start = '', ...headers] = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n');
    return { status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(start)?.[1]), headers };
  }

  describe('afterwards', { skip: processesHidden }, () => {
    test('the server is the process that it was, and well', async (t) => {
      assert.ok(server.alive());
      const { status, started_at } = await health();
      assert.deepEqual([status, started_at], ['ok', startedAt]);
      assert.equal((await fetch(`${server.address}/ready`)).status, 200);
      assert.deepEqual(
        server.log().filter(({ level }) => Number(level) >= 50),
        [],
      );
      const { peakRssBytes: own = 0 } = processStatus(server.pid) ?? {};
      t.diagnostic(`the server's own peak: ${megabytes(own)} MB`);
    });

    test('no child of it went past its memory', (t) => {
      const peaks = [...peakRssBytes.values()].map(megabytes);
      assert.ok(peaks.length >= 2);
      assert.ok(Math.max(...peaks) <= MAX_CHILD_MEMORY_MB, `${peaks}`);
      t.diagnostic(`${peaks.length} processes; the largest held ${Math.max(...peaks)} MB`);
    });

    test('nothing that was temporary is left, and no process that has ended', async () => {
      await eventually('the scratch folders are gone', () => server.scratch().length === 0);
      await eventually('ended children are asked about', () =>
        descendants(server.pid).every(({ state }) => state !== 'Z'),
      );
    });

    test('it ends in good order, and leaves nothing', async () => {
      await server.close();
      assert.deepEqual(processesIn(server.dataDir), []);
      assert.deepEqual(readdirSync(join(server.dataDir, 'work')), []);
      const added = readdirSync(server.dataDir).filter((name) => !dataAtStart.includes(name));
      assert.deepEqual(added, []);
      for (const folder of Object.values(server.unused)) assert.deepEqual(readdirSync(folder), []);
    });
  });
});

const megabytes = (bytes: number): number => Math.ceil(bytes / 2 ** 20);

/** `AT_A_TIME` at a time. */
async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

/** A name that is a header value of one line, that nothing ends early, and that is no path. */
function assertHarmless(line: string): void {
  assert.match(line, /^[\x20-\x7e]+$/);
  const [, plain = '', extended] =
    /^content-disposition: attachment; filename="([^"\\/]+)"(?:; filename\*=UTF-8''([\w.%!#&+^`|~-]+))?$/i.exec(
      line,
    ) ?? [];
  assert.ok(plain, line);
  for (const name of [plain, decodeURIComponent(extended ?? plain.replaceAll('%', '%25'))]) {
    assert.match(name, /^[^.-].*\.jpg$/u, line);
    assert.doesNotMatch(name, /[/\\"<>|:*?$;\p{Cc}\u202e]/u, line);
  }
}

/** All that are on disk, and the three that never are. */
async function hostileFiles(): Promise<HostileBytes[]> {
  const carriers = await eicarCarriers();
  const files: HostileBytes[] = [];
  for (const { name, expect, sha256 } of hostileFacts) {
    const carrier = carriers.get(name);
    if (!carrier && !existsSync(join(corpusDir!, 'hostile', name))) continue;
    const bytes = carrier ?? (await readFile(hostile(name)));
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256, name);
    files.push({ name, expect, bytes });
  }
  return files;
}

interface HostileBytes {
  name: string;
  expect: string;
  bytes: Buffer;
}

/**
 * The EICAR string by itself, in a JPEG's comment and behind a PNG, as the corpus' generator makes them. No scanner
 * should take this file for one: the string is put together here.
 */
async function eicarCarriers(): Promise<Map<string, Buffer>> {
  const eicar = Buffer.from(
    ['X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-', 'STANDARD-ANTIVIRUS-', 'TEST-FILE!$H+H*'].join(''),
  );
  const jpeg = await readFile(good('jpeg-progressive.jpg'));
  const png = await readFile(good('png-rgba16.png'));
  const comment = Buffer.from([0xff, 0xfe, 0, eicar.length + 2]);
  return new Map([
    ['gen-eicar.jpg', eicar],
    ['gen-eicar-jpg-comment.jpg', Buffer.concat([jpeg.subarray(0, 2), comment, eicar, jpeg.subarray(2)])],
    ['gen-eicar-png-tail.png', Buffer.concat([png, eicar])],
  ]);
}
