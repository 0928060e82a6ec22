import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { normalizePlan, planHash } from '../../../src/contract/plan-normal.ts';
import { builtInPresets, type Preset, presetsFileSchema, WEB_SIZES } from '../../../src/contract/policies.ts';
import { expandPreset } from '../../../src/domain/presets.ts';

const webSizes = Object.entries(WEB_SIZES).map(([name, longSidePx]) => ({ name, longSidePx }));
const [web, gallery] = builtInPresets({ webSizes, webpQuality: 85 }) as [Preset, Preset];

const configured = (plan: unknown): Preset =>
  presetsFileSchema.parse({ own: { renditions: [{ name: 'a', plan }] } })[0]!;

describe('the preset web', () => {
  it('makes WebP of quality 85 in four sizes, within a square, never enlarged, without metadata', () => {
    assert.deepEqual(
      expandPreset(web),
      [
        ['thumbnail', 150],
        ['medium', 600],
        ['large', 1200],
        ['original', 4096],
      ].map(([name, side]) => ({
        name,
        plan: {
          operations: [{ op: 'resize', width: side, height: side, fit: 'contain', enlarge: false }],
          output: { format: 'webp', quality: 85, metadata: 'strip' },
        },
      })),
    );
  });
});

describe('the preset gallery', () => {
  it('makes each of its two sizes as WebP and as JPEG, under one name', () => {
    assert.deepEqual(
      expandPreset(gallery).map(({ name, plan: { operations, output } }) => {
        const [resize] = operations;
        assert.ok(resize?.op === 'resize' && !resize.enlarge);
        return [name, output.format, resize.width, resize.height, resize.fit, output.metadata];
      }),
      [
        ['thumbnail', 'webp', 200, 200, 'cover', 'strip'],
        ['thumbnail', 'jpeg', 200, 200, 'cover', 'strip'],
        ['optimized', 'webp', 1920, 1080, 'contain', 'strip'],
        ['optimized', 'jpeg', 1920, 1080, 'contain', 'strip'],
      ],
    );
  });
});

describe('expandPreset', () => {
  it('gives plans in their normal form: the same picture by another route has the same key', () => {
    const [{ plan } = assert.fail()] = expandPreset(web);
    assert.deepEqual(normalizePlan(plan), plan);
    const [same] = expandPreset(configured('w_150,h_150,fit_fit,f_webp,q_85'));
    assert.equal(planHash(same!.plan, '1'), planHash(plan, '1'));
  });

  it('lets the bucket decide about metadata, then the plan, and strips where neither says anything', () => {
    const metadataOf = (preset: Preset, policy?: { metadata?: 'keep' | 'strip' }) =>
      expandPreset(preset, policy)[0]!.plan.output.metadata;
    for (const silent of ['w_100,f_jpeg', { output: { format: 'jpeg' } }, {}]) {
      assert.equal(metadataOf(configured(silent)), 'strip');
      assert.equal(metadataOf(configured(silent), { metadata: 'keep' }), 'keep');
    }
    for (const keeping of ['f_jpeg,meta_keep', 'metadata_keep', { output: { metadata: 'keep' } }]) {
      assert.equal(metadataOf(configured(keeping)), 'keep');
      assert.equal(metadataOf(configured(keeping), { metadata: 'strip' }), 'strip');
    }
    assert.equal(metadataOf(web, { metadata: 'keep' }), 'keep');
  });

  it('leaves the preset as it is', () => {
    const before = structuredClone(gallery);
    expandPreset(gallery, { metadata: 'keep' });
    assert.deepEqual(gallery, before);
  });
});
