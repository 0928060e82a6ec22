/**
 * Fails where a package that ships with Tintype has a licence that is not on the list. `npm run licences`.
 * Walks the lockfile, so that the packages of other platforms count too; what is installed speaks first.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Permissive, or weak copyleft that reaches no further than the library itself. SPDX identifiers. */
const ALLOWED = new Set([
  '0BSD',
  'Apache-2.0',
  'Artistic-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'CDDL-1.0',
  'ISC',
  'LGPL-2.1',
  'LGPL-2.1-or-later',
  'LGPL-3.0',
  'LGPL-3.0-or-later',
  'MIT',
  'MPL-2.0',
  'Unlicense',
  'Zlib',
]);

/**
 * Packages whose own `license` field is not the whole story, read by hand. The expression stands in place of
 * the field; the field that was seen is kept, so that a change asks for a new look.
 */
const REVIEWED: Record<string, { field: string; expression: string; why: string }> = {
  'dejavu-fonts-ttf': {
    field: 'SEE LICENSE IN README.md AND LICENSE',
    expression: 'Bitstream-Vera',
    why: 'fonts under the Bitstream Vera licence (permissive), its own changes in the public domain; no code is used',
  },
  'exiftool-vendored.pl': {
    field: 'MIT',
    expression: 'MIT AND (Artistic-1.0-Perl OR GPL-1.0-or-later)',
    why: 'holds ExifTool, "under the same terms as Perl itself"; taken under the Artistic licence, run as a program',
  },
  'libraw-wasm': {
    field: 'ISC',
    expression: 'ISC AND (LGPL-2.1 OR CDDL-1.0)',
    why: 'holds LibRaw compiled to WebAssembly',
  },
};
const ALLOWED_WHERE_REVIEWED = new Set([...ALLOWED, 'Artistic-1.0-Perl', 'Bitstream-Vera']);

interface LockedPackage {
  version: string;
  license?: string;
  dev?: boolean;
}

const root = resolve(import.meta.dirname, '..');
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, LockedPackage>;
};

const complaints: string[] = [];
let count = 0;
for (const [path, locked] of Object.entries(lock.packages)) {
  if (path === '' || locked.dev) continue;
  count++;
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const field = licenceField(path) ?? locked.license ?? 'none stated';
  const reviewed = REVIEWED[name];
  if (reviewed && reviewed.field !== field) {
    complaints.push(`${name} ${locked.version}: was reviewed as "${reviewed.field}", now says "${field}"`);
  } else if (!isAllowed(reviewed?.expression ?? field, reviewed ? ALLOWED_WHERE_REVIEWED : ALLOWED)) {
    complaints.push(`${name} ${locked.version}: ${field}`);
  }
}
if (complaints.length > 0) {
  process.stderr.write(
    `licences that are not on the list of scripts/licences.ts:\n  ${complaints.join('\n  ')}\n`,
  );
  process.exitCode = 1;
} else {
  process.stdout.write(`licences: ${count} packages, all on the list\n`);
}

function licenceField(path: string): string | undefined {
  const file = join(root, path, 'package.json');
  if (!existsSync(file)) return undefined;
  const { license } = JSON.parse(readFileSync(file, 'utf8')) as { license?: string | { type?: string } };
  return typeof license === 'object' ? license.type : license;
}

/** An SPDX expression: any arm of an OR will do, all arms of an AND must. */
function isAllowed(expression: string, allowed: ReadonlySet<string>): boolean {
  const inner = /\(([^()]*)\)/.exec(expression);
  if (inner) {
    const verdict = isAllowed(inner[1]!, allowed) ? 'allowed' : 'refused';
    return isAllowed(expression.replace(inner[0], verdict), allowed);
  }
  return expression
    .split(' OR ')
    .some((arm) => arm.split(' AND ').every((id) => id.trim() === 'allowed' || allowed.has(id.trim())));
}
