/** Who may read what: tokens, buckets, and URLs that are signed. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import type { OperationId } from '../../src/contract/operations.ts';
import { sign, signingKey } from '../../src/domain/signature.ts';
import type { ProblemCode } from '../../src/problem.ts';
import { type ImageService, type Seeded, startImageService } from '../support/image-service.ts';
import { exercise } from '../support/operations.ts';
import { photo } from '../support/photos.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import { endWithSuite } from '../support/service.ts';

const LOOKING = [
  'get_image',
  'get_image_sizes',
  'read_image',
  'get_image_info',
  'list_image_versions',
] as const satisfies OperationId[];

describe('access to images', () => {
  const ending = endWithSuite();
  let service: ImageService;
  let secret: Seeded;
  let open: Seeded;
  before(async () => {
    service = await startImageService(ending);
    secret = await service.add(await photo(1, 300, 200), { bucket: 'vault', preset: 'gallery' });
    open = await service.add(await photo(2, 300, 200), { bucket: 'photos' });
  });

  const pathOf = (id: OperationId, imageId: string) => exercise(id).path.replace('{image_id}', imageId);
  /** 200, or the code of the problem. */
  async function outcome(id: OperationId, path: string, authorization?: string): Promise<200 | ProblemCode> {
    const response = await service.get(path, authorization);
    const body = await response.text();
    assertPublished(
      id,
      response,
      response.headers.get('content-type')?.includes('json') ? JSON.parse(body) : body,
    );
    return response.ok ? 200 : JSON.parse(body).code;
  }

  describe('by token', () => {
    const viewers: [
      who: string,
      token: (s: ImageService) => Promise<string> | undefined,
      sees: boolean,
      owns: boolean,
    ][] = [
      ['nobody', () => undefined, false, false],
      ['somebody else', (s) => s.token('ben'), false, false],
      ['the owner', (s) => s.token('anna', { scope: 'read' }), true, true],
      ['the owner, for this bucket', (s) => s.token('anna', { buckets: ['vault', 'photos'] }), true, true],
      ['the owner, for another bucket', (s) => s.token('anna', { buckets: ['other'] }), false, false],
      ['an admin', (s) => s.token('root', { scope: 'admin' }), true, true],
      [
        'an admin of another bucket',
        (s) => s.token('root', { scope: 'admin', buckets: ['other'] }),
        false,
        false,
      ],
    ];
    for (const [who, tokenOf, sees, owns] of viewers) {
      it(`${who} ${sees ? 'sees' : 'does not see'} a private image`, async () => {
        const token = await tokenOf(service);
        for (const id of LOOKING) {
          assert.equal(await outcome(id, pathOf(id, secret.imageId), token), sees ? 200 : 'not_found', id);
        }
        const batch = await service.get(`/api/v1/images/batch?image_ids=${secret.imageId}`, token);
        const { items } = (await batch.json()) as { items: Record<string, { problem?: { code: string } }> };
        assert.equal(items[secret.imageId]!.problem?.code, sees ? undefined : 'not_found');
        const download = await outcome('download_image', pathOf('download_image', secret.imageId), token);
        assert.equal(download, owns ? 200 : token === undefined ? 'unauthorized' : 'not_found');
      });

      it(`${who} sees a public one${owns ? '' : ', and not its upload'}`, async () => {
        const token = await tokenOf(service);
        for (const id of LOOKING) assert.equal(await outcome(id, pathOf(id, open.imageId), token), 200, id);
        const download = await outcome('download_image', pathOf('download_image', open.imageId), token);
        assert.equal(download, owns ? 200 : token === undefined ? 'unauthorized' : 'forbidden');
      });
    }

    it('a private image is to a stranger what no image is', async () => {
      const ben = await service.token('ben');
      for (const id of [...LOOKING, 'download_image'] as const) {
        const [hidden, none] = await Promise.all(
          [secret.imageId, randomUUID()].map(async (imageId) => {
            const response = await service.get(pathOf(id, imageId), ben);
            const { instance, request_id, ...body } = await assertProblem(id, response, 'not_found');
            const headers = [...response.headers.keys()].sort();
            return { body, headers };
          }),
        );
        assert.deepEqual(hidden, none, id);
      }
    });

    it('a token that is wrong is refused, also for what is public', async () => {
      for (const id of LOOKING) {
        assert.equal(await outcome(id, pathOf(id, open.imageId), 'Bearer a.b.c'), 'unauthorized', id);
      }
    });

    it('a token without a scope does not read what anybody may not', async () => {
      const token = await service.token('anna', { scope: '' });
      assert.equal(await outcome('get_image', pathOf('get_image', secret.imageId), token), 'forbidden');
    });

    it('the bytes of a private image stay in the cache of its reader, who is asked again', async () => {
      const response = await service.get(pathOf('read_image', secret.imageId), await service.token('anna'));
      await response.arrayBuffer();
      assert.equal(response.headers.get('cache-control'), 'private, max-age=0, must-revalidate');
    });
  });

  describe('by signed URL', () => {
    interface Item {
      size: string;
      format: string;
      url: string;
    }
    /** What the owner is given. */
    async function given(): Promise<Item[]> {
      const response = await service.get(
        pathOf('get_image_sizes', secret.imageId),
        await service.token('anna'),
      );
      return ((await response.json()) as { items: Item[] }).items;
    }
    const read = (url: string | URL, token?: string) => outcome('read_image', String(url), token);
    const changed = (url: string, change: Record<string, string | undefined>) => {
      const other = new URL(url);
      for (const [name, value] of Object.entries(change)) {
        if (value === undefined) other.searchParams.delete(name);
        else other.searchParams.set(name, value);
      }
      return other;
    };

    it('anybody reads the one size, for an hour at least', async (t) => {
      t.after(() => {
        service.clock.aheadMs = 0;
      });
      for (const { url, format } of await given()) {
        const response = await service.get(url);
        assert.equal(response.headers.get('content-type'), `image/${format}`);
        const [, seconds] = /^private, max-age=(\d+), immutable$/.exec(
          response.headers.get('cache-control')!,
        )!;
        assert.ok(Number(seconds) > 3_590 && Number(seconds) <= 3_900, String(seconds));
        await response.arrayBuffer();
        service.clock.aheadMs = 3_590_000;
        assert.equal(await read(url), 200);
        service.clock.aheadMs = 3_901_000;
        assert.equal(await read(url), 'forbidden');
        assert.equal(
          await read(url, await service.token('anna')),
          'forbidden',
          'a wrong URL is wrong for all',
        );
        service.clock.aheadMs = 0;
      }
    });

    it('the same URL is given for some minutes, so that caches are of use', async (t) => {
      t.after(() => {
        service.clock.aheadMs = 0;
      });
      const step = 300_000;
      // Where a step of five minutes begins.
      service.clock.aheadMs = step - (Date.now() % step);
      const first = await given();
      service.clock.aheadMs += step / 2;
      assert.deepEqual(await given(), first);
      service.clock.aheadMs += step;
      assert.notDeepEqual(await given(), first);
    });

    it('nothing else than what it names can be read', async () => {
      const [{ url } = { url: '' }, other] = await given();
      assert.equal(await read(url), 200);
      const signature = new URL(url).searchParams.get('signature')!;
      const last = signature.at(-1) === 'A' ? 'B' : 'A';
      const wrong: Record<string, string | undefined>[] = [
        { size: 'optimized' },
        { format: 'jpeg' },
        { format: undefined },
        { version: '2' },
        { version: undefined },
        { expires: String(Number(new URL(url).searchParams.get('expires')) + 1) },
        { expires: '99999999999' },
        { expires: undefined },
        { expires: 'x' },
        { signature: undefined },
        { signature: '' },
        { signature: signature.slice(0, -1) },
        { signature: signature.slice(0, -1) + last },
        { signature: new URL(other!.url).searchParams.get('signature')! },
      ];
      for (const change of wrong)
        assert.equal(await read(changed(url, change)), 'forbidden', JSON.stringify(change));
      const unsigned = changed(url, { signature: undefined, expires: undefined });
      assert.equal(await read(unsigned), 'not_found');
      for (const imageId of [open.imageId, randomUUID()]) {
        assert.equal(await read(url.replace(secret.imageId, imageId)), 'forbidden');
      }
    });

    it('of a list, Accept chooses the format', async () => {
      const response = await service.get(
        `${exercise('list_images').path}?bucket=vault`,
        await service.token('anna'),
      );
      const { items } = (await response.json()) as { items: { urls: Record<string, string> }[] };
      const url = items[0]!.urls.optimized!;
      for (const format of ['webp', 'jpeg']) {
        const bytes = await service.get(url, undefined, { headers: { accept: `image/${format}` } });
        assert.equal(bytes.headers.get('content-type'), `image/${format}`);
        assert.equal(bytes.headers.get('vary'), 'Accept');
        await bytes.arrayBuffer();
      }
    });

    it('a signature that was made for another purpose does not count', async () => {
      const { urlSigningKey } = service.services;
      const expires = new Date(Date.now() + 60_000);
      const parts = [secret.imageId, 'thumbnail', 'webp', '1'];
      for (const [purpose, expected] of [
        ['image-url', 200],
        ['presigned-upload', 'forbidden'],
      ] as const) {
        const query = {
          size: 'thumbnail',
          format: 'webp',
          version: '1',
          ...sign(signingKey(urlSigningKey, purpose), parts, expires),
        };
        const path = `${pathOf('read_image', secret.imageId)}?${new URLSearchParams(query)}`;
        assert.equal(await read(path), expected, purpose);
      }
    });

    it('nothing is looked up: not the image, not its info', async () => {
      const [{ url } = { url: '' }] = await given();
      for (const path of ['', '/all', '/info', '/versions', '/download']) {
        const other = new URL(url);
        other.pathname = other.pathname.replace('/direct', path);
        const response = await service.get(String(other));
        assert.ok([401, 404, 422].includes(response.status), `${path} ${response.status}`);
      }
    });

    it('a public image needs none, and no answer about it holds one', async () => {
      const response = await service.get(pathOf('get_image_sizes', open.imageId));
      const { items } = (await response.json()) as { items: Item[] };
      for (const { url } of items) {
        assert.doesNotMatch(url, /signature|expires/);
        assert.equal(await read(url), 200);
      }
    });

    it('signatures are not logged', async () => {
      const [{ url } = { url: '' }] = await given();
      await read(url);
      const log = JSON.stringify(service.logged);
      assert.ok(!log.includes(new URL(url).searchParams.get('signature')!));
    });
  });

  it('URLs name the host that was asked', async () => {
    const response = await service.get(pathOf('get_image', open.imageId));
    const { url } = (await response.json()) as { url: string };
    assert.equal(new URL(url).origin, service.address);
  });
});
