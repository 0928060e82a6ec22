/** The command as people run it: a process of its own, on real files. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import sharp from 'sharp';
import { Desk, MAIN, noise } from '../support/desk.ts';

/** For runs whose metadata and speed do not matter: one child process, without exiftool. */
const QUICK = ['--strip', '-j1'];

const sizeOf = async (bytes: Buffer) => {
  const { format, width, height } = await sharp(bytes).metadata();
  return { format, width, height };
};

describe('tintype', () => {
  let png: Buffer;
  let jpeg: Buffer;
  let truncated: Buffer;

  before(async () => {
    const image = sharp({ create: { width: 60, height: 40, channels: 3, background: '#b5651d' } });
    png = await image.png().toBuffer();
    jpeg = await image.clone().jpeg().toBuffer();
    truncated = (await noise(60, 40)).subarray(0, 3000);
  });

  describe('help and usage', () => {
    it('answers --help, --version and help with status 0', async (t) => {
      const desk = new Desk(t);
      for (const [args, pattern] of [
        [['--help'], /convert.*\n.*plan.*\n.*info.*\n.*serve/],
        [[], /Usage: tintype <command>/],
        [['--version'], /^tintype \d+\.\d+\.\d+\n$/],
        [['help', 'convert'], /--recursive/],
        [['convert', '--help'], /--force/],
        [['info', '-h'], /--json/],
        [['serve', '--help'], /PORT=9000/],
      ] as const) {
        const { status, stdout, stderr } = await desk.run(...args);
        assert.equal(status, 0, args.join(' '));
        assert.match(stdout, pattern);
        assert.equal(stderr, '');
      }
    });

    it('answers a command that it does not understand with status 2, doing nothing', async (t) => {
      const desk = new Desk(t);
      desk.put('a.png', png);
      for (const [args, pattern] of [
        [['convrt', 'a.png'], /unknown command convrt; did you mean convert\?/],
        [['convert', 'a.png', '--qualty', '3'], /unknown option --qualty; did you mean --quality\?/],
        [['convert', 'a.png', '--quality', '300'], /--quality: expected/],
        [['convert'], /nothing to convert/],
        [['help', 'inf'], /no command inf; did you mean info\?/],
        [['serve', 'now'], /takes no arguments/],
      ] as const) {
        const { status, stdout, stderr } = await desk.run(...args);
        assert.equal(status, 2, args.join(' '));
        assert.match(stderr, pattern);
        assert.equal(stdout, '');
      }
      assert.deepEqual(desk.files(), ['a.png']);
    });

    it('reads limits from .env, names a wrong one, and leaves others’ variables alone', async (t) => {
      const desk = new Desk(t);
      desk.put('a.png', png);
      desk.put('.env', 'MAX_IMAGE_MEGAPIXELS=0.001\nPORT=none\n');
      const tooLarge = await desk.run('convert', 'a.png');
      assert.equal(tooLarge.status, 1);
      assert.match(tooLarge.stderr, /failed a\.png: The image has too many pixels: .*MAX_IMAGE_MEGAPIXELS/);
      desk.put('.env', 'MAX_IMAGE_MEGAPIXELS=lots\n');
      const wrong = await desk.run('convert', 'a.png');
      assert.equal(wrong.status, 2);
      assert.match(wrong.stderr, /MAX_IMAGE_MEGAPIXELS: expected a number/);
    });
  });

  describe('convert', () => {
    it('puts the result beside the source, with its time, and says what it did in plain lines', async (t) => {
      const desk = new Desk(t);
      const source = desk.put('IMG_1.PNG', png);
      utimesSync(source, new Date(), new Date('2019-08-21T10:57:23Z'));
      const { status, stdout, stderr } = await desk.run('convert', 'IMG_1.PNG', '--width', '30');
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^converted IMG_1\.PNG → IMG_1\.jpg {2}30×20 {2}[\d.]+ k?B {2}[\d.]+ s\n$/);
      assert.match(stderr, /^1 file converted; .* → .* in [\d.]+ s\n$/);
      assert.doesNotMatch(stdout + stderr, /\x1b/);
      assert.deepEqual(await sizeOf(desk.read('IMG_1.jpg')), { format: 'jpeg', width: 30, height: 20 });
      assert.equal(statSync(join(desk.dir, 'IMG_1.jpg')).mtime.toISOString(), '2019-08-21T10:57:23.000Z');
    });

    it('mirrors a tree into a folder, passing over what is no image', async (t) => {
      const desk = new Desk(t);
      desk.put('in/a.png', png);
      desk.put('in/2024/b.png', png);
      desk.put('in/2024/notes.txt', 'text');
      desk.put('in/2024/._b.png', 'text');
      const { status, stdout, stderr } = await desk.run(
        'convert',
        'in',
        '-r',
        '-o',
        'out',
        '-f',
        'webp',
        '--json',
      );
      assert.equal(status, 0, stderr);
      assert.deepEqual(desk.files('out'), ['2024/b.webp', 'a.webp']);
      assert.match(stderr, /2 files converted, 1 skipped \(no image: 1\)/);
      const lines = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      assert.deepEqual(
        lines.map(({ source, output, status, width }) => [source, output, status, width]).sort(),
        [
          ['in/2024/b.png', 'out/2024/b.webp', 'converted', 60],
          ['in/a.png', 'out/a.webp', 'converted', 60],
        ],
      );
    });

    it('names what failed with the reason, converts the rest, and ends with status 1', async (t) => {
      const desk = new Desk(t);
      desk.put('good-1.png', png);
      desk.put('broken.png', truncated);
      desk.put('text.jpg', 'this is no picture');
      desk.put('good-2.jpg', jpeg);
      const { status, stdout, stderr } = await desk.run(
        ...['convert', 'good-1.png', 'broken.png', 'text.jpg', 'missing.heic', 'good-2.jpg', '-f', 'webp'],
      );
      assert.equal(status, 1);
      assert.match(stderr, /^failed text\.jpg: not a supported image but plain text$/m);
      assert.match(stderr, /^failed missing\.heic: no such file or folder$/m);
      assert.match(stderr, /^failed broken\.png: The image cannot be decoded/m);
      assert.match(stderr, /^2 files converted, 3 failed/m);
      assert.doesNotMatch(stdout, /failed/);
      assert.deepEqual(
        desk.files().filter((name) => name.endsWith('.webp')),
        ['good-1.webp', 'good-2.webp'],
      );
    });

    it('never replaces a file without --force, and goes on after a stop with --skip-existing', async (t) => {
      const desk = new Desk(t);
      desk.put('a.png', png);
      desk.put('a.jpg', 'mine');
      const first = await desk.run('convert', 'a.png');
      assert.equal(first.status, 1);
      assert.match(first.stderr, /failed a\.png: a\.jpg exists; --force replaces it/);
      assert.equal(desk.read('a.jpg').toString(), 'mine');
      const passed = await desk.run('convert', 'a.png', '--skip-existing');
      assert.equal(passed.status, 0);
      assert.match(passed.stderr, /1 skipped \(result exists: 1\)/);
      assert.equal(desk.read('a.jpg').toString(), 'mine');
      const forced = await desk.run('convert', ...QUICK, 'a.png', '--force');
      assert.equal(forced.status, 0, forced.stderr);
      assert.equal((await sizeOf(desk.read('a.jpg'))).format, 'jpeg');
    });

    it('never replaces a source, by whatever name, not even with --force', async (t) => {
      const desk = new Desk(t);
      desk.put('IMG_1.jpg', jpeg);
      desk.put('IMG_1.png', png);
      const { status, stderr } = await desk.run('convert', ...QUICK, '--force', 'IMG_1.jpg', 'IMG_1.png');
      assert.equal(status, 1);
      assert.match(stderr, /failed IMG_1\.jpg: it would replace itself/);
      assert.match(stderr, /failed IMG_1\.png: IMG_1\.jpg is itself one of the files to convert/);
      const folder = await desk.run('convert', ...QUICK, '--force', '.');
      assert.match(folder.stderr, /1 skipped \(would replace itself: 1\)/);
      assert.deepEqual(desk.read('IMG_1.jpg'), jpeg);
      assert.deepEqual(desk.read('IMG_1.png'), png);
    });

    it('keeps the extensions of sources that would become one file, and refuses what stays ambiguous', async (t) => {
      const desk = new Desk(t);
      for (const name of ['a.png', 'a.jpg', 'x/c.png', 'y/c.png'])
        desk.put(name, name.endsWith('png') ? png : jpeg);
      const kept = await desk.run('convert', 'a.png', 'a.jpg', '-o', 'out', '--dry-run');
      // Told as each file is looked at, in any order.
      assert.deepEqual(kept.stdout.trim().split('\n').sort(), [
        'would convert a.jpg → out/a.jpg.jpg',
        'would convert a.png → out/a.png.jpg',
      ]);
      assert.match(kept.stderr, /2 files of the same name but for the extension will keep it/);
      const refused = await desk.run('convert', 'x', 'y', '-o', 'out', '--flat');
      assert.equal(refused.status, 2);
      assert.match(
        refused.stderr,
        /x\/c\.png and y\/c\.png would both become out\/c\.jpg: nothing was converted/,
      );
      assert.equal(existsSync(join(desk.dir, 'out')), false);
    });

    it('expands patterns that the shell has left alone', async (t) => {
      const desk = new Desk(t);
      desk.put('in/a.PNG', png);
      desk.put('in/deep/b.png', png);
      desk.put('in/[c].png', png);
      const pattern = await desk.run('convert', 'in/**/*.png', '-o', 'out', '--dry-run');
      assert.equal(
        pattern.stdout.split('\n').sort().join('\n').trim(),
        [
          'would convert in/[c].png → out/[c].jpg',
          'would convert in/a.PNG → out/a.jpg',
          'would convert in/deep/b.png → out/deep/b.jpg',
        ].join('\n'),
      );
      const literal = await desk.run('convert', 'in/[c].png', '--dry-run');
      assert.equal(literal.stdout, 'would convert in/[c].png → in/[c].jpg\n');
      const none = await desk.run('convert', '*.heic');
      assert.equal(none.status, 1);
      assert.match(none.stderr, /failed \*\.heic: no file matches/);
    });

    it('writes one source into the file named, and refuses several for it', async (t) => {
      const desk = new Desk(t);
      desk.put('a.jpg', jpeg);
      desk.put('b.jpg', jpeg);
      const one = await desk.run('convert', ...QUICK, 'a.jpg', '-o', 'new/small.png', '--size', '12');
      assert.equal(one.status, 0, one.stderr);
      assert.deepEqual(await sizeOf(desk.read('new/small.png')), { format: 'png', width: 12, height: 8 });
      const two = await desk.run('convert', 'a.jpg', 'b.jpg', '-o', 'x.png');
      assert.equal(two.status, 2);
      assert.match(two.stderr, /one file, for one source/);
    });

    it('converts files of any name and shows names without their control characters', async (t) => {
      const desk = new Desk(t);
      const names = [
        '-rf.png',
        '--help.png',
        '$(touch pwned).png',
        '`id`.png',
        'a;b|c&d.png',
        '"><script>.png',
        "it's.png",
        'photo\r\nX-Injected: 1.png',
        '\x1b[31mred.png',
        'photo\u202egnp.png',
        'cafe\u0301.png',
        '日本語.png',
        '😀.png',
        ' .png',
        'a'.repeat(240),
      ];
      for (const name of names) desk.put(name, png);
      const { status, stdout, stderr } = await desk.run(
        'convert',
        ...QUICK,
        '-f',
        'gif',
        '-o',
        '../temp2',
        '--',
        ...names,
      );
      assert.equal(status, 0, stderr);
      const made = readdirSync(join(desk.dir, '../temp2')).sort();
      assert.deepEqual(made, names.map((name) => `${name.replace(/\.png$/, '')}.gif`).sort());
      assert.match(stdout, /photo\\r\\nX-Injected: 1\.png/);
      assert.doesNotMatch(stdout, /[\x1b\r\u202e]/);
      assert.deepEqual(desk.files(), [...names].sort(), 'nothing else was made');
    });

    it('says with --quiet only what failed', async (t) => {
      const desk = new Desk(t);
      desk.put('a.png', png);
      desk.put('b.txt', 'text');
      const { stdout, stderr } = await desk.run('convert', ...QUICK, '--quiet', 'a.png', 'b.txt');
      assert.equal(stdout, '');
      assert.equal(stderr, 'failed b.txt: not a supported image but plain text\n');
    });

    it('reports a full disk for the file concerned and leaves no part of it', async (t) => {
      const desk = new Desk(t);
      desk.put('large.png', await noise(600, 400));
      desk.put('small.png', png);
      mkdirSync(join(desk.dir, 'disk'));
      const script = 'mount -t tmpfs -o size=64k tmpfs disk && "$@"; s=$?; ls -A disk; exit $s';
      if (spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', desk.temp]).status !== 0) {
        t.skip('needs unprivileged user namespaces, to mount a small disk');
        return;
      }
      const { status, stdout, stderr } = await desk.start(
        ['convert', ...QUICK, '--quiet', 'large.png', 'small.png', '-o', 'disk'],
        ['unshare', '-rm', 'sh', '-c', script, 'sh', process.execPath, MAIN],
      ).outcome;
      assert.equal(status, 1, stderr);
      assert.equal(stderr, 'failed large.png: no space is left on the disk\n');
      assert.equal(stdout, 'small.jpg\n');
    });

    it('shows a progress bar on a terminal, and leaves the summary', (t) => {
      const desk = new Desk(t);
      for (const name of ['a.png', 'b.png', 'c.png']) desk.put(name, png);
      if (spawnSync('script', ['--version']).status !== 0) {
        t.skip('needs script (Debian package bsdutils)');
        return;
      }
      const onTerminal = (env: NodeJS.ProcessEnv) => {
        const command = `stty cols 90; '${process.execPath}' '${MAIN}' convert a.png b.png c.png --force --strip -j1`;
        const { status, stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
          cwd: desk.dir,
          env: desk.env({ TERM: 'xterm', ...env }),
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        assert.equal(status, 0, stdout);
        return stdout;
      };
      const colored = onTerminal({});
      assert.match(colored, /\r\x1b\[2K.*\x1b\[32m.*░.*0\/3 {2}a\.png/);
      assert.doesNotMatch(colored, /converted a\.png/, 'the bar tells enough');
      assert.match(colored, /\r\x1b\[2K3 files converted; .*\r\n$/);
      assert.doesNotMatch(onTerminal({ NO_COLOR: '1' }), /\x1b\[\d+m/);
      assert.match(onTerminal({ TERM: 'dumb' }), /converted a\.png → a\.jpg/);
    });
  });

  describe('info', () => {
    it('shows what is known in rows, or as JSON, and names what cannot be read', async (t) => {
      const desk = new Desk(t);
      const gps = await sharp(jpeg)
        .withExif({
          IFD0: { Make: 'Canon', Model: 'Canon EOS 80D' },
          IFD2: { ISOSpeedRatings: '200', FNumber: '28/10', ExposureTime: '1/250', FocalLength: '50/1' },
          IFD3: {
            GPSLatitudeRef: 'N',
            GPSLatitude: '51/1 30/1 0/1',
            GPSLongitudeRef: 'W',
            GPSLongitude: '0/1 7/1 30/1',
          },
        })
        .toBuffer();
      desk.put('a.jpg', gps);
      desk.put('b.txt', 'text');
      const table = await desk.run('info', 'a.jpg', 'b.txt');
      assert.equal(table.status, 1);
      assert.equal(table.stderr, 'failed b.txt: not a supported image but plain text\n');
      for (const row of [
        /^a\.jpg$/m,
        /^ {2}Format {8}JPEG \(image\/jpeg\)$/m,
        /^ {2}Size {10}60 × 40 px$/m,
        /^ {2}Camera {8}Canon EOS 80D$/m,
        /^ {2}Exposure {6}1\/250 s {2}f\/2\.8 {2}ISO 200 {2}50 mm$/m,
        /^ {2}GPS {11}51\.500000, -0\.125000 \(personal data/m,
      ]) {
        assert.match(table.stdout, row);
      }
      const lines = (await desk.run('info', '--json', 'a.jpg', 'b.txt')).stdout.trimEnd().split('\n');
      const [failed, known] = lines.map((line) => JSON.parse(line));
      assert.equal(failed.problem.code, 'unusable_input');
      assert.deepEqual(
        [known.file, known.facts.width, known.facts.bit_depth, known.info.iso],
        ['a.jpg', 60, 8, 200],
      );
    });
  });
});
