import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { OutputFormat } from '../../../src/contract/plan.ts';
import { planToSegment } from '../../../src/contract/plan-codec.ts';
import { builtInPresets, createPolicies } from '../../../src/contract/policies.ts';
import { formatOf, readTransformPlan } from '../../../src/contract/transform-url.ts';
import { expandPreset } from '../../../src/domain/presets.ts';
import { chooseFormat } from '../../../src/http/accept.ts';
import { type Client, type Traits, TransformPlans } from '../../../src/services/transform-plan.ts';

const policies = createPolicies({
  presets: [
    ...builtInPresets({
      webSizes: [
        { name: 'medium', longSidePx: 600 },
        { name: 'large', longSidePx: 1200 },
      ],
      webpQuality: 85,
    }),
    { name: 'one', renditions: [{ name: 'only', plan: { output: { format: 'png' } } }] },
  ],
  buckets: { bare: { metadata: 'strip' }, full: { metadata: 'keep' } },
  allowedMimeTypes: ['image/jpeg'],
  maxBytes: 1_000,
});

const OPAQUE: Traits = { alpha: false, moves: false };
const ALPHA: Traits = { alpha: true, moves: false };
const MOVES: Traits = { alpha: true, moves: true };

interface Asked {
  ext?: string;
  traits?: Traits;
  accept?: string;
  bucket?: string;
  width?: number;
  ratio?: number;
}

const plans = new TransformPlans({ policies });

async function choose(
  segment: string,
  { ext = '', traits = OPAQUE, accept, bucket = 'photos', width, ratio }: Asked = {},
) {
  const url = readTransformPlan(segment);
  const client: Client = {
    prefer: (formats) => chooseFormat(accept, formats as readonly [OutputFormat, ...OutputFormat[]]),
    widthPx: width,
    ratio,
  };
  const { plan, by } = await plans.choose(url, formatOf(url, ext), { bucket, traits: () => traits }, client);
  return { plan, by, text: planToSegment(plan), format: plan.output.format };
}

describe('the format that a client gets', () => {
  const CHROME = 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8';
  const TABLE: [
    accept: string | undefined,
    opaque: OutputFormat,
    transparent: OutputFormat,
    moving: OutputFormat,
  ][] = [
    [CHROME, 'avif', 'avif', 'webp'],
    ['image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5', 'webp', 'webp', 'webp'],
    ['image/webp,*/*', 'webp', 'webp', 'webp'],
    ['image/avif', 'avif', 'avif', 'gif'],
    ['*/*', 'jpeg', 'png', 'gif'],
    ['image/*', 'jpeg', 'png', 'gif'],
    [undefined, 'jpeg', 'png', 'gif'],
    ['text/html', 'jpeg', 'png', 'gif'],
    ['image/avif;q=0,image/webp', 'webp', 'webp', 'webp'],
    ['image/avif;q=0.5,image/webp;q=0.9', 'webp', 'webp', 'webp'],
    ['image/webp;q=0.2,image/jpeg;q=0.8,image/png;q=0.1,image/gif;q=0.1', 'jpeg', 'webp', 'webp'],
    ['image/avif;q=0,image/webp;q=0,*/*', 'jpeg', 'png', 'gif'],
    ['IMAGE/AVIF ; Q=1', 'avif', 'avif', 'gif'],
    ['image/jpeg', 'jpeg', 'png', 'gif'],
  ];
  for (const [accept, opaque, transparent, moving] of TABLE) {
    test(`is ${opaque}, ${transparent} or ${moving} for ${accept ?? 'no Accept'}`, async () => {
      for (const [traits, format] of [
        [OPAQUE, opaque],
        [ALPHA, transparent],
        [MOVES, moving],
      ] as const) {
        const chosen = await choose('w_60', { traits, ...(accept && { accept }) });
        assert.equal(chosen.format, format, JSON.stringify(traits));
        assert.equal(chosen.by.accept, true);
      }
    });
  }

  test('is nobody’s choice where the URL says it', async () => {
    for (const [segment, ext] of [
      ['w_60', 'png'],
      ['w_60,f_png', ''],
    ] as const) {
      const { format, by } = await choose(segment, { ext, accept: CHROME });
      assert.deepEqual([format, by.accept], ['png', false]);
    }
  });

  test('has an alpha channel where the result may be transparent, and only there', async () => {
    const TRANSPARENT = [
      'rotate_30',
      'w_9,h_9,fit_pad,bg_transparent',
      'cs_rgba',
      'cut_auto',
      'flatten,cut_auto',
    ];
    for (const segment of TRANSPARENT) assert.equal((await choose(segment)).format, 'png', segment);
    const OF_ALPHA = [
      'flatten',
      'cs_rgb',
      'threshold',
      'dither',
      'cut_auto,cutbg_fff',
      'cut_auto,mask',
      'rotate_30,flatten',
    ];
    for (const segment of OF_ALPHA)
      assert.equal((await choose(segment, { traits: ALPHA })).format, 'jpeg', segment);
    assert.equal((await choose('rotate_90')).format, 'jpeg');
    assert.equal((await choose('grayscale', { traits: ALPHA })).format, 'png');
  });

  test('is a still’s where one frame is taken, and one that moves where a clip is', async () => {
    assert.equal((await choose('frame_0', { traits: MOVES })).format, 'png');
    assert.equal((await choose('second_1', { traits: MOVES, accept: CHROME })).format, 'avif');
    assert.equal((await choose('clip', { accept: CHROME })).format, 'webp');
  });
});

describe('a preset’s rendition', () => {
  test('is the plan that a job has', async () => {
    const [medium] = expandPreset(policies.preset('web')!);
    const { plan, by } = await choose('preset_web.medium', { accept: 'image/avif' });
    assert.deepEqual(plan, medium!.plan);
    assert.equal(by.accept, false);
    const [kept] = expandPreset(policies.preset('web')!, { metadata: 'keep' });
    assert.deepEqual((await choose('preset_web.medium', { bucket: 'full' })).plan, kept!.plan);
  });

  test('in several formats is chosen by Accept, or by name', async () => {
    const chosen = await choose('preset_gallery.thumbnail', { accept: 'image/webp' });
    assert.deepEqual([chosen.format, chosen.by.accept], ['webp', true]);
    assert.equal((await choose('preset_gallery.thumbnail')).format, 'jpeg');
    const jpeg = expandPreset(policies.preset('gallery')!).find((one) => one.plan.output.format === 'jpeg');
    assert.deepEqual((await choose('preset_gallery.thumbnail', { ext: 'jpg' })).plan, jpeg!.plan);
  });

  test('in another format keeps the rest', async () => {
    assert.equal(
      (await choose('preset_web.medium', { ext: 'avif' })).text,
      'w_600,h_600,f_avif,q_85,meta_strip',
    );
  });

  test('needs no name where it is the only one', async () => {
    assert.equal((await choose('preset_one')).format, 'png');
  });

  for (const [segment, known] of [
    ['preset_nope.medium', /expected one of web, gallery, one, got/],
    ['preset_web.nope', /expected one of web\.medium, web\.large, got/],
    ['preset_web', /expected one of web\.medium, web\.large, got/],
  ] as const) {
    test(`that is not known is refused, with those that are: ${segment}`, async () => {
      await assert.rejects(choose(segment), ({ code, errors }) => {
        assert.equal(code, 'invalid_plan');
        assert.equal(errors[0].path, 'preset');
        assert.match(errors[0].message, known);
        return true;
      });
    });
  }
});

describe('the size that a client gets', () => {
  test('is as wide as it shows, in steps and bounded', async () => {
    const widths: [hint: number | undefined, px: number][] = [
      [undefined, 1200],
      [1, 50],
      [50, 50],
      [50.5, 100],
      [601, 650],
      [99_999, 4000],
    ];
    for (const [width, px] of widths) {
      const { text, by } = await choose('w_auto', { ext: 'jpg', ...(width && { width }) });
      assert.equal(text, `w_${px},f_jpeg,meta_strip`);
      assert.deepEqual(by, { accept: false, width: true, ratio: false });
    }
    assert.equal((await choose('w_auto_320', { ext: 'jpg' })).text, 'w_350,f_jpeg,meta_strip');
  });

  test('is multiplied by the ratio, the client’s in steps and bounded', async () => {
    const sized = async (segment: string, ratio?: number) =>
      (await choose(segment, { ext: 'jpg', ...(ratio && { ratio }) })).text.replace(',f_jpeg,meta_strip', '');
    assert.equal(await sized('w_100,h_33,dpr_1.5'), 'w_150,h_50');
    assert.equal(await sized('crop_0_0_90_90,w_10,dpr_2'), 'crop_0_0_90_90,w_20');
    assert.equal(await sized('w_100,dpr_auto'), 'w_100');
    assert.equal(await sized('w_100,dpr_auto', 2.625), 'w_300');
    assert.equal(await sized('w_100,dpr_auto', 0.1), 'w_50');
    assert.equal(await sized('w_100,dpr_auto', 40), 'w_400');
    assert.equal(await sized('w_60000,dpr_2'), 'w_65535');
    assert.match(await sized('preset_web.medium,dpr_2'), /^w_1200,h_1200,/);
  });

  test('does not multiply what the client’s screen has multiplied already', async () => {
    const { text } = await choose('w_auto,h_100,dpr_auto', { ext: 'jpg', width: 800, ratio: 2 });
    assert.equal(text, 'w_800,h_200,f_jpeg,meta_strip');
  });

  test('is the same object for the same wishes', async () => {
    const url = readTransformPlan('w_auto');
    const client = { prefer: () => 'jpeg' as const, widthPx: 120 };
    const of = { bucket: 'photos', traits: () => OPAQUE };
    const first = await plans.choose(url, undefined, of, client);
    assert.equal((await plans.choose(url, undefined, of, { ...client, widthPx: 149 })).plan, first.plan);
    assert.notEqual((await plans.choose(url, undefined, of, { ...client, widthPx: 151 })).plan, first.plan);
  });
});

test('a bucket whose metadata are stripped has the last word', async () => {
  assert.equal((await choose('w_9,meta_keep', { ext: 'jpg' })).plan.output.metadata, 'keep');
  assert.equal((await choose('w_9,meta_keep', { ext: 'jpg', bucket: 'bare' })).plan.output.metadata, 'strip');
  assert.equal((await choose('w_9', { ext: 'jpg', bucket: 'full' })).plan.output.metadata, 'strip');
});
