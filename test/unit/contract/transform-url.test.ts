import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EXTENSIONS, OUTPUT_FORMATS } from '../../../src/contract/plan.ts';
import { planToSegment } from '../../../src/contract/plan-codec.ts';
import { normalizePlan } from '../../../src/contract/plan-normal.ts';
import {
  canonicalSegment,
  formatOf,
  readTransformPlan,
  splitImageName,
  transformPath,
} from '../../../src/contract/transform-url.ts';
import { Problem } from '../../../src/problem.ts';
import { plans } from './plan-arbitrary.ts';

const canonical = (segment: string, ext = '') => canonicalSegment(readTransformPlan(segment), ext);
const errorsOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof Problem && error.code === 'invalid_plan', String(error));
    return error.errors!;
  }
  assert.fail('expected a Problem');
};

describe('the plan of a URL', () => {
  test('is a segment, whose metadata are stripped unless it says otherwise', () => {
    const { operations, output } = readTransformPlan('w_600,q_80').as('webp');
    assert.deepEqual(output, { format: 'webp', quality: 80, metadata: 'strip' });
    assert.equal(operations.length, 1);
    assert.equal(readTransformPlan('w_600,meta_keep').as('webp').output.metadata, 'keep');
    assert.equal(readTransformPlan('w_600,metadata_strip').as('webp').output.metadata, 'strip');
  });

  test('may say nothing, or only what URLs alone say', () => {
    for (const segment of ['-', 'v_2', 'dpr_2']) {
      assert.deepEqual(readTransformPlan(segment).as('png').operations, [], segment);
    }
    assert.deepEqual(
      errorsOf(() => readTransformPlan('')),
      [{ path: 'plan', message: 'expected a key, got nothing' }],
    );
  });

  test('names a version, a ratio, a preset and the client’s width', () => {
    const { version, ratio, autoWidth } = readTransformPlan('w_auto_800,h_10,dpr_1.5,v_12');
    assert.deepEqual({ version, ratio, autoWidth }, { version: 12, ratio: 1.5, autoWidth: 800 });
    assert.equal(readTransformPlan('dpr_auto').ratio, 'auto');
    assert.equal(readTransformPlan('width_auto').autoWidth, 1200);
    assert.deepEqual(readTransformPlan('preset_my-shop_2.tile').preset, {
      preset: 'my-shop_2',
      rendition: 'tile',
    });
    assert.deepEqual(readTransformPlan('preset_one,f_webp').preset, { preset: 'one' });
  });

  test('gets the client’s width where it says so, among others', () => {
    const plan = readTransformPlan('w_900,resize,w_auto,h_100');
    const widths = plan.as('webp', 350).operations.map((op) => op.op === 'resize' && op.width);
    assert.deepEqual(widths, [900, 350]);
  });

  for (const [segment, path] of [
    ['w_banana', 'w'],
    ['w_600,w_700', 'w'],
    ['w_auto,w_auto', 'w'],
    ['w_auto_9999', 'w'],
    ['w_auto_', 'w'],
    ['v_0', 'v'],
    ['v_1.5', 'v'],
    ['v_1,v_2', 'v'],
    ['dpr_0.4', 'dpr'],
    ['dpr_4.5', 'dpr'],
    ['dpr_x', 'dpr'],
    ['preset_.x', 'preset'],
    ['preset_a.b.c', 'preset'],
    ['preset_web.medium,w_600', 'w'],
    ['w_auto,unit_mm', 'unit'],
    ['nonsense_1', 'nonsense'],
  ]) {
    test(`that cannot be read names the key: ${segment}`, () => {
      assert.equal(errorsOf(() => readTransformPlan(segment!))[0]?.path, path);
    });
  }

  test('does not tell of more that is wrong than anybody reads', () => {
    assert.equal(errorsOf(() => readTransformPlan('v_,'.repeat(900))).length, 20);
  });

  test('has a length that a path can have', () => {
    assert.match(errorsOf(() => readTransformPlan('a'.repeat(4_097)))[0]!.message, /at most 4096/);
  });

  test('is read or refused, whatever the string', () => {
    const token = fc.constantFrom(
      'w_600',
      'w_auto',
      'dpr_',
      'v_1',
      'preset_a.b',
      'f_webp',
      'meta_keep',
      '-',
      '',
    );
    const any = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fc.oneof(token, fc.string())).map((all) => all.join(',')),
    );
    fc.assert(
      fc.property(any, fc.string(), (segment, ext) => {
        try {
          canonicalSegment(readTransformPlan(segment), ext);
        } catch (error) {
          assert.ok(error instanceof Problem && error.code === 'invalid_plan', String(error));
          assert.ok((error.errors?.length ?? 0) > 0);
        }
      }),
    );
  });
});

describe('the format of a URL', () => {
  const formatIn = (segment: string, ext: string) => formatOf(readTransformPlan(segment), ext);

  test('is the extension’s, or the plan’s, or nobody’s', () => {
    assert.equal(formatIn('w_6', 'jpg'), 'jpeg');
    assert.equal(formatIn('w_6', 'JPEG'), 'jpeg');
    assert.equal(formatIn('w_6', 'png'), 'png');
    assert.equal(formatIn('w_6,f_avif', ''), 'avif');
    assert.equal(formatIn('w_6,f_jpg', 'jpeg'), 'jpeg');
    assert.equal(formatIn('w_6', ''), undefined);
    assert.equal(formatIn('vec', ''), 'svg');
    assert.equal(formatIn('f_apng', 'png'), 'apng');
  });

  test('is not two, and none that is not written', () => {
    assert.equal(errorsOf(() => formatIn('f_webp', 'png'))[0]?.path, 'ext');
    assert.equal(errorsOf(() => formatIn('vec', 'png'))[0]?.path, 'ext');
    assert.match(errorsOf(() => formatIn('w_6', 'heic'))[0]!.message, /^expected one of .*webp/);
  });

  test('stands behind the last dot of the name', () => {
    assert.deepEqual(splitImageName('AB-cd.WebP'), { imageId: 'ab-cd', ext: 'WebP' });
    assert.deepEqual(splitImageName('ab'), { imageId: 'ab', ext: '' });
    assert.deepEqual(splitImageName('ab.'), { imageId: 'ab.', ext: '' });
  });
});

describe('the canonical spelling', () => {
  test('is one for all that mean the same', () => {
    for (const [segment, ext] of [
      ['w_600,h_400,fit_cover,q_80', 'webp'],
      ['h_400,width_600,fit_fill,quality_80', 'webp'],
      ['q_80,meta_strip,w_600,fit_cover,g_center,h_400', 'webp'],
    ] as const) {
      assert.equal(canonical(segment, ext), 'w_600,h_400,fit_cover,q_80', segment);
    }
    assert.equal(canonical('v_2,meta_keep,dpr_2.0,f_jpg,w_auto_1200'), 'w_auto,f_jpeg,meta_keep,dpr_2,v_2');
    assert.equal(canonical('f_webp', 'webp'), '-');
    assert.equal(canonical('f_apng', 'png'), 'f_apng');
    assert.equal(canonical('q_95', 'jpg'), '-');
  });

  test('keeps what matters to any format that may be chosen', () => {
    const segment = 'w_9,q_80,e_9,lossless,chroma_420,progressive,matte_112233';
    assert.equal(canonical(segment), segment);
    // To WebP a progressive picture means nothing.
    assert.equal(canonical('w_9,q_80,progressive', 'webp'), 'w_9,q_80');
  });

  test('tells which of two widths is the client’s', () => {
    assert.equal(canonical('w_600,resize,w_auto', 'webp'), 'w_600,resize,w_auto');
    assert.equal(canonical('w_auto,resize,w_600', 'webp'), 'w_auto,resize,w_600');
    assert.equal(canonical('w_4001,resize,w_auto', 'webp'), 'w_4001,resize,w_auto');
  });

  test('reads back as the plan, whatever the plan', () => {
    fc.assert(
      fc.property(plans, fc.boolean(), (given, hasExtension) => {
        const normal = normalizePlan(given);
        const ext = hasExtension ? EXTENSIONS[normal.output.format] : '';
        const plan = readTransformPlan(planToSegment(normal));
        const segment = canonicalSegment(plan, ext);
        assert.ok(segment !== undefined, planToSegment(normal));
        const back = readTransformPlan(segment);
        assert.equal(formatOf(back, ext), formatOf(plan, ext));
        assert.deepEqual(back.as(normal.output.format), plan.as(normal.output.format));
        assert.equal(canonicalSegment(back, ext), segment);
      }),
    );
  });

  test('of a format that the client chooses reads back as the plan in each of them', () => {
    fc.assert(
      fc.property(plans, (given) => {
        const normal = normalizePlan(given);
        if (normal.output.format === 'svg') return;
        const written = planToSegment(normal)
          .split(',')
          .filter((token) => !/^(f|depth|compression)_/.test(token))
          .join(',');
        const plan = readTransformPlan(written === '' ? '-' : written);
        if (plan.format !== undefined) return;
        const segment = canonicalSegment(plan, '');
        assert.ok(segment !== undefined, written);
        for (const format of ['avif', 'webp', 'jpeg', 'png', 'gif'] as const) {
          assert.deepEqual(readTransformPlan(segment).as(format), plan.as(format));
        }
      }),
    );
  });

  test('is not made up where there is none', () => {
    assert.equal(canonical('w_6', 'heic'), undefined);
    assert.equal(canonical('f_webp', 'png'), undefined);
  });
});

test('every format that is written has an extension that names it', () => {
  for (const format of OUTPUT_FORMATS) {
    const plan = readTransformPlan(format === 'svg' ? 'vec' : `f_${format}`);
    assert.equal(formatOf(plan, EXTENSIONS[format]), format);
  }
});

test('a path holds what it must, escaped', () => {
  const address = { signature: 'S', segment: 'w_1,x_ü/?', imageId: 'id', ext: 'webp', expires: '17' };
  assert.equal(transformPath(address), '/t/S/w_1,x_%C3%BC%2F%3F/id.webp?expires=17');
  assert.equal(transformPath({ ...address, ext: '', expires: '', segment: '-' }), '/t/S/-/id');
});
