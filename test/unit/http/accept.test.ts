import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseFormat } from '../../../src/http/accept.ts';

describe('the format that Accept chooses', () => {
  const cases: [accept: string | undefined, formats: [string, ...string[]], chosen: string][] = [
    // WebP and AVIF only to those that name them.
    [undefined, ['webp', 'jpeg'], 'jpeg'],
    ['', ['webp', 'jpeg'], 'jpeg'],
    ['*/*', ['avif', 'webp', 'png'], 'png'],
    ['image/*', ['webp', 'jpeg'], 'jpeg'],
    ['image/webp,*/*', ['webp', 'jpeg'], 'webp'],
    ['image/avif,image/webp', ['avif', 'webp', 'jpeg'], 'avif'],
    // By quality, then in the order of the preset.
    ['image/jpeg;q=0.9,image/webp;q=0.5', ['webp', 'jpeg'], 'jpeg'],
    ['image/jpeg;q=0.5,image/webp;q=0.5', ['jpeg', 'webp'], 'jpeg'],
    ['image/png, image/jpeg', ['jpeg', 'png'], 'jpeg'],
    // The most specific range counts.
    ['image/jpeg;q=0,image/*;q=0.5', ['jpeg', 'png'], 'png'],
    ['*/*;q=0.1,image/*;q=0.9,image/png;q=0.5', ['png', 'jpeg'], 'jpeg'],
    // Nothing fits: what everybody can show.
    ['text/html', ['webp', 'jpeg'], 'jpeg'],
    ['image/jpeg;q=0', ['webp', 'jpeg'], 'jpeg'],
    ['text/html', ['webp', 'avif'], 'webp'],
    ['garbage', ['webp', 'jpeg'], 'jpeg'],
  ];
  for (const [accept, formats, chosen] of cases) {
    it(`of ${formats.join(', ')} with ${accept ?? 'no header'} is ${chosen}`, () => {
      assert.equal(chooseFormat(accept, formats), chosen);
    });
  }
});
