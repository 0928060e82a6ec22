/** The house's rules, as docs/architecture.md tells them, held over the text of the sources. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { cyclesOf, type Import, importsOf } from './support/imports.ts';

const root = resolve(import.meta.dirname, '..');

/** Room → the rooms that it may see. A file directly in `src/` is a room of its own. */
const ROOMS: Record<string, readonly string[]> = {
  main: [
    'app',
    'cli',
    'http',
    'worker',
    'services',
    'config',
    'engine',
    'domain',
    'ports',
    'contract',
    'problem',
  ],
  app: [
    'http',
    'worker',
    'cli',
    'drivers',
    'services',
    'secrets',
    'config',
    'engine',
    'domain',
    'ports',
    'contract',
    'problem',
  ],
  http: ['services', 'config', 'engine', 'domain', 'ports', 'contract', 'problem'],
  worker: ['services', 'config', 'engine', 'domain', 'ports', 'contract', 'problem'],
  cli: ['services', 'secrets', 'config', 'engine', 'domain', 'ports', 'contract', 'problem'],
  services: ['engine', 'domain', 'ports', 'contract', 'problem'],
  drivers: ['domain', 'ports', 'contract', 'problem'],
  ports: ['domain', 'contract', 'problem'],
  domain: ['contract', 'problem'],
  secrets: ['config', 'contract', 'problem'],
  config: ['engine', 'contract', 'problem'],
  engine: ['contract', 'problem'],
  contract: ['problem'],
  problem: [],
};

/** Package (or scope) → the only room that may import it. */
const PACKAGE_HOMES: Record<string, string> = {
  fastify: 'http',
  '@fastify': 'http',
  sharp: 'engine',
  'libheif-js': 'engine',
  'libraw-wasm': 'engine',
  'exiftool-vendored': 'engine',
};

/** The contract is a language: of packages it knows zod alone, and of Node nothing that does I/O. */
const CONTRACT_PACKAGES = new Set(['zod', 'node:crypto', 'node:util']);

const MAX_LINES = 450;
/** Absolute paths of one machine. */
const MACHINE = /(^|[\s"'`(=:])\/(work|root)\/|\.\.\/\.library/m;
/** Who may write to stdout: it belongs to a person at a terminal, or to the program that reads results. */
const CONSOLE_ROOMS = new Set(['main', 'app', 'cli']);

function roomOf(file: string): string {
  const [, first, ...rest] = file.split('/');
  return rest.length > 0 ? first! : first!.replace(/\.ts$/, '');
}

function complaintsAbout({ from, to, kind }: Import): string[] {
  const room = roomOf(from);
  const seen = ROOMS[room];
  if (!seen) return [`${from}: "${room}" is not a room of the house`];
  if (kind === 'file') {
    if (!to.startsWith('src/')) return to === 'package.json' ? [] : [`${from} reaches out of src/ to ${to}`];
    return roomOf(to) === room || seen.includes(roomOf(to)) ? [] : [`${from} (${room}) must not see ${to}`];
  }
  if (room === 'contract' && !CONTRACT_PACKAGES.has(to)) return [`${from}: the contract must not use ${to}`];
  const home = PACKAGE_HOMES[to] ?? PACKAGE_HOMES[to.split('/')[0]!];
  return home && home !== room ? [`${from}: ${to} belongs to src/${home} alone`] : [];
}

/** Everything that is wrong with a tree of sources, a line each. */
function complaints(files: ReadonlyMap<string, string>): string[] {
  const imports = importsOf(files);
  return [
    ...new Set(imports.flatMap(complaintsAbout)),
    ...cyclesOf(imports).map((cycle) => `a cycle: ${cycle.join(' → ')}`),
    ...[...files].flatMap(([file, text]) => {
      const lines = text.split('\n').length - 1;
      const talks =
        !CONSOLE_ROOMS.has(roomOf(file)) && /^[^'"`/*]*\bconsole\.(log|info|debug|dir|table)\(/m.test(text);
      return [
        ...(lines > MAX_LINES ? [`${file} has ${lines} lines: what second thing does it do?`] : []),
        ...(talks ? [`${file} writes to stdout`] : []),
      ];
    }),
  ];
}

/** Tracked files, and new ones that are not ignored; without git, what lies in the project's own folders. */
function repositoryFiles(): string[] {
  const git = spawnSync('git', ['ls-files', '-z', '-c', '-o', '--exclude-standard'], { cwd: root });
  const listed =
    git.status === 0
      ? git.stdout.toString().split('\0')
      : globSync(['*.{json,md}', '{.ci,bin,bench,docs,scripts,src,test}/**/*.*'], { cwd: root });
  // The index may still name a file that was just removed.
  return listed.filter((file) => file && existsSync(join(root, file)));
}

const read = (file: string) => readFileSync(join(root, file), 'utf8');

describe('the house', () => {
  const files = repositoryFiles();
  const sources = files.filter((file) => /^src\/.*\.ts$/.test(file));

  test('imports point down, packages stay in their rooms, nothing is circular or too long', () => {
    assert.ok(sources.length > 10, 'found the sources');
    assert.deepEqual(complaints(new Map(sources.map((file) => [file, read(file)]))), []);
  });

  test('no file names the machine that it was written on', () => {
    const textFiles = files.filter((file) => /\.(ts|mjs|js|json|md|ya?ml|sh|example)$|^\.ci\//.test(file));
    const found = textFiles.filter((file) => MACHINE.test(read(file)));
    assert.deepEqual(found, []);
  });

  test('documents link to files that exist', () => {
    const pages = files.filter((file) => file.endsWith('.md'));
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)/g)]
        .map((link) => join(root, dirname(page), link[1]!))
        .filter((target) => !existsSync(target))
        .map((target) => `${page}: ${relative(root, target)}`),
    );
    assert.deepEqual(broken, []);
  });
});

describe('the lockfile', () => {
  const packages = JSON.parse(read('package-lock.json')).packages as Record<
    string,
    { resolved?: string; optionalDependencies?: Record<string, string> }
  >;

  test('names no registry but the public one', () => {
    const addresses = Object.values(packages).flatMap(({ resolved }) => resolved ?? []);
    assert.deepEqual(
      addresses.filter((url) => !url.startsWith('https://registry.npmjs.org/')),
      [],
    );
  });

  test('holds the optional packages of every platform, without which npm ci refuses to start', () => {
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) => !packages[`${path}/node_modules/${name}`] && !packages[`node_modules/${name}`],
      ),
    );
    assert.deepEqual(missing, []);
  });
});

describe('the rules notice what they are for', () => {
  const complaintsOf = (files: Record<string, string>) => complaints(new Map(Object.entries(files)));
  test('a path of one machine, not a folder or an address that looks like it', () => {
    const [work, home] = ['work', 'root'].map((name) => `/${name}/x`);
    for (const text of [`from '${work}'`, `cd ${home}`, ['..', '.library'].join('/')])
      assert.match(text, MACHINE);
    for (const text of ['https://example.com/work/', 'docs/work/a', 'root/'])
      assert.doesNotMatch(text, MACHINE);
  });

  const cases: [title: string, files: Record<string, string>, complaint: RegExp][] = [
    [
      'an import that points up',
      { 'src/engine/a.ts': "import { x } from '../http/b.ts';" },
      /engine\) must not see/,
    ],
    [
      'a type import that points up',
      { 'src/ports/a.ts': "import type { X } from '../services/b.ts';" },
      /must not see/,
    ],
    [
      'an import over several lines',
      { 'src/engine/a.ts': "import {\n  a,\n  b,\n} from '../config.ts';" },
      /must not/,
    ],
    ['a re-export', { 'src/contract/a.ts': "export * from '../engine/types.ts';" }, /must not see/],
    [
      'a dynamic import',
      { 'src/services/a.ts': "const m = await import('../drivers/s3.ts');" },
      /must not see/,
    ],
    [
      'a worker of another room',
      { 'src/engine/a.ts': "new URL('../cli/b.ts', import.meta.url)" },
      /must not see/,
    ],
    ['a driver seen by a service', { 'src/services/a.ts': "import '../drivers/fs.ts';" }, /must not see/],
    ['an unknown room', { 'src/utils/a.ts': "import 'node:fs';" }, /not a room/],
    [
      'a test helper in the sources',
      { 'src/engine/a.ts': "import '../../test/support/x.ts';" },
      /out of src/,
    ],
    ['fastify outside http', { 'src/cli/a.ts': "import Fastify from 'fastify';" }, /src\/http alone/],
    [
      'a fastify plugin outside http',
      { 'src/app.ts': "import s from '@fastify/swagger';" },
      /src\/http alone/,
    ],
    ['sharp outside the engine', { 'src/http/a.ts': "import sharp from 'sharp';" }, /src\/engine alone/],
    ['I/O in the contract', { 'src/contract/a.ts': "import fs from 'node:fs';" }, /contract must not use/],
    ['a long file', { 'src/engine/a.ts': 'x;\n'.repeat(MAX_LINES + 1) }, /what second thing/],
    ['console output', { 'src/engine/a.ts': 'if (x) console.log(y);\n' }, /writes to stdout/],
    [
      'a cycle',
      {
        'src/engine/a.ts': "import './b.ts';",
        'src/engine/b.ts': "export { c } from './c.ts';",
        'src/engine/c.ts': "import { a } from './a.ts';",
      },
      /a cycle: src\/engine\/a\.ts → src\/engine\/b\.ts → src\/engine\/c\.ts → src\/engine\/a\.ts/,
    ],
  ];
  for (const [title, files, complaint] of cases) {
    test(title, () => {
      const found = complaintsOf(files);
      assert.equal(found.length, 1, found.join('\n'));
      assert.match(found[0]!, complaint);
    });
  }

  test('what is allowed passes, and comments are not code', () => {
    const allowed = {
      'src/app.ts': "import { fs } from './drivers/fs.ts';\nimport { serve } from './http/server.ts';\n",
      'src/http/server.ts': "import fastify from 'fastify';\nimport type { A } from './a.ts';\n",
      'src/http/a.ts':
        "// import sharp from 'sharp';\n/* import x from '../main.ts'; */\nimport { b } from './server.ts';\n",
      'src/cli/a.ts': 'console.log(1);\n',
    };
    assert.deepEqual(complaintsOf(allowed), []);
  });
});
