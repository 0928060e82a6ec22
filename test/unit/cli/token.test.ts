import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UsageError } from '../../../src/cli/args.ts';
import { readTokenRequest } from '../../../src/cli/token.ts';

describe('what a token is asked for', () => {
  it('is read: scopes in one value or several, each bucket once, a day unless said otherwise', () => {
    assert.deepEqual(readTokenRequest(['--sub', 'me', '--scope', 'write read']), {
      subject: 'me',
      scopes: ['read', 'write'],
      buckets: [],
      expiresInSeconds: 86_400,
    });
    const args = '--sub me --scope read,write --admin --bucket abc --bucket xyz --bucket abc --expires 90M';
    assert.deepEqual(readTokenRequest(args.split(' ')), {
      subject: 'me',
      scopes: ['read', 'write', 'admin'],
      buckets: ['abc', 'xyz'],
      expiresInSeconds: 5_400,
    });
  });

  it('is refused with what is missing or wrong', () => {
    for (const [args, pattern] of [
      [[], /--sub <name>/],
      [['--sub', 'me'], /--scope <scopes>/],
      [['--sub', 'me', '--scope', 'wirte'], /expected read, write, admin, got wirte; did you mean write\?/],
      [['--sub', 'me', '--scope', 'read', 'write'], /one value: --scope "read write"/],
      [['--sub', 'me', '--admin', '--bucket', 'A'], /--bucket: expected 3 to 63/],
      [['--sub', 'me', '--admin', '--expires', 'soon'], /--expires: expected a time such as/],
      [['--sub', 'me', '--admin', '--expires', '0h'], /--expires/],
      [['--sub', 'me', '--admin', '--expires', '20000d'], /ten years at most/],
      [['--sub', 'a\nb', '--admin'], /--sub: expected/],
      [['--sub', 'a'.repeat(256), '--admin'], /--sub: expected/],
    ] as [string[], RegExp][]) {
      assert.throws(
        () => readTokenRequest(args),
        (error) => error instanceof UsageError && pattern.test(error.message),
        args.join(' '),
      );
    }
  });
});
