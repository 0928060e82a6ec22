/** Every hostile file through the server: each gets the answer of its class, and nobody else notices. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { corpusMissing, good, hostile, hostileFacts } from '../support/corpus.ts';
import { assertPublished } from '../support/published.ts';
import { convert, endWithSuite, startService, type TestService } from '../support/service.ts';

const VIDEO = 'a video is no image, whole or broken: 415 says so before anything is decoded';
const NO_SIGNATURE = 'the damage hits the signature, so by its bytes it is nothing that is known';

/** Where another answer than the corpus expects is right. */
const JUDGED: Record<string, { status: number; because: string }> = {
  'gen-cut50-video-imovie.mp4': { status: 415, because: VIDEO },
  'gen-cut50-video.webm': { status: 415, because: VIDEO },
  'gen-flip24-video-imovie.mp4': { status: 415, because: VIDEO },
  'gen-flip24-video.webm': { status: 415, because: VIDEO },
  'gen-ftyp-only.mp4': { status: 415, because: VIDEO },
  'mov-poc-fgw8.mov': { status: 415, because: VIDEO },
  'mp4-poc-2340.mp4': { status: 415, because: VIDEO },
  'heic-github20.heic': { status: 415, because: NO_SIGNATURE },
  'raf-poc-857.raf': { status: 415, because: NO_SIGNATURE },
  'svgz-truncated.svgz': { status: 415, because: 'what is left does not unpack to the beginning of an SVG' },
  'jpg-lossless.jpg': { status: 200, because: 'libjpeg-turbo 3 decodes lossless JPEG' },
  'svg-as-jpg-gm.jpg': {
    status: 200,
    because: 'it is an SVG by its bytes, and is rendered as one without its links',
  },
};

describe('hostile files over HTTP', { skip: corpusMissing }, () => {
  const ending = endWithSuite();
  let service: TestService;
  let photo: Buffer;
  let over = false;
  let neighbours: Promise<number[]>;

  before(async () => {
    service = await startService(ending, { PROCESSING_TIMEOUT: '60' });
    photo = readFileSync(good('jpeg-orient-1.jpg'));
    neighbours = (async () => {
      const statuses: number[] = [];
      while (!over) {
        const response = await convert(service, photo, { query: 'width=100' });
        statuses.push(response.status);
        await response.arrayBuffer();
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      return statuses;
    })();
  });

  // The carriers of the EICAR signature are never on disk, so that no scanner takes the corpus away.
  for (const { name, expect, why } of hostileFacts.filter((facts) => !facts.name.includes('eicar'))) {
    it(`${name}: ${expect} (${why})`, async () => {
      const response = await convert(service, readFileSync(hostile(name)), {
        query: 'format=png',
        filename: name,
      });
      const body = response.status === 200 ? await response.arrayBuffer() : await response.json();
      assertPublished('convert', response, body);
      const wanted = JUDGED[name] ? [JUDGED[name].status] : statusesOf(expect);
      assert.ok(wanted.includes(response.status), `${response.status} ${JSON.stringify(body)}`);
    });
  }

  it('are answered while good files are, and lose no child that is not replaced', async () => {
    over = true;
    const statuses = await neighbours;
    assert.ok(statuses.length > 3 && statuses.every((status) => status === 200), String(statuses));
    assert.deepEqual(service.scratch(), []);
    const ready = await fetch(`${service.address}/ready`);
    assert.equal(ready.status, 200);
  });
});

function statusesOf(expect: string): number[] {
  return expect.split('/').flatMap((word) => {
    if (word.startsWith('accept')) return [200];
    return word.startsWith('sanitise') ? [200, 415, 422] : [Number.parseInt(word, 10)];
  });
}
