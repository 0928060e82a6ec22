import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isOwner } from '../../../src/ports/process-owner.ts';
import { isGone, leaseOwner } from '../../../src/services/lease-owner.ts';
import { until } from '../../support/pool.ts';

const MODULE = fileURLToPath(import.meta.resolve('../../../src/services/lease-owner.ts'));
const [host, pid, start, boot] = leaseOwner().split(':');

describe('the owner of a lease', () => {
  test('is host, process, its start and the start of the machine', () => {
    assert.ok(isOwner(leaseOwner()));
    assert.equal(Number(pid), process.pid);
    assert.equal(leaseOwner(), leaseOwner());
    assert.ok(leaseOwner().length < 120);
  });

  test('is not gone while its process lives, and gone once it is killed', async (t) => {
    const code = `import { leaseOwner } from ${JSON.stringify(MODULE)}; console.log(leaseOwner()); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    const [text] = await once(child.stdout, 'data');
    const owner = String(text).trim();
    assert.notEqual(owner, leaseOwner());
    assert.equal(isGone(owner), false);
    child.kill('SIGKILL');
    await until('the process is gone', () => isGone(owner));
  });

  test('a living process is not gone', () => {
    assert.equal(isGone(leaseOwner()), false);
  });

  test('a later process with the same id is another one', {
    skip: start === '0' && 'needs start times',
  }, () => {
    assert.equal(isGone([host, pid, Number(start) - 1, boot].join(':')), true);
  });

  test('before the machine was started anew, all are gone', { skip: boot === '' && 'needs boot ids' }, () => {
    assert.equal(isGone([host, pid, start, '00000000-0000-4000-8000-000000000000'].join(':')), true);
  });

  test('of another host nothing is known, and of a text that is no owner', () => {
    assert.equal(isGone(['elsewhere.01234567', 1, 1, boot].join(':')), false);
    for (const text of ['', 'worker-1', `${host}:0:1:${boot}`, `${host}:-1:1:${boot}`, `${host}::1:`]) {
      assert.equal(isGone(text), false, text);
    }
  });
});
