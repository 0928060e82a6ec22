import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Scope } from '../../../src/contract/operation.ts';
import { allScopes } from '../../../src/contract/tokens.ts';
import {
  canSee,
  type Principal,
  requireBucket,
  requireOwner,
  requireScope,
} from '../../../src/domain/access.ts';
import { Problem } from '../../../src/problem.ts';

const principal = (subject: string, scopes: Scope[], buckets?: string[]): Principal => ({
  subject,
  scopes: allScopes(scopes),
  ...(buckets && { buckets: new Set(buckets) }),
});

const isForbidden = (detail: RegExp) => (error: unknown) =>
  error instanceof Problem && error.code === 'forbidden' && detail.test(error.detail!);

const image = { owner: 'ann', bucket: 'photos' };

describe('scopes', () => {
  it('imply the smaller ones', () => {
    assert.deepEqual([...allScopes(['read'])], ['read']);
    assert.deepEqual([...allScopes(['write'])].sort(), ['read', 'write']);
    assert.deepEqual([...allScopes(['admin'])].sort(), ['admin', 'read', 'write']);
    assert.deepEqual([...allScopes([])], []);
  });

  it('are required by name', () => {
    requireScope(principal('ann', ['write']), 'read');
    assert.throws(() => requireScope(principal('ann', ['read']), 'write'), isForbidden(/scope write/));
    assert.throws(() => requireScope(principal('ann', ['write']), 'admin'), isForbidden(/scope admin/));
  });
});

describe('a token for certain buckets', () => {
  it('is for no other, an admin’s included; one that names none is for all', () => {
    requireBucket(principal('ann', ['write']), 'anything');
    requireBucket(principal('ann', ['write'], ['photos']), 'photos');
    assert.throws(
      () => requireBucket(principal('ann', ['admin'], ['photos']), 'scans'),
      isForbidden(/not for the bucket scans/),
    );
    assert.throws(() => requireBucket(principal('ann', ['write'], []), 'photos'), isForbidden(/bucket/));
  });
});

describe('an image', () => {
  it('is changed by its owner and by admins, in a bucket that their token is for', () => {
    requireOwner(principal('ann', ['write']), image);
    requireOwner(principal('root', ['admin']), image);
    assert.throws(() => requireOwner(principal('bob', ['write']), image), isForbidden(/somebody else/));
    assert.throws(() => requireOwner(principal('ann', ['write'], ['scans']), image), isForbidden(/bucket/));
    assert.throws(() => requireOwner(principal('root', ['admin'], ['scans']), image), isForbidden(/bucket/));
  });

  it('that is public is seen by anybody', () => {
    const open = { ...image, visibility: 'public' } as const;
    for (const who of [undefined, principal('bob', []), principal('bob', ['read'], ['scans'])]) {
      assert.equal(canSee(who, open), true);
    }
  });

  it('that is private is seen by its owner and by admins, who may read there', () => {
    const hidden = { ...image, visibility: 'private' } as const;
    for (const [who, seen] of [
      [undefined, false],
      [principal('ann', ['read']), true],
      [principal('ann', ['write']), true],
      [principal('ann', []), false],
      [principal('ann', ['read'], ['photos']), true],
      [principal('ann', ['read'], ['scans']), false],
      [principal('bob', ['write']), false],
      [principal('root', ['admin']), true],
      [principal('root', ['admin'], ['scans']), false],
    ] as const) {
      assert.equal(canSee(who, hidden), seen, JSON.stringify(who && [who.subject, [...who.scopes]]));
    }
  });
});
