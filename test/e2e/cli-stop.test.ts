/** What is left when a conversion is ended in the middle: whole files, and nothing else. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import sharp from 'sharp';
import { Desk, LAUNCHER, noise } from '../support/desk.ts';

describe('tintype convert, ended in the middle', () => {
  /** Twelve files of which the first is done at once and each other takes long. */
  async function batch(t: TestContext): Promise<{ desk: Desk; args: string[] }> {
    const desk = new Desk(t);
    desk.put('in/00.png', await noise(30, 20));
    const slow = await noise(1400, 1000);
    for (let i = 1; i < 12; i++) desk.put(`in/${String(i).padStart(2, '0')}.png`, slow);
    return { desk, args: ['convert', 'in', '-o', 'out', '-f', 'avif', '-e', '7', '--strip', '-j', '2'] };
  }

  async function assertTidy(desk: Desk, pid: number | undefined): Promise<void> {
    const made = desk.files('out');
    assert.ok(made.length >= 1 && made.length < 12, `${made.length} results`);
    // A whole picture each: hidden parts and half files would not decode.
    for (const name of made) await sharp(desk.read(join('out', name))).stats();
    assert.ok(
      made.every((name) => /^\d\d\.avif$/.test(name)),
      made.join(' '),
    );
    assert.deepEqual(readdirSync(desk.temp), [], 'temporary files are left');
    if (process.platform === 'linux') assert.deepEqual(processesOf(pid), [], 'children are left');
  }

  /** Children of the pool name their parent in their arguments. */
  function processesOf(pid: number | undefined): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((name) => {
        try {
          const args = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
          return args.some((arg) => arg.includes('/pool/child')) && args.includes(String(pid));
        } catch {
          return false; // it ended meanwhile
        }
      });
  }

  it('stops on Ctrl-C with status 130, leaving whole files only', async (t) => {
    const { desk, args } = await batch(t);
    const running = desk.start(args);
    await running.says(/converted in\/00\.png/);
    running.child.kill('SIGINT');
    // As a launcher in between would: the same press, twice.
    running.child.kill('SIGINT');
    const { status, stderr } = await running.outcome;
    assert.equal(status, 130, stderr);
    assert.match(stderr, /^stopped: \d+ files? converted, \d+ not done/m);
    assert.doesNotMatch(stderr, /failed/);
    await assertTidy(desk, running.child.pid);
  });

  it('stops in the same way when nobody reads its output any more', async (t) => {
    const { desk, args } = await batch(t);
    const running = desk.start([...args, '--json']);
    // Noticed with the first line that is written: when the first picture is done.
    running.child.stdout?.destroy();
    const { status } = await running.outcome;
    assert.equal(status, 141);
    await assertTidy(desk, running.child.pid);
  });

  it('passes signals and statuses through the launcher, under any Node', async (t) => {
    const { desk, args } = await batch(t);
    const older = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
      const major = Number(
        /^v(\d+)/.exec(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1],
      );
      return major >= 20 && major < 26;
    });
    assert.equal((await desk.start(['--nope'], [process.execPath, LAUNCHER]).outcome).status, 2);
    if (!older) {
      t.skip('needs a system Node from 20 to 25, to be launched from');
      return;
    }
    assert.equal((await desk.start(['--nope'], [older, LAUNCHER]).outcome).status, 2);
    const running = desk.start(args, [older, LAUNCHER]);
    await running.says(/converted in\/00\.png/);
    running.child.kill('SIGTERM');
    assert.equal((await running.outcome).status, 143);
    await assertTidy(desk, undefined);
  });
});
