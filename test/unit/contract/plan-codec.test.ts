import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type NormalPlan, operationSchema, outputSchema, planSchema } from '../../../src/contract/plan.ts';
import {
  PLAN_FLAGS,
  planFromFlags,
  planFromQuery,
  planFromSegment,
  planToFlags,
  planToQuery,
  planToSegment,
} from '../../../src/contract/plan-codec.ts';
import { KEY_BY_NAME, PLAN_KEYS } from '../../../src/contract/plan-keys.ts';
import { normalizePlan, parsePlan, planHash } from '../../../src/contract/plan-normal.ts';
import { Problem } from '../../../src/problem.ts';
import { plans } from './plan-arbitrary.ts';

function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof Problem, `expected a Problem, got ${error}`);
    assert.equal(error.code, 'invalid_plan');
    return error;
  }
  assert.fail('expected a Problem');
}

const detailOf = (segment: string) => problemOf(() => planFromSegment(segment)).detail;
const query = (text: string) => planFromQuery(new URLSearchParams(text));

/** What the command line hands over: the arguments, paired by the table of flags. */
function pairs(args: string[]): [string, string][] {
  const takesValue = new Set(PLAN_FLAGS.filter((flag) => flag.valueName).map((flag) => `--${flag.name}`));
  const rest = [...args];
  const paired: [string, string][] = [];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    paired.push([name, takesValue.has(name) ? rest.shift()! : '']);
  }
  return paired;
}

describe('every spelling', () => {
  const SPELLINGS: Record<string, (plan: NormalPlan) => NormalPlan> = {
    segment: (plan) => planFromSegment(planToSegment(plan)),
    query: (plan) => planFromQuery(new URLSearchParams(new URLSearchParams(planToQuery(plan)).toString())),
    flags: (plan) => planFromFlags(pairs(planToFlags(plan))),
    JSON: (plan) => parsePlan(JSON.parse(JSON.stringify(plan))),
    'JSON in the query': (plan) => planFromQuery([['plan', JSON.stringify(plan)]]),
    'segment in the query': (plan) => planFromQuery([['plan', planToSegment(plan)]]),
  };

  for (const [name, through] of Object.entries(SPELLINGS)) {
    test(`brings any plan back unchanged: ${name}`, () => {
      fc.assert(
        fc.property(plans, (given) => {
          const plan = normalizePlan(given);
          const back = through(plan);
          assert.deepEqual(back, plan);
          assert.equal(planHash(back, '1'), planHash(plan, '1'));
        }),
      );
    });
  }

  test('has a key for every operation and every field that a plan can hold', () => {
    const places = PLAN_KEYS.map((key) => key.place);
    for (const option of operationSchema.options) {
      const { op, ...fields } = option.shape;
      const [name] = op.values;
      const own = places.filter((place) => 'starts' in place && place.starts === name);
      assert.equal(own.length, 1, `one key starts ${name}`);
      for (const field of Object.keys(fields)) {
        const told = places.some(
          (place) =>
            ('starts' in place &&
              place.starts === name &&
              (place.field ?? field) === field &&
              name !== 'resize') ||
            ('joins' in place && Object.hasOwn(place.joins, name!) && place.field === field),
        );
        assert.ok(told, `${name}.${field} has a key`);
      }
    }
    for (const field of Object.keys(outputSchema.shape)) {
      assert.ok(
        places.some((place) => 'output' in place && place.output === field),
        `output.${field} has a key`,
      );
    }
    assert.deepEqual(Object.keys(planSchema.shape), ['preview', 'operations', 'output']);
  });

  test('uses each name once, and none that holds an underscore or a dash', () => {
    const names = PLAN_KEYS.flatMap(({ short, long, alias }) => [...new Set([short, long, alias ?? long])]);
    assert.deepEqual(names, [...new Set(names)]);
    for (const name of names) assert.match(name, /^[a-z]+$/);
    assert.equal(KEY_BY_NAME.has('plan'), false);
  });

  test('stands in the page about plans', () => {
    const page = readFileSync(new URL('../../../docs/how-to/plans.md', import.meta.url), 'utf8');
    for (const { short, long } of PLAN_KEYS) {
      assert.ok(page.includes(`\`${short}\``), `${short} is in the table`);
      assert.ok(page.includes(`\`${long}\``), `${long} is in the table`);
    }
  });
});

describe('a URL segment', () => {
  test('reads and prints the short keys', () => {
    const plan = planFromSegment('w_600,h_400,fit_cover,q_80');
    assert.deepEqual(plan.operations, [
      { op: 'resize', width: 600, height: 400, fit: 'cover', gravity: 'center', enlarge: false },
    ]);
    assert.equal(plan.output.quality, 80);
    assert.equal(planToSegment(plan), 'w_600,h_400,fit_cover,f_jpeg,q_80');
  });

  test('carries every operation in order', () => {
    const segment =
      'preview_embedded,frame_2,crop_10_20_300_200,rotate_45.5,bg_11223344,w_600,h_400,fit_cover,fp_0.3_0.7,' +
      'enlarge,flip,resize,w_50,h_50,fit_pad,g_north,bg_transparent,flatten_ff8800,grayscale,' +
      'f_avif,q_80,e_4,chroma_420,meta_strip';
    const plan = planFromSegment(segment);
    assert.deepEqual(
      plan.operations.map(({ op }) => op),
      ['frame', 'crop', 'rotate', 'resize', 'flip', 'resize', 'flatten', 'grayscale'],
    );
    assert.equal(planToSegment(plan), segment);
  });

  test('needs no escaping in the path of a URL', () => {
    fc.assert(
      fc.property(plans, (given) => {
        const segment = planToSegment(normalizePlan(given));
        assert.match(segment, /^[a-z0-9_,.]+$/);
        assert.equal(new URL(`http://host/${segment}/x`).pathname, `/${segment}/x`);
      }),
    );
  });

  test('reads long names, other names and a # before colours as well', () => {
    assert.deepEqual(
      planFromSegment('page_1,width_5,fit_PAD,background_#ABC,format_jpg'),
      planFromSegment('frame_1,w_5,fit_pad,bg_aabbcc,f_jpeg'),
    );
  });

  test('lets resize keys join the latest resize until another one is begun', () => {
    assert.deepEqual(planFromSegment('w_600,grayscale,h_400'), planFromSegment('w_600,h_400,grayscale'));
    const widths = planFromSegment('w_600,grayscale,resize,w_300').operations.map((op) =>
      op.op === 'resize' ? op.width : op.op,
    );
    assert.deepEqual(widths, [600, 'grayscale', 300]);
    assert.match(detailOf('w_600,w_300')!, /^w: given twice for one resize; put resize before the second$/);
  });

  test('gives a background to the resize or slanting rotation before it', () => {
    const slanting = planFromSegment('w_9,h_9,fit_pad,rotate_45,bg_f00').operations;
    assert.deepEqual(
      slanting.map((op) => 'background' in op && op.background),
      ['#ffffff', '#ff0000'],
    );
    const upright = planFromSegment('w_9,h_9,fit_pad,rotate_90,bg_f00').operations;
    assert.deepEqual(
      upright.map((op) => 'background' in op && op.background),
      ['#ff0000', false],
    );
    const before = planFromSegment('bg_f00,w_9,h_9,fit_pad').operations;
    assert.deepEqual(
      before.map((op) => 'background' in op && op.background),
      ['#ff0000'],
    );
  });

  test('names the key that is wrong, in the words of the segment', () => {
    assert.equal(detailOf('w_x'), 'w: expected a number, got "x"');
    assert.equal(detailOf('w_0'), 'w: expected at least 1, got 0');
    assert.equal(detailOf('w_1e3'), 'w: expected a number, got "1e3"');
    assert.equal(detailOf('q_80.5'), 'q: expected a whole number, got 80.5');
    assert.equal(detailOf('qualty_80'), 'qualty: unknown key; did you mean quality?');
    assert.equal(detailOf('crop_1_2_3'), 'crop: expected 4 numbers (left, top, width, height), got "1_2_3"');
    assert.equal(detailOf('crop_1_2_3_70000'), 'crop: height expected at most 65535, got 70000');
    assert.equal(detailOf('fp_0.5_2,w_5'), 'fp: y expected at most 1, got 2');
    assert.equal(detailOf('flip_no'), 'flip: expected true, false or no value, got "no"');
    assert.equal(detailOf('f_jpg,f_png'), 'f: given twice');
    assert.match(detailOf('f_webpp')!, /^f: expected one of jpeg, .*, got "webpp"; did you mean webp\?$/);
    assert.match(detailOf('bg_fff')!, /^bg: resize needs width, height or both; .* use matte$/);
    assert.match(detailOf('w_5,')!, /expected a key, got nothing/);
    assert.match(detailOf('')!, /expected a key, got nothing/);
  });

  test('names all that is wrong at once', () => {
    const problem = problemOf(() => planFromSegment('w_x,qualty_80,rotate_north'));
    assert.deepEqual(
      problem.errors!.map(({ path }) => path),
      ['w', 'qualty', 'rotate'],
    );
  });

  test('takes no more operations than a plan may have, and no endless text', () => {
    assert.equal(planFromSegment(Array(32).fill('crop_0_0_1_1').join(',')).operations.length, 32);
    assert.match(detailOf(Array(33).fill('flip').join(','))!, /operations: expected at most 32 items/);
    assert.match(detailOf(Array(500).fill('flip').join(','))!, /at most 400 keys/);
    assert.match(detailOf('w'.repeat(100_000))!, /at most 8192 characters/);
  });
});

describe('a query', () => {
  test('reads the long names, in their order', () => {
    const plan = query(
      'width=600&height=400&fit=cover&quality=80&format=webp&metadata=strip&rotate=90&crop=1,2,3,4',
    );
    assert.deepEqual(
      plan,
      planFromSegment('w_600,h_400,fit_cover,rotate_90,crop_1_2_3_4,f_webp,q_80,meta_strip'),
    );
  });

  test('reads short names and leaves alone what belongs to others', () => {
    const params = new URLSearchParams('w=600&async=true&h=400');
    assert.deepEqual(planFromQuery(params, { ignore: new Set(['async']) }), planFromSegment('w_600,h_400'));
    assert.equal(problemOf(() => planFromQuery(params)).detail, 'async: unknown key');
  });

  test('without a parameter is the default conversion', () => {
    assert.deepEqual(planFromQuery([]), normalizePlan({}));
    assert.equal(planFromQuery([], { defaultFormat: 'png' }).output.format, 'png');
  });

  test('takes switches with or without a value, false included', () => {
    assert.deepEqual(query('flip&lossless=1&f=webp'), query('flip=true&lossless=true&f=webp'));
    assert.deepEqual(query('flip=false&flop=0&lossless=false'), query(''));
  });

  test('takes a whole plan, alone', () => {
    assert.deepEqual(query('plan=w_600,f_webp'), planFromSegment('w_600,f_webp'));
    const json = JSON.stringify({ operations: [{ op: 'resize', width: 600 }] });
    assert.deepEqual(
      planFromQuery([['plan', json]], { defaultFormat: 'webp' }),
      planFromSegment('w_600,f_webp'),
    );
    assert.match(problemOf(() => query('plan=w_600&q=3')).detail!, /^plan: stands for the whole plan; "q"/);
    assert.match(problemOf(() => query('plan={')).detail!, /^plan: expected JSON/);
    const wrong = encodeURIComponent('{"operations":[{"op":"spin"}]}');
    assert.match(problemOf(() => query(`plan=${wrong}`)).detail!, /^operations\.0\.op: expected one of/);
  });
});

describe('flags', () => {
  test('are read with and without their dashes, and printed as arguments', () => {
    const plan = planFromFlags([
      ['width', '600'],
      ['--fit', 'cover'],
      ['h', '400'],
      ['flip', ''],
      ['crop', '10,20,300,200'],
    ]);
    assert.deepEqual(
      planToFlags(plan),
      '--width 600 --height 400 --fit cover --flip --crop 10,20,300,200 --format jpeg'.split(' '),
    );
  });

  test('are named with their dashes where they are wrong', () => {
    const detail = (flags: [string, string][]) => problemOf(() => planFromFlags(flags)).detail;
    assert.equal(detail([['--widht', '5']]), '--widht: unknown key; did you mean --width?');
    assert.equal(detail([['width', 'wide']]), '--width: expected a number, got "wide"');
    assert.match(detail([['fit', 'squeeze']])!, /^--fit: expected one of contain/);
  });

  test('have a line of help each, and no alias that asks for help', () => {
    for (const flag of PLAN_FLAGS) assert.ok(flag.help.length > 5 && flag.alias !== 'h', flag.name);
    const valued = PLAN_FLAGS.filter((flag) => flag.valueName).map((flag) => flag.name);
    assert.ok(valued.includes('width') && !valued.includes('flip'));
  });
});

describe('hostile text', () => {
  const names = fc.oneof(
    fc.constantFrom(...KEY_BY_NAME.keys()),
    fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', 'plan', ''),
    fc.string({ unit: 'binary' }),
  );
  const values = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      'NaN',
      'Infinity',
      '-0',
      '1e309',
      '99999999999',
      '{}',
      '{"__proto__":1}',
      '[[[[',
      '\0',
      '-1',
    ),
    fc.json(),
    fc.integer().map(String),
    fc.double().map(String),
  );
  const tokens = fc.array(fc.tuple(names, values), { maxLength: 40 });

  const onlyProblems = (run: () => NormalPlan) => {
    let plan: NormalPlan;
    try {
      plan = run();
    } catch (error) {
      assert.ok(error instanceof Problem && error.code === 'invalid_plan', String(error));
      assert.ok(JSON.stringify(error.serialize()).length < 20_000);
      return;
    }
    assert.deepEqual(planFromSegment(planToSegment(plan)), plan);
  };

  test('is read, or refused with a Problem and nothing else', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => onlyProblems(() => planFromSegment(text))),
    );
    fc.assert(
      fc.property(tokens, (given) => {
        onlyProblems(() => planFromSegment(given.map(([name, value]) => `${name}_${value}`).join(',')));
        onlyProblems(() => planFromQuery(given));
        onlyProblems(() => planFromFlags(given));
      }),
    );
    fc.assert(fc.property(values, (value) => onlyProblems(() => planFromQuery([['plan', value]]))));
  });

  test('leaves prototypes as they are', () => {
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      problemOf(() => planFromQuery([[name, '1']]));
      problemOf(() => planFromQuery([['plan', `{"output":{"${name}":{"polluted":1}}}`]]));
    }
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });

  test('of many megabytes costs little', () => {
    const deep = '['.repeat(1_000_000);
    onlyProblems(() => planFromQuery([['plan', `{"operations":${deep}`]]));
    onlyProblems(() => planFromQuery([['x'.repeat(5_000_000), 'y'.repeat(5_000_000)]]));
    onlyProblems(() => planFromQuery([['w', '9'.repeat(5_000_000)]]));
    onlyProblems(() => planFromQuery([['crop', '1,'.repeat(2_000_000)]]));
  });
});
