import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { processesHidden } from '../../support/processes.ts';
import { readTrace, tracer, tracingForbidden } from '../../support/system-calls.ts';
import { tempDir } from '../../support/temp.ts';
import { requireTool } from '../../support/tools.ts';

describe('the trace of a process', { skip: processesHidden }, () => {
  it('shows what it and its children read, change, run and call', (t) => {
    const strace = requireTool(t, 'strace');
    if (!strace) return;
    const forbidden = tracingForbidden(strace);
    if (forbidden !== undefined) return t.skip(forbidden);
    const dir = tempDir(t);
    const output = join(dir, 'trace');
    // Not as a grandchild, so that the trace is complete when this returns.
    const [program = '', ...args] = tracer(strace, output).filter((arg) => arg !== '-D');
    const script = `
      const fs = require('node:fs');
      fs.readFileSync('/etc/passwd');
      fs.symlinkSync('/etc/group', 'link');
      fs.readFileSync('link');
      try { fs.readFileSync('/nowhere/at/all'); } catch {}
      require('node:child_process').execFileSync('/bin/sh', ['-c', 'echo > made']);
      fs.renameSync('${dir}/made', '${dir}/moved');
      fs.rmSync('moved');
      require('node:net').connect(9, '127.0.0.1').on('error', () => {});`;
    const run = spawnSync(program, [...args, process.execPath, '-e', script], { cwd: dir, encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr);

    const calls = readTrace(output);
    const touching = (path: string) => calls.filter(({ paths }) => paths.includes(path));
    assert.ok(touching('/etc/passwd').some(({ writes, failed }) => !writes && !failed));
    assert.ok(touching('/nowhere/at/all').every(({ failed }) => failed));
    assert.ok(touching(join(dir, 'link')).some(({ paths }) => paths.includes('/etc/group')));
    assert.ok(touching(join(dir, 'made')).some(({ name, writes }) => name === 'openat' && writes));
    assert.deepEqual(
      touching(join(dir, 'moved')).map(({ name, writes }) => [name, writes]),
      [['rename', true]],
    );
    assert.ok(touching('moved').some(({ name, writes }) => name.startsWith('unlink') && writes));
    assert.ok(calls.some(({ name, text }) => name === 'execve' && text.startsWith('"/bin/sh"')));
    assert.ok(
      calls.some(({ name, text }) => name === 'connect' && text.includes('sin_addr=inet_addr("127.0.0.1")')),
    );
    assert.ok(new Set(calls.map(({ pid }) => pid)).size >= 2);
    assert.ok(calls.every(({ at }) => Math.abs(Date.now() - at) < 60_000));
  });
});
