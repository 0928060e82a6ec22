/** Whatever comes in is a Plan, or an `invalid_plan` that names what is wrong; and it never costs much to tell. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { NormalPlan } from '../../../src/contract/plan.ts';
import {
  planFromFlags,
  planFromQuery,
  planFromSegment,
  planToFlags,
  planToQuery,
  planToSegment,
} from '../../../src/contract/plan-codec.ts';
import { KEY_BY_NAME } from '../../../src/contract/plan-keys.ts';
import { normalizePlan, parsePlan, planHash } from '../../../src/contract/plan-normal.ts';
import { Problem } from '../../../src/problem.ts';
import { plans } from './plan-arbitrary.ts';
import { problemOf } from './plan-problem.ts';

const RUNS = { numRuns: 300 };

/** What is read must be a Plan like any other: one that every spelling brings back, under one hash. */
function isPlanOrRefused(read: () => NormalPlan): void {
  let plan: NormalPlan;
  try {
    plan = read();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problemOf(() => {
      throw error;
    });
    return;
  }
  assert.deepEqual(normalizePlan(plan), plan);
  const throughJson = JSON.parse(JSON.stringify(plan));
  assert.deepEqual(throughJson, plan, 'JSON can hold it');
  for (const back of [
    parsePlan(throughJson),
    planFromSegment(planToSegment(plan)),
    planFromQuery(planToQuery(plan)),
  ]) {
    assert.deepEqual(back, plan);
    assert.equal(planHash(back, '1'), planHash(plan, '1'));
  }
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'binary-ascii', maxLength: 200 }),
  // Halves of surrogate pairs, which UTF-8 cannot say.
  fc
    .array(fc.constantFrom('\ud83d', '\ude00', 'a', ',', '_', '\0', '\u2028'), { maxLength: 40 })
    .map((list) => list.join('')),
);
const NUMBERS = [
  ...[
    'NaN',
    'Infinity',
    '-Infinity',
    '-0',
    '0',
    '-1',
    '+1',
    '.5',
    '5.',
    '1e999',
    '1e-999',
    '1E5',
    '0x10',
    '1_000',
    '١٢',
  ],
  ...[
    '99999999999',
    '9'.repeat(400),
    `0.${'0'.repeat(30)}1`,
    '9007199254740993',
    '00000000001',
    '1,2,3,4,5,6,7',
    ',,,',
  ],
];
const WORDS = [
  ...[
    'auto',
    'cover',
    'fill',
    'face',
    'mm',
    'rgb',
    'bayer',
    'color',
    'high',
    'g4',
    'jpg',
    'svg',
    'apng',
    'true',
    'false',
  ],
  ...[
    'white',
    '#fff',
    'fff',
    '#12345',
    'transparent',
    '444',
    '4:4:4',
    'keep',
    'embedded',
    'constructor',
    '__proto__',
  ],
  ...[
    '00000000-0000-4000-8000-000000000001',
    '2.5',
    '0.5',
    '1',
    '90',
    '300',
    '100,100',
    '1,2,3,4',
    '1_2_3_4',
    'QUJD',
    '',
  ],
];
const name = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...KEY_BY_NAME.keys()) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', 'plan', 'op', ''),
  },
  { weight: 1, arbitrary: anyText },
);
const value = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...WORDS) },
  { weight: 2, arbitrary: fc.constantFrom(...NUMBERS) },
  anyText,
  fc.json(),
  fc.integer({ min: -10, max: 400 }).map(String),
  fc.double().map(String),
);
const tokens = fc.array(fc.tuple(name, value), { maxLength: 30 });
const segmentOf = (pairs: [string, string][]) =>
  pairs.map(([key, text]) => (text === '' ? key : `${key}_${text}`)).join(',');

/** A text in which some pieces are gone, doubled, swapped or something else. */
const mutated = (texts: fc.Arbitrary<string>) =>
  fc
    .tuple(
      texts,
      fc.array(fc.tuple(fc.nat(), fc.nat(12), fc.nat(4), anyText), { minLength: 1, maxLength: 6 }),
    )
    .map(([text, changes]) =>
      changes.reduce((whole, [seed, length, kind, other]) => {
        const at = whole.length === 0 ? 0 : seed % whole.length;
        const [before, piece, after] = [
          whole.slice(0, at),
          whole.slice(at, at + length),
          whole.slice(at + length),
        ];
        return [
          before + after,
          before + piece + piece + after,
          before + other + after,
          after + piece + before,
          piece,
        ][kind]!;
      }, text),
    );

describe('any text', () => {
  test('as a segment, in a query, among flags, is a plan or is refused by name', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        isPlanOrRefused(() => planFromSegment(text));
        isPlanOrRefused(() => planFromQuery([['plan', text]]));
        isPlanOrRefused(() => planFromQuery(new URLSearchParams(text)));
      }),
      RUNS,
    );
  });

  test('made of keys that there are, with any values', () => {
    let plansRead = 0;
    const counted = (read: () => NormalPlan) =>
      isPlanOrRefused(() => {
        const plan = read();
        plansRead++;
        return plan;
      });
    fc.assert(
      fc.property(fc.oneof(tokens, fc.array(fc.tuple(name, value), { maxLength: 2 })), (given) => {
        counted(() => planFromSegment(segmentOf(given)));
        counted(() => planFromQuery(given));
        counted(() => planFromFlags(given));
        counted(() => planFromFlags(given.map(([key, text]) => [`--${key}`, text])));
      }),
      { numRuns: 1000 },
    );
    assert.ok(plansRead > 20, `only ${plansRead} of them were plans: the test looks at refusals alone`);
  });

  test('that was a plan until somebody mistyped it', () => {
    const valid = plans.map((plan) => normalizePlan(plan));
    fc.assert(
      fc.property(mutated(valid.map(planToSegment)), (text) => isPlanOrRefused(() => planFromSegment(text))),
      RUNS,
    );
    fc.assert(
      fc.property(mutated(valid.map((plan) => JSON.stringify(plan))), (text) =>
        isPlanOrRefused(() => planFromQuery([['plan', text]])),
      ),
      RUNS,
    );
    fc.assert(
      fc.property(fc.shuffledSubarray(['a']), valid, fc.nat(), value, (_, plan, seed, other) => {
        const query = planToQuery(plan);
        query[seed % query.length]![1] = other;
        isPlanOrRefused(() => planFromQuery(query));
        const flags = planToFlags(plan).filter((_argument, i) => i !== seed % 40);
        isPlanOrRefused(() => planFromFlags(flags.map((flag) => [flag, other])));
      }),
      RUNS,
    );
  });
});

describe('any JSON', () => {
  test('is a plan or is refused by name', () => {
    const odd = fc.oneof(
      fc.constantFrom(
        Number.NaN,
        Number.POSITIVE_INFINITY,
        -0,
        1e308,
        -1e308,
        2 ** 53,
        1.5,
        '1',
        null,
        undefined,
        [],
        {},
      ),
      fc.anything(),
    );
    const operation = fc.tuple(plans, odd, fc.nat(), fc.nat()).map(([plan, other, which, field]) => {
      const operations = plan.operations ?? [];
      const chosen = operations[which % Math.max(1, operations.length)] ?? { op: 'flip' };
      const keys = Object.keys(chosen);
      return { ...chosen, [keys[field % keys.length]!]: other };
    });
    const document = fc.oneof(
      fc.anything(),
      fc.record({ operations: fc.array(operation, { maxLength: 4 }), output: odd }, { requiredKeys: [] }),
      fc.record({ operations: fc.array(odd), output: fc.dictionary(fc.string(), odd), preview: odd }),
      fc.json().map((text) => JSON.parse(text)),
    );
    fc.assert(
      fc.property(document, (input) => isPlanOrRefused(() => parsePlan(input))),
      { numRuns: 600 },
    );
  });

  test('with numbers that are none is refused', () => {
    for (const width of [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      -1,
      0,
      65_536,
      2.5,
      '600',
      null,
      [600],
      600n,
    ]) {
      const [error] = problemOf(() => parsePlan({ operations: [{ op: 'resize', width }] })).errors!;
      assert.equal(error?.path, 'operations.0.width', String(width));
    }
    problemOf(() => planFromQuery([['plan', '{"operations":[{"op":"resize","width":1e999}]}']]));
    problemOf(() => planFromQuery([['plan', '{"operations":[{"op":"blur","radius":-0}]}']]));
  });

  test('that names prototypes leaves them as they are', () => {
    for (const key of ['__proto__', 'constructor', 'prototype', 'toString']) {
      const [unknown] = problemOf(() => planFromQuery([[key, '1']])).errors!;
      assert.equal(unknown!.path, key);
      for (const text of [
        `{"output":{"${key}":{"polluted":1}}}`,
        `{"${key}":{"operations":[]}}`,
        `{"operations":[{"op":"${key}"}]}`,
        `{"operations":[{"op":"flip","${key}":{"polluted":1}}]}`,
        `{"operations":{"${key}":1,"length":2}}`,
      ]) {
        problemOf(() => planFromQuery([['plan', text]]));
      }
    }
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });

  test('that is deep or large is refused', () => {
    const deep = (open: string, close: string, n: number) => open.repeat(n) + close.repeat(n);
    for (const text of [
      `{"operations":${deep('[', ']', 100_000)}}`,
      `{"operations":[${deep('{"op":', '}', 100_000)}]}`,
      `{"output":${deep('{"a":', '}', 100_000)}`,
      `{"operations":[${'{"op":"flip"},'.repeat(100_000)}{"op":"flip"}]}`,
      `{"operations":[{"op":"watermark","text":"${'a'.repeat(1_000_000)}"}]}`,
      `{${Array.from({ length: 50_000 }, (_, i) => `"k${i}":1`).join(',')}}`,
    ]) {
      problemOf(() => planFromQuery([['plan', text]]));
    }
  });
});

describe('a text in a watermark', () => {
  const plan = (text: string) => parsePlan({ operations: [{ op: 'watermark', text }] });

  test('is any that can be drawn', () => {
    for (const text of [
      'a',
      '© Zoë 2026',
      'two\nlines',
      '😀👩‍👩‍👧',
      'שלום',
      '-x',
      '{"op":1}',
      'a'.repeat(200),
    ]) {
      isPlanOrRefused(() => plan(text));
      assert.deepEqual(plan(`  ${text.slice(0, 190)} \n`), plan(text.slice(0, 190)));
    }
  });

  test('is refused where a character is half, or none', () => {
    for (const text of [
      '',
      ' \n\t',
      '\ud83d',
      'a\ude00',
      'a\0b',
      'a\u0007',
      'a\tb',
      '\u009b31m',
      '\uffff',
      'a'.repeat(201),
    ]) {
      const [error] = problemOf(() => plan(text)).errors!;
      assert.equal(error!.path, 'operations.0.text', JSON.stringify(text));
    }
  });
});

describe('the work of reading', () => {
  /** Long texts of one pattern: what a regex that goes back and forth would take the square of the time for. */
  const PATTERNS = [
    'a',
    '9',
    '-',
    ',',
    '_',
    '1,',
    '1_',
    '0.',
    ' ',
    '#',
    'f',
    '%',
    '\0',
    '"',
    '[',
    '{"a":',
    'é',
    '\ud83d',
    '=',
    'A-',
  ];
  const SMALL = 2_000;
  const TIMES = 8;
  /** Of a cost that is linear; its square would be 64. */
  const MOST = TIMES * 4;
  /** Too little to be told from noise. The square of 16,000 steps is not to be had for it. */
  const NOISE_US = 50_000;

  const readers: Record<string, (text: string) => void> = {
    'as a segment': (text) => void planFromSegment(text),
    'as a whole plan': (text) => void planFromQuery([['plan', text]]),
    'as JSON': (text) => void planFromQuery([['plan', `{"operations":[${text}`]]),
    'as the name of a key': (text) => void planFromQuery([[text, '1']]),
    'in JSON, as every kind of value': (text) => {
      const operations = [
        { op: text },
        { op: 'resize', width: text, background: text, [text]: 1 },
        { op: 'watermark', text, image: text },
      ];
      parsePlan({ preview: text, operations, output: { format: text, background: text }, [text]: text });
    },
  };
  for (const key of new Set(KEY_BY_NAME.values())) {
    readers[`as ${key.long}`] = (text) => void planFromQuery([[key.long, text]]);
    readers[`as ${key.short} in a segment`] = (text) =>
      void planFromSegment(`${key.short}_${text.slice(0, 32_000)}`);
  }

  /** CPU of this thread, in µs: the least of a few runs is what the work costs. */
  function costOf(work: () => void, rounds: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 3; round++) {
      const before = process.threadCpuUsage();
      for (let i = 0; i < rounds; i++) work();
      const { user, system } = process.threadCpuUsage(before);
      least = Math.min(least, user + system);
    }
    return least;
  }

  const attempt = (read: (text: string) => void, text: string) => () => {
    try {
      read(text);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  };

  test('grows with the length of the text and no faster', () => {
    for (const pattern of PATTERNS) {
      const [short, long] = [SMALL, SMALL * TIMES].map((length) =>
        pattern.repeat(length / pattern.length).slice(0, length),
      ) as [string, string];
      // All readers together: one that is slow stands out of the sum, and the sum is long enough to be measured.
      const all = (text: string) => () => {
        for (const read of Object.values(readers)) attempt(read, text)();
      };
      const [small, large] = [costOf(all(short), 1), costOf(all(long), 1)];
      if (large <= Math.max(small * MOST, NOISE_US)) continue;
      // Which one? Noise is gone the second time.
      for (const [label, read] of Object.entries(readers)) {
        const [one, other] = [costOf(attempt(read, short), 3), costOf(attempt(read, long), 3)];
        const told = `${JSON.stringify(pattern)} ${label}: ${one} µs, ${TIMES} times as long ${other} µs`;
        assert.ok(other <= Math.max(one * MOST, NOISE_US), told);
      }
    }
  });

  test('is small for what is far too long', () => {
    const before = process.threadCpuUsage();
    for (const text of ['9'.repeat(5_000_000), '1,'.repeat(2_000_000), 'w_1,'.repeat(1_000_000)]) {
      for (const key of ['w', 'crop', 'f', 'fill', 'watermark-text', 'focus', 'no-such-key', text]) {
        attempt((long) => void planFromQuery([[key, long]]), text)();
      }
      attempt((long) => void planFromSegment(long), text)();
    }
    const { user, system } = process.threadCpuUsage(before);
    // Some 0.1 s; the square of any of these would be hours.
    assert.ok(user + system < 20_000_000, `${user + system} µs`);
  });
});
