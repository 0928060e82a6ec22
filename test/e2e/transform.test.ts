/** Images by URL: who may ask, what they get, and what caches are told. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import sharp from 'sharp';
import { transformPath } from '../../src/contract/transform-url.ts';
import { signParts } from '../../src/domain/signature.ts';
import {
  signTransformUrl,
  type TransformToSign,
  transformSigningKey,
} from '../../src/domain/transform-signature.ts';
import { type ImageService, type Seeded, startImageService } from '../support/image-service.ts';
import { exercise } from '../support/operations.ts';
import { photo } from '../support/photos.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { endWithSuite } from '../support/service.ts';

const secret = 'a key that URLs are signed with: 32+';
const CHROME = 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8';

describe('images by URL', () => {
  const ending = endWithSuite();
  let service: ImageService;
  let open: ImageService;
  let web: Seeded;
  let secretOne: Seeded;
  before(async () => {
    service = await startImageService(ending, [
      { name: 'one', renditions: [{ name: 'only', plan: { output: { format: 'png', metadata: 'strip' } } }] },
    ]);
    open = await startImageService(ending, [], { UNSIGNED_URLS: 'true' });
    web = await service.accept(await photo(1));
    secretOne = await service.accept(await photo(2), { bucket: 'vault' });
  });

  const template = () => exercise('read_transform').path;
  const pathOf = (of: Partial<TransformToSign> & Pick<TransformToSign, 'plan'>, { imageId } = web) =>
    signTransformUrl({ imageId, ...of }, { secret });

  async function read(path: string, headers: Record<string, string> = {}, method = 'GET', from = service) {
    const response = await from.get(path, undefined, { headers, method });
    if (response.headers.get('content-type') !== 'application/problem+json') {
      assertPublished('read_transform', response, undefined);
    }
    return response;
  }
  const refused = async (path: string, code: Parameters<typeof assertProblem>[2], from = service) =>
    assertProblem('read_transform', await read(path, {}, 'GET', from), code);
  const sizeOf = async (response: Response) => {
    const { width, height, format } = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
    return [format, width, height];
  };
  const tasks = () => {
    const { completed, failed } = service.services.pool.stats();
    return completed + failed;
  };

  it('are rendered as the plan says, before any job has run', async () => {
    assert.match(pathOf({ plan: 'w_90' }), new RegExp(`^${template().split('{')[0]}`));
    const response = await read(pathOf({ plan: 'w_90,h_40,fit_cover', ext: 'webp' }));
    assert.equal(response.status, 200);
    const expected = {
      'content-type': 'image/webp',
      'accept-ranges': 'bytes',
      'cache-control': 'public, max-age=3600',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
      vary: null,
      'accept-ch': null,
    };
    for (const [name, value] of Object.entries(expected))
      assert.equal(response.headers.get(name), value, name);
    assert.match(response.headers.get('etag')!, /^"[\w-]{27}"$/);
    const length = Number(response.headers.get('content-length'));
    const bytes = await response.clone().arrayBuffer();
    assert.equal(bytes.byteLength, length);
    assert.deepEqual(await sizeOf(response), ['webp', 90, 40]);
  });

  it('hold in any spelling of their plan', async () => {
    const url = pathOf({ plan: 'w_90,h_40,fit_cover', ext: 'webp' });
    const same = url.replace('w_90,h_40,fit_cover', 'fit_fill%2Cheight_40,width_90');
    assert.notEqual(same, url);
    assert.equal((await read(same)).headers.get('etag'), (await read(url)).headers.get('etag'));
    const upper = url.replace(web.imageId, web.imageId.toUpperCase());
    assert.equal((await read(upper)).status, 200);
  });

  it('are refused where any part was altered', async () => {
    const url = pathOf({ plan: 'w_90,q_80', ext: 'webp', expiresAt: new Date(Date.now() + 3_600_000) });
    const altered: [from: string | RegExp, to: string][] = [
      ['w_90', 'w_91'],
      ['q_80', 'q_81'],
      ['w_90,q_80', 'w_90'],
      ['w_90,q_80', 'w_90,q_80,v_1'],
      ['w_90,q_80', 'w_auto,q_80'],
      ['q_80', 'q_80x'],
      ['w_90,q_80', 'w_banana'],
      [web.imageId, secretOne.imageId],
      [web.imageId, randomUUID()],
      ['.webp', '.png'],
      ['.webp', ''],
      ['.webp', '.jxl'],
      [/expires=(\d+)/, 'expires=1999999999'],
      [/\?expires.*/, ''],
      [/\?expires.*/, '?expires='],
      ['.webp', '.webp.'],
      [/\/t\/[^/]+/, '/t/x'],
      [/\/t\/(.)/, '/t/!'],
      [/\/t\/[^/]+/, `/t/${'A'.repeat(43)}`],
    ];
    assert.equal((await read(url)).status, 200);
    for (const [from, to] of altered) {
      const other = url.replace(from, to);
      assert.notEqual(other, url);
      const { detail } = await refused(other, 'forbidden');
      assert.match(String(detail), /signature does not fit/, other);
    }
  });

  it('are refused once they have expired, in other words', async () => {
    const url = pathOf({ plan: 'w_90', ext: 'webp', expiresAt: new Date(Date.now() + 60_000) });
    assert.equal((await read(url)).status, 200);
    service.clock.aheadMs = 60_000;
    try {
      const { detail } = await refused(url, 'forbidden');
      assert.match(String(detail), /expired/);
    } finally {
      service.clock.aheadMs = 0;
    }
  });

  it('say what is wrong with a plan that cannot be read', async () => {
    const url = pathOf({ plan: 'w_90', ext: 'webp' });
    // As whoever signs elsewhere may write it; we sign no such thing.
    const segment = 'w_banana';
    const address = { segment, imageId: web.imageId, ext: 'webp', expires: '' };
    const signature = signParts(transformSigningKey(secret), [segment, web.imageId, 'webp', '']);
    const wrong = await refused(transformPath({ ...address, signature }), 'invalid_plan');
    assert.deepEqual(wrong.errors, [{ path: 'w', message: 'expected a number, got "banana"' }]);
    const unknown = pathOf({ plan: 'preset_nope.x' });
    assert.match(JSON.stringify((await refused(unknown, 'invalid_plan')).errors), /web, gallery, one/);
    await refused(`${url}?what=1`, 'invalid_field');
  });

  it('of nothing are not found', async () => {
    await refused(pathOf({ plan: 'w_90', ext: 'webp', imageId: randomUUID() }), 'not_found');
    await refused(pathOf({ plan: 'w_90', ext: 'webp', imageId: 'nobody' }), 'not_found');
    await refused(pathOf({ plan: 'w_90,v_2', ext: 'webp' }), 'not_found');
  });

  it('of what cannot be decoded say so', async () => {
    const { imageId } = await service.accept((await photo(3)).subarray(0, 9_000));
    await refused(pathOf({ plan: 'w_90', ext: 'webp', imageId }), 'undecodable_image');
  });

  it('show private images to whoever has the URL, and to no shared cache', async () => {
    const response = await read(pathOf({ plan: 'w_90', ext: 'webp' }, secretOne));
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('cache-control'), 'private, max-age=3600');
  });

  it('are kept by caches for as long as they are sure, and never longer than they hold', async () => {
    const soon = new Date(Date.now() + 600_000);
    const control = async (plan: string, { expiresAt, of = web }: { expiresAt?: Date; of?: Seeded } = {}) => {
      const response = await read(pathOf({ plan, ext: 'webp', ...(expiresAt && { expiresAt }) }, of));
      return response.headers.get('cache-control')!.replace(/max-age=(59\d|600)\b/, 'max-age=600');
    };
    assert.equal(await control('w_90'), 'public, max-age=3600');
    assert.equal(await control('w_90,v_1'), 'public, max-age=31536000, immutable');
    assert.equal(await control('preset_web.thumbnail,v_1'), 'public, max-age=3600');
    assert.equal(await control('w_90', { expiresAt: soon }), 'public, max-age=600');
    assert.equal(
      await control('w_90,v_1', { expiresAt: soon, of: secretOne }),
      'private, max-age=600, immutable',
    );
  });

  it('come in the format that the client likes best, and say that it did', async () => {
    const url = pathOf({ plan: 'w_90' });
    const cases: [accept: string, type: string][] = [
      [CHROME, 'image/avif'],
      ['image/webp,*/*', 'image/webp'],
      ['*/*', 'image/jpeg'],
      ['image/avif;q=0.1,image/webp;q=0.2', 'image/webp'],
    ];
    const tags = new Set<string>();
    for (const [accept, type] of cases) {
      const response = await read(url, { accept });
      assert.equal(response.headers.get('content-type'), type);
      assert.equal(response.headers.get('vary'), 'Accept');
      tags.add(response.headers.get('etag')!);
    }
    assert.equal(tags.size, 3);
    const named = await read(pathOf({ plan: 'w_90,f_png' }), { accept: CHROME });
    assert.deepEqual([named.headers.get('content-type'), named.headers.get('vary')], ['image/png', null]);
  });

  it('of what is transparent are PNG to those that name neither AVIF nor WebP', async () => {
    const png = await sharp({ create: { width: 60, height: 60, channels: 4, background: '#ff000040' } })
      .png()
      .toBuffer();
    const { imageId } = await service.accept(png);
    const response = await read(pathOf({ plan: 'w_30', imageId }), { accept: '*/*' });
    assert.equal(response.headers.get('content-type'), 'image/png');
    const laid = await read(pathOf({ plan: 'w_30,flatten', imageId }), { accept: '*/*' });
    assert.equal(laid.headers.get('content-type'), 'image/jpeg');
  });

  it('follow client hints where the plan asks for them, and say so', async () => {
    const auto = pathOf({ plan: 'w_auto', ext: 'webp' });
    const shown = await read(auto, { 'sec-ch-width': '260' });
    assert.equal(shown.headers.get('vary'), 'Sec-CH-Width, Width');
    assert.equal(shown.headers.get('accept-ch'), 'Sec-CH-Width');
    assert.deepEqual(await sizeOf(shown), ['webp', 300, 200]);
    assert.deepEqual(await sizeOf(await read(auto, { width: '60' })), ['webp', 100, 67]);
    const ratio = pathOf({ plan: 'w_60,dpr_auto' });
    const dense = await read(ratio, { 'sec-ch-dpr': '2.0', accept: 'image/webp' });
    assert.equal(dense.headers.get('vary'), 'Accept, Sec-CH-DPR, DPR');
    assert.equal(dense.headers.get('accept-ch'), 'Sec-CH-DPR');
    assert.deepEqual(await sizeOf(dense), ['webp', 120, 80]);
    const nonsense = await read(ratio, { 'sec-ch-dpr': '-1e9', accept: 'image/webp' });
    assert.deepEqual(await sizeOf(nonsense), ['webp', 60, 40]);
    const fixed = await read(pathOf({ plan: 'w_60,dpr_3', ext: 'webp' }), { dpr: '1' });
    assert.deepEqual([fixed.headers.get('vary'), fixed.headers.get('accept-ch')], [null, null]);
    assert.deepEqual(await sizeOf(fixed), ['webp', 180, 120]);
  });

  it('are known by their ETag before there is a picture', async () => {
    const url = pathOf({ plan: 'w_77', ext: 'webp' });
    const first = await read(url);
    const etag = first.headers.get('etag')!;
    await first.arrayBuffer();
    const token = await service.token('anna');
    const { path, method } = exercise('purge_image');
    await service.get(path.replace('{image_id}', web.imageId), token, { method });
    const before = tasks();
    for (const value of [etag, `W/${etag}`, `"other", ${etag}`]) {
      for (const asked of ['GET', 'HEAD']) {
        const again = await read(url, { 'if-none-match': value }, asked);
        assert.equal(again.status, 304);
        assert.equal(again.headers.get('etag'), etag);
        assert.equal(again.headers.get('cache-control'), 'public, max-age=3600');
        assert.equal((await again.arrayBuffer()).byteLength, 0);
      }
    }
    assert.equal(tasks(), before);
    assert.equal((await read(url, { 'if-none-match': '"other"' })).status, 200);
    assert.equal(tasks(), before + 1);
  });

  it('can be asked about, and for a part', async () => {
    const url = pathOf({ plan: 'w_88', ext: 'webp' });
    const head = await read(url, {}, 'HEAD');
    const whole = await read(url);
    const bytes = Buffer.from(await whole.arrayBuffer());
    assert.equal(head.status, 200);
    for (const name of ['content-length', 'content-type', 'etag', 'cache-control']) {
      assert.equal(head.headers.get(name), whole.headers.get(name), name);
    }
    const part = await read(url, { range: 'bytes=10-19' });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get('content-range'), `bytes 10-19/${bytes.length}`);
    assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(10, 20));
    const stale = await read(url, { range: 'bytes=10-19', 'if-range': '"other"' });
    assert.equal(stale.status, 200);
    await assertProblem(
      'read_transform',
      await read(url, { range: `bytes=${bytes.length}-` }),
      'range_not_satisfiable',
    );
  });

  it('strip what the camera wrote, unless the plan keeps it', async () => {
    const jpeg = await sharp(await photo(4))
      .withExif({ IFD0: { Copyright: 'Zoë' } })
      .toBuffer();
    const { imageId } = await service.accept(jpeg);
    const exifOf = async (plan: string) => {
      const response = await read(pathOf({ plan, ext: 'jpg', imageId }));
      return (await sharp(Buffer.from(await response.arrayBuffer())).metadata()).exif;
    };
    assert.equal(await exifOf('w_90'), undefined);
    assert.ok((await exifOf('w_90,meta_keep'))?.includes('Zo'));
  });

  it('lay another image of the same owner over it, and nobody else’s', async () => {
    const white = await sharp({ create: { width: 40, height: 40, channels: 3, background: '#fff' } })
      .png()
      .toBuffer();
    // Those of the images before.
    await service.work();
    const mark = await service.add(white);
    const foreign = await service.add(white, { owner: 'bert' });
    const marked = ({ imageId }: Seeded) =>
      pathOf({ plan: `w_200,wm_${imageId},wmo_1,wms_0.5,wmm_0`, ext: 'png' });
    const response = await read(marked(mark));
    assert.equal(response.status, 200);
    const corner = await sharp(Buffer.from(await response.arrayBuffer()))
      .extract({ left: 175, top: 108, width: 15, height: 15 })
      .removeAlpha()
      .raw()
      .toBuffer();
    assert.ok(corner.every((value) => value > 250));
    assert.equal(response.headers.get('cache-control'), 'public, max-age=3600');
    await refused(marked(foreign), 'invalid_plan');
    // What was rendered with it is not shown any more once it is gone.
    await service.services.catalog.deleteImage(mark.imageId, new Date());
    await refused(marked(mark), 'invalid_plan');
  });

  it('draw what is a drawing as large as it is asked for', async () => {
    const drawing =
      '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="20" height="20"/></svg>';
    const { imageId } = await service.accept(Buffer.from(drawing), { filename: 'drawing.svg' });
    const response = await read(signTransformUrl({ imageId, plan: 'w_400', ext: 'png' }, { secret }));
    assert.deepEqual(await sizeOf(response), ['png', 400, 200]);
  });

  it('may name a rendition of a preset', async () => {
    const response = await read(pathOf({ plan: 'preset_web.thumbnail' }), { accept: CHROME });
    assert.equal(response.headers.get('vary'), null);
    assert.deepEqual(await sizeOf(response), ['webp', 150, 100]);
    assert.deepEqual(await sizeOf(await read(pathOf({ plan: 'preset_one' }))), ['png', 900, 600]);
  });

  it('without a signature are refused, unless that was switched on', async () => {
    for (const query of ['?unsigned', '?unsigned=true']) {
      const { detail } = await refused(`/t/-/w_90/${web.imageId}.webp${query}`, 'forbidden');
      assert.match(String(detail), /switched off/);
    }
    await refused(`/t/-/w_90/${web.imageId}.webp`, 'forbidden');
  });

  it('without a signature give what is public where that was switched on, and no more', async () => {
    const jpeg = await sharp(await photo(5))
      .withExif({ IFD0: { Copyright: 'Zoë' } })
      .toBuffer();
    const shown = await open.accept(jpeg);
    const hidden = await open.accept(await photo(6), { bucket: 'vault' });
    const url = ({ imageId }: Seeded, plan = 'w_90') => `/t/-/${plan}/${imageId}.jpg?unsigned`;
    assert.equal((await read(url(shown), {}, 'GET', open)).status, 200);
    await refused(url(shown).replace('?unsigned', ''), 'forbidden', open);
    await refused(url(shown, 'w_banana'), 'invalid_plan', open);
    await refused(url(hidden), 'forbidden', open);
    await refused(url(shown, 'w_90,meta_keep'), 'forbidden', open);
    // Nor what is hidden as a watermark of what is shown.
    await open.work();
    const marked = `w_90,wm_${hidden.imageId}`;
    await refused(url(shown, marked), 'invalid_plan', open);
    const asSigned = signTransformUrl({ imageId: shown.imageId, plan: marked, ext: 'jpg' }, { secret });
    assert.equal((await read(asSigned, {}, 'GET', open)).status, 200);
    const signed = signTransformUrl({ imageId: hidden.imageId, plan: 'w_90', ext: 'jpg' }, { secret });
    assert.equal((await read(`${signed}?unsigned`, {}, 'GET', open)).status, 200);
  });
});
