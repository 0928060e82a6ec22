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
import { plans } from './plan-arbitrary.ts';
import { problemOf } from './plan-problem.ts';

const page = readFileSync(new URL('../../../docs/how-to/plans.md', import.meta.url), 'utf8');

const detailOf = (segment: string) => problemOf(() => planFromSegment(segment)).detail;
const query = (text: string) => planFromQuery(new URLSearchParams(text));

/** What the command line hands over: the arguments, paired by the table of flags. */
function pairs(args: string[]): [string, string][] {
  const takesValue = new Set(PLAN_FLAGS.filter((flag) => flag.valueName).map((flag) => `--${flag.name}`));
  const rest = [...args];
  const paired: [string, string][] = [];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const [, inline, value] = /^(--[^=]*)=(.*)$/s.exec(name) ?? [];
    if (inline !== undefined) paired.push([inline, value!]);
    else paired.push([name, takesValue.has(name) ? rest.shift()! : '']);
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
      const starting = places.filter((place) => 'starts' in place && place.starts === name);
      assert.ok(starting.length > 0, `a key starts ${name}`);
      const joining = places.filter((place) => 'joins' in place && Object.hasOwn(place.joins, name!));
      const told = new Set([...starting, ...joining].map((place) => 'field' in place && place.field));
      // Of a key that starts an operation without naming a field the value is all its fields.
      const whole = starting.length === 1 && told.has(false) && joining.length === 0;
      for (const field of Object.keys(fields))
        assert.ok(whole || told.has(field), `${name}.${field} has a key`);
    }
    for (const field of Object.keys(outputSchema.shape)) {
      assert.ok(
        places.some((place) => 'output' in place && place.output === field),
        `output.${field} has a key`,
      );
    }
    assert.deepEqual(Object.keys(planSchema.shape), ['preview', 'operations', 'output']);
  });

  test('uses each name once, and none that a segment could not part from its value', () => {
    const names = PLAN_KEYS.flatMap(({ short, long, alias }) => [...new Set([short, long, alias ?? long])]);
    assert.deepEqual(names, [...new Set(names)]);
    for (const { short, long } of PLAN_KEYS) {
      assert.match(short, /^[a-z]+$/);
      assert.match(long, /^[a-z]+(-[a-z]+)*$/);
    }
    assert.equal(KEY_BY_NAME.has('plan'), false);
  });

  test('keeps the longest plan there is', () => {
    const mark = {
      op: 'watermark',
      text: '漢'.repeat(200),
      gravity: 'northwest',
      opacity: 0.1234,
      scale: 0.1234,
      margin: 10_000,
      color: '#11223344',
      tile: true,
    };
    const plan = parsePlan({
      operations: Array(32).fill(mark),
      output: { format: 'png', effort: 9, dpi: 9600 },
    });
    for (const through of Object.values(SPELLINGS)) assert.deepEqual(through(plan), plan);
  });

  test('stands in the page about plans', () => {
    const rows = page.split('\n').filter((line) => line.startsWith('| `'));
    for (const { short, long } of PLAN_KEYS) {
      const row = new RegExp(`^\\| \`${short}\` \\| \`${long}\` `);
      assert.equal(rows.filter((line) => row.test(line)).length, 1, `${short} (${long}) has a row`);
    }
    for (const { shape } of operationSchema.options) {
      const [name] = shape.op.values;
      for (const field of Object.keys(shape)) {
        const inJson = field === 'op' ? name! : `${name}.${field}`;
        const isNamed = page.includes(`\`${inJson}\``) || page.includes(`\`${name}\``);
        assert.ok(isNamed || page.includes(`\`${name}.`), `${inJson} is in the page`);
      }
    }
    for (const field of Object.keys(outputSchema.shape))
      assert.ok(page.includes(`\`output.${field}\``), field);
  });

  test('of the examples in the page about plans is a plan', () => {
    const examples = page.split('## Examples')[1]!.split('```json');
    const segments = Array.from(examples[0]!.matchAll(/`([a-z]+_[^`]+)`/g), ([, segment]) => segment!);
    assert.ok(segments.length > 10);
    for (const segment of segments) assert.doesNotThrow(() => planFromSegment(segment), segment);
    const json = JSON.parse(examples[1]!.split('```')[0]!);
    assert.deepEqual(parsePlan(json), planFromSegment(segments[1]!));
    assert.deepEqual(
      planFromSegment('wmtext_wqkgWm_DqyAyMDI2'),
      parsePlan({
        operations: [{ op: 'watermark', text: '© Zoë 2026' }],
      }),
    );
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
    const id = '00000000-0000-4000-8000-000000000001';
    const segment =
      'preview_embedded,frame_2,crop_10_20_300_200,trim_7,bg_ffffff,rotate_45.5,bg_11223344,w_600,h_400,' +
      'fit_cover,fp_0.3_0.7,enlarge,flip,resize,w_50,h_50,fit_pad,g_north,bg_transparent,flatten_ff8800,' +
      'grayscale,br_1.1,co_0.9,sat_0,hue_350,ga_2.2,ev_-0.5,blur_0.3,adjust,br_2,sharpen_2_0.5,cs_rgba,' +
      `cut_grabcut,cutbg_ffffff,cut_auto,mask,threshold_100,dither_bayer,wm_${id},wmg_north,wmo_1,wms_1,wmm_0,` +
      'wmtile,wmtext_wqkgbWU,wmc_000000,f_avif,q_80,e_4,chroma_420,meta_strip';
    const plan = planFromSegment(segment);
    assert.deepEqual(
      plan.operations.map(({ op }) => op),
      (
        'frame crop trim rotate resize flip resize flatten grayscale adjust blur adjust sharpen colorspace ' +
        'background background threshold dither watermark watermark'
      ).split(' '),
    );
    assert.equal(planToSegment(plan), segment);
  });

  test('needs no escaping in the path of a URL', () => {
    fc.assert(
      fc.property(plans, (given) => {
        const segment = planToSegment(normalizePlan(given));
        assert.match(segment, /^[A-Za-z0-9_,.-]+$/);
        assert.equal(planToSegment(planFromSegment(segment)), segment);
        assert.equal(new URL(`http://host/${segment}/x`).pathname, `/${segment}/x`);
      }),
    );
  });

  test('writes a text in base64url, which has one spelling each', () => {
    const text = 'Ünïcode ₤ 😀, a_b/c?d=e&f #1';
    const plan = parsePlan({ operations: [{ op: 'watermark', text }] });
    const segment = planToSegment(plan);
    assert.equal(segment, `wmtext_${Buffer.from(text).toString('base64url')},f_jpeg`);
    assert.deepEqual(planFromSegment(segment), plan);
    // Padding, other alphabets, spare bits and bytes that are no UTF-8.
    for (const other of ['QQ==', 'Q+8/', 'QR', 'Q', 'gICA', '_w', 'a b']) {
      assert.match(detailOf(`wmtext_${other}`)!, /^wmtext: expected a text; in a URL segment as base64url/);
    }
    assert.match(detailOf('wmtext_')!, /^wmtext: expected a text that is not empty/);
  });

  test('takes a key whose value may be left out as a switch', () => {
    const plan = planFromSegment('trim,sharpen,flatten,dither,threshold');
    assert.deepEqual(plan.operations, [
      { op: 'trim', threshold: 10 },
      { op: 'sharpen', amount: 1, radius: 1 },
      { op: 'flatten', background: '#ffffff' },
      { op: 'dither', method: 'floyd-steinberg' },
      { op: 'threshold', level: 128 },
    ]);
    assert.deepEqual(planFromSegment('trim_true,sharpen_false'), planFromSegment('trim'));
    assert.deepEqual(planFromSegment('clip').operations, [{ op: 'clip', start: 0, duration: 3, fps: 10 }]);
    assert.deepEqual(planFromSegment('clip_2').operations, [{ op: 'clip', start: 2, duration: 3, fps: 10 }]);
    assert.deepEqual(planFromSegment('vec').output, { format: 'svg', metadata: 'keep' });
    assert.match(detailOf('crop')!, /^crop: expected 4 numbers/);
    assert.match(detailOf('sharpen_1_2_3')!, /^sharpen: expected up to 2 numbers \(amount, radius\)/);
  });

  test('tells the removal of a background from the colour of a pad by the value', () => {
    assert.deepEqual(planFromQuery([['background', 'grabcut']]), planFromSegment('cut_grabcut'));
    const pad: [string, string][] = [
      ['w', '9'],
      ['h', '9'],
      ['fit', 'pad'],
    ];
    assert.deepEqual(
      planFromQuery([...pad, ['background', '#abc']]),
      planFromQuery([...pad, ['fill', 'abc']]),
    );
    assert.match(detailOf('background_magic')!, /^background: expected one of auto, grabcut/);
  });

  test('wants an option after what it belongs to', () => {
    assert.match(detailOf('mask')!, /^mask: goes with background, after it$/);
    assert.match(detailOf('wmo_0.5,wmtext_QQ')!, /^wmo: goes with watermark or watermark-text, after it$/);
    assert.match(detailOf('detail_high')!, /^detail: goes with vectorize, after it$/);
    assert.match(detailOf('br_1,br_2')!, /^br: given twice for one adjust; put adjust before the second$/);
    assert.match(detailOf('cut_auto,mask,mask')!, /^mask: given twice$/);
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
    assert.equal(detailOf('w_0'), 'w: expected a whole number from 1 to 65535, got 0');
    assert.equal(detailOf('w_1e3'), 'w: expected a number, got "1e3"');
    assert.equal(detailOf('q_80.5'), 'q: expected a whole number, got 80.5');
    assert.equal(detailOf('qualty_80'), 'qualty: unknown key; did you mean quality?');
    assert.equal(detailOf('crop_1_2_3'), 'crop: expected 4 numbers (left, top, width, height), got "1_2_3"');
    assert.equal(detailOf('crop_1_2_3_70000'), 'crop: height expected at most 65535, got 70000');
    assert.equal(detailOf('fp_0.5_2,w_5'), 'fp: y expected at most 1, got 2');
    assert.equal(detailOf('flip_no'), 'flip: expected true, false or no value, got "no"');
    assert.equal(detailOf('f_jpg,f_png'), 'f: given twice');
    assert.equal(detailOf('unit_mm,w_0'), 'w: expected a number from 0.01 to 65535, got 0');
    assert.equal(detailOf('flip,frame_1'), 'frame: frame must be the first operation');
    assert.equal(detailOf('vec,flip'), 'vec: vectorize must be the last operation');
    assert.equal(detailOf('vec,f_png'), 'f: vectorize makes svg, got png');
    assert.equal(detailOf('f_png,depth_24'), 'depth: expected 1 or 8 or 16 for png, got 24');
    assert.equal(detailOf('f_tif,depth_8,compression_g4'), 'compression: g4 is for depth 1, got 8');
    assert.match(
      detailOf('w_5000,unit_mm,dpi_9600')!,
      /^w: 5000 mm at 9600 dpi are 1889764 px; at most 65535/,
    );
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
    assert.match(detailOf('w'.repeat(100_000))!, /^plan: expected at most 32768 characters, got 100000$/);
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
