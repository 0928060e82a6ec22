import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { loadPolicies } from '../../../src/config/policies.ts';
import { loadConfig } from '../../../src/config.ts';
import { refusal } from '../../support/refusal.ts';
import { tempDir } from '../../support/temp.ts';

interface Files {
  presets?: unknown;
  buckets?: unknown;
  env?: Record<string, string>;
}

function setUp(t: TestContext, { presets, buckets, env }: Files) {
  const folder = tempDir(t);
  const put = (name: string, content: unknown) => {
    const file = join(folder, name);
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
    return file;
  };
  return loadConfig({
    ...env,
    ...(presets !== undefined && { PRESETS_FILE: put('presets.json', presets) }),
    ...(buckets !== undefined && { BUCKETS_FILE: put('buckets.json', buckets) }),
  });
}

describe('loadPolicies', () => {
  it('knows web and gallery, and lets anybody see any bucket, where nothing is said', (t) => {
    const policies = loadPolicies(setUp(t, {}));
    assert.deepEqual(policies.presetNames, ['web', 'gallery']);
    const { allowedMimeTypes, ...policy } = policies.policyFor('photos');
    assert.deepEqual(policy, { preset: 'web', visibility: 'public', maxBytes: 50 * 1024 * 1024 });
    assert.ok(allowedMimeTypes.has('image/heic'));
    assert.equal(policies.preset('shop'), undefined);
  });

  it('takes presets as JSON and as segments, adding to the built-in ones and replacing them', (t) => {
    const policies = loadPolicies(
      setUp(t, {
        presets: {
          shop: {
            renditions: [
              { name: 'tile', plan: 'w_400,h_400,fit_pad,f_webp,q_80' },
              {
                name: 'zoom',
                plan: { operations: [{ op: 'resize', width: 2000 }], output: { format: 'jpeg' } },
              },
            ],
          },
          gallery: { renditions: [{ name: 'only', plan: 'w_100,f_png' }] },
        },
      }),
    );
    assert.deepEqual(policies.presetNames, ['web', 'gallery', 'shop']);
    assert.deepEqual(
      policies.preset('shop')!.renditions.map(({ name }) => name),
      ['tile', 'zoom'],
    );
    assert.equal(policies.preset('gallery')!.renditions.length, 1);
  });

  it('holds each bucket to its policy, others to that of *, and none to more than the service takes', (t) => {
    const { policyFor } = loadPolicies(
      setUp(t, {
        env: { MAX_UPLOAD_SIZE_MB: '10', ALLOWED_MIME_TYPES: 'image/jpeg,image/png' },
        buckets: {
          family: { preset: 'gallery', visibility: 'private', metadata: 'keep', max_size_mb: 25 },
          avatars: { allowed_mime_types: ['image/png'], max_size_mb: 0.5 },
          '*': { visibility: 'private' },
        },
      }),
    );
    const types = new Set(['image/jpeg', 'image/png']);
    const maxBytes = 10 * 1024 * 1024;
    assert.deepEqual(policyFor('family'), {
      preset: 'gallery',
      visibility: 'private',
      metadata: 'keep',
      allowedMimeTypes: types,
      maxBytes,
    });
    assert.deepEqual(policyFor('avatars'), {
      preset: 'web',
      visibility: 'public',
      allowedMimeTypes: new Set(['image/png']),
      maxBytes: 512 * 1024,
    });
    assert.equal(policyFor('other').visibility, 'private');
    assert.equal(policyFor('*').visibility, 'private');
    assert.equal(policyFor('constructor').preset, 'web');
  });

  it('makes web of IMAGE_SIZES and WEBP_QUALITY', (t) => {
    const env = { IMAGE_SIZES: 'small:320', WEBP_QUALITY: '70' };
    const { renditions } = loadPolicies(setUp(t, { env })).preset('web')!;
    assert.deepEqual(renditions, [
      {
        name: 'small',
        plan: {
          operations: [{ op: 'resize', width: 320, height: 320 }],
          output: { format: 'webp', quality: 70, metadata: 'strip' },
        },
      },
    ]);
  });

  it('takes the examples of the documentation', (t) => {
    const page = readFileSync(
      new URL('../../../docs/how-to/presets-and-buckets.md', import.meta.url),
      'utf8',
    );
    const [presets, buckets] = Array.from(page.matchAll(/```json\n(.*?)```/gs), ([, json]) => json);
    const policies = loadPolicies(setUp(t, { presets, buckets }));
    assert.equal(policies.preset('shop')!.renditions.length, 3);
    assert.equal(policies.policyFor('family').preset, 'gallery');
  });

  const wrong: [title: string, files: Files, message: RegExp][] = [
    ['what is no JSON', { presets: '{"a":' }, /PRESETS_FILE: .*presets\.json: expected JSON/],
    [
      'a wrong operation',
      {
        presets: {
          shop: {
            renditions: [{ name: 'a', plan: { operations: [{ op: 'resize', width: 9, fit: 'covr' }] } }],
          },
        },
      },
      /presets\.json: shop\.renditions\.0\.plan\.operations\.0\.fit: expected one of .*; did you mean cover\?/,
    ],
    [
      'a wrong key of a segment',
      { presets: { shop: { renditions: [{ name: 'a', plan: 'w_100,zz_3' }] } } },
      /presets\.json: shop\.renditions\.0\.plan\.zz: /,
    ],
    [
      'a rendition twice in one format',
      {
        presets: {
          shop: {
            renditions: [
              { name: 'a', plan: 'w_1,f_webp' },
              { name: 'a', plan: 'w_2,f_png' },
              { name: 'a', plan: 'w_3,f_webp' },
            ],
          },
        },
      },
      /presets\.json: shop\.renditions\.2: expected a name and format of its own, got a second a in webp/,
    ],
    [
      'a preset without renditions',
      { presets: { shop: { renditions: [] } } },
      /shop\.renditions: .*at least 1/,
    ],
    [
      'a wrong name of a preset',
      { presets: { 'Shop!': { renditions: [] } } },
      /presets\.json: Shop!: expected/,
    ],
    [
      'a wrong name of a rendition',
      { presets: { shop: { renditions: [{ name: 'a/b', plan: 'w_1' }] } } },
      /shop\.renditions\.0\.name: expected a lower-case letter/,
    ],
    ['a list of presets', { presets: [] }, /presets\.json: expected/],
    ['a wrong name of a bucket', { buckets: { A: {} } }, /buckets\.json: A: expected the name of a bucket/],
    [
      'a preset that is not there',
      { buckets: { abc: { preset: 'wbe' } } },
      /abc\.preset: expected one of web, gallery, got "wbe"/,
    ],
    [
      'a type that the service does not take',
      { buckets: { abc: { allowed_mime_types: ['image/x-icon'] } } },
      /abc\.allowed_mime_types\.0: expected one of .*got "image\/x-icon"/,
    ],
    [
      'an unknown rule',
      { buckets: { abc: { visiblity: 'private' } } },
      /buckets\.json: abc\.visiblity: unknown key/,
    ],
    [
      'a wrong visibility',
      { buckets: { abc: { visibility: 'hidden' } } },
      /abc\.visibility: expected one of public, private, got "hidden"/,
    ],
  ];
  for (const [title, files, message] of wrong) {
    it(`names the file and the place of ${title}`, (t) => {
      assert.match(refusal(() => loadPolicies(setUp(t, files))).detail!, message);
    });
  }

  it('names a file that is not there', () => {
    const config = loadConfig({ BUCKETS_FILE: 'no-such.json' });
    assert.match(
      refusal(() => loadPolicies(config)).detail!,
      /^BUCKETS_FILE: no-such\.json: there is no such file$/m,
    );
  });
});
