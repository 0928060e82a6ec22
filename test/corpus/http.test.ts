/** Every hostile file through the server: each gets the answer of its class, and nobody else notices. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { corpusMissing, good, hostile, hostileFacts } from '../support/corpus.ts';
import { answersTo } from '../support/judged.ts';
import { assertPublished } from '../support/published.ts';
import { convert, endWithSuite, startService, type TestService } from '../support/service.ts';

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
      assert.ok(
        answersTo({ name, expect }).includes(response.status),
        `${response.status} ${JSON.stringify(body)}`,
      );
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
