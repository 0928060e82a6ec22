/** The benchmarks' input files: given by name, from the corpus where it is there, else made once in a temp folder. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { corpusDir, good } from '../test/support/corpus.ts';
import { writeDng } from '../test/support/dng.ts';

const folder = join(tmpdir(), 'tintype-bench-inputs');

const FROM_CORPUS = {
  'jpeg-12mp': 'jpeg-phone-12mp-a.jpg',
  'heic-12mp': 'heic-iphone-a.heic',
  'jpeg-14mp': 'jpeg-nikon-d3100.jpg',
} as const;

export type BenchInput = keyof typeof FROM_CORPUS | 'dng-24mp';

export async function benchInput(kind: BenchInput, given?: string): Promise<string> {
  if (given) return given;
  if (kind === 'dng-24mp') return dng24();
  if (corpusDir) return good(FROM_CORPUS[kind]);
  mkdirSync(folder, { recursive: true });
  const jpeg = join(folder, '12mp.jpg');
  if (!existsSync(jpeg)) await syntheticJpeg(jpeg);
  if (kind !== 'heic-12mp') return jpeg;
  const heic = join(folder, '12mp.heic');
  if (!existsSync(heic)) execFileSync('heif-enc', ['-q', '80', '-o', heic, jpeg]);
  return heic;
}

/** Gradients under seeded noise: as hard to compress as a detailed photo. */
async function syntheticJpeg(path: string): Promise<void> {
  const [width, height] = [4000, 3000];
  const data = Buffer.alloc(width * height * 3);
  let seed = 1;
  for (let i = 0; i < data.length; i++) {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
    data[i] = ((i / 3) % width) / 16 + Math.sin(i / 9000) * 40 + 60 + (seed >> 26);
  }
  await sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 90 })
    .toFile(path);
}

/** A 24 MP Bayer DNG whose picture is the 14 MP photo, enlarged. */
async function dng24(): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, '24mp.dng');
  if (existsSync(path)) return path;
  const [width, height] = [6000, 4000];
  const photo = await benchInput('jpeg-14mp');
  const data = await sharp(photo).resize(width, height, { fit: 'fill' }).removeAlpha().raw().toBuffer();
  const linear = Array.from({ length: 256 }, (_, v) => Math.round((v / 255) ** 2.2 * 60_000));
  await writeDng(path, {
    width,
    height,
    pixel: (x, y) => {
      const at = (y * width + x) * 3;
      return [linear[data[at]!]!, linear[data[at + 1]!]!, linear[data[at + 2]!]!];
    },
  });
  return path;
}
