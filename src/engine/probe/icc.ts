/** The name of an ICC profile (ICC.1:2022 sections 7 and 10.15; ICC.1:2001-04 section 6.5.17). */
import { Problem } from '../../problem.ts';
import { Fields } from './fields.ts';

/** Profiles above this are not looked into; the largest in use, of printing presses, stay below. */
export const MAX_ICC_BYTES = 4 * 1024 * 1024;
const MAX_TAGS = 256;
const MAX_NAME_CHARS = 200;

/** The profile's description; undefined where the profile is broken, cut short or nameless. */
export function iccDescription(profile: Uint8Array): string | undefined {
  try {
    return describe(new Fields(profile));
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}

function describe(profile: Fields): string | undefined {
  if (profile.ascii(36, 4) !== 'acsp') return undefined;
  const tags = Math.min(profile.u32(128), MAX_TAGS);
  for (let i = 0; i < tags; i++) {
    const at = 132 + i * 12;
    if (profile.ascii(at, 4) !== 'desc') continue;
    return clean(text(profile, profile.u32(at + 4)));
  }
  return undefined;
}

function text(profile: Fields, at: number): string {
  const type = profile.ascii(at, 4);
  if (type === 'desc') {
    const length = Math.min(profile.u32(at + 8), MAX_NAME_CHARS);
    return Buffer.from(profile.sub(at + 12, length).bytes).toString('latin1');
  }
  if (type === 'mluc' && profile.u32(at + 8) > 0) {
    // Prefer English among the localised names: records of language, country, length, offset.
    const records = Math.min(profile.u32(at + 8), 64);
    const size = profile.u32(at + 12);
    let record = at + 16;
    for (let i = 0; i < records; i++) {
      if (profile.ascii(at + 16 + i * size, 2) === 'en') {
        record = at + 16 + i * size;
        break;
      }
    }
    const length = Math.min(profile.u32(record + 4), 2 * MAX_NAME_CHARS) & ~1;
    const utf16 = profile.sub(at + profile.u32(record + 8), length);
    return Buffer.from(utf16.bytes).swap16().toString('utf16le');
  }
  return '';
}

function clean(name: string): string | undefined {
  const end = name.indexOf('\0');
  const printable = (end < 0 ? name : name.slice(0, end)).replace(/[\x00-\x1f\x7f]+/g, ' ').trim();
  return printable || undefined;
}
