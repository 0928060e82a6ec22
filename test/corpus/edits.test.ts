/** Edits on real pictures of every family, and on hostile ones: sizes, uprightness, what is left of metadata, refusals. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import { EXTENSIONS, type Operation, type OutputOptions } from '../../src/contract/plan.ts';
import { parsePlan } from '../../src/contract/plan-normal.ts';
import { decodeBmp } from '../../src/engine/decode/bmp.ts';
import { pipelineOf } from '../../src/engine/decode/pixels.ts';
import { DEFAULT_LIMITS, type Limits, probe, type Rendition } from '../../src/engine/index.ts';
import { Pool } from '../../src/engine/pool/pool.ts';
import { LUMA, toLinear } from '../../src/engine/steps/srgb.ts';
import { PROBLEMS, Problem } from '../../src/problem.ts';
import { corpusDir, corpusMissing, good, goodFacts, hostile, hostileFacts } from '../support/corpus.ts';
import { metadataLeftIn } from '../support/stripped.ts';
import { tempDir } from '../support/temp.ts';
import { requireTool } from '../support/tools.ts';
import { noVideoTools } from '../support/videos.ts';

interface Size {
  width: number;
  height: number;
}

interface Edit {
  operations: Operation[];
  output: OutputOptions;
  /** Of the result, where it can be told from that of the source. */
  size?: (from: Size) => Size;
  /** What a small upright copy of the source has to go through to look like the result; else it is not compared. */
  like?: (small: Sharp) => Sharp | Promise<Sharp>;
  /** Mean difference of levels in 8 × 8 fields; 8 when absent. */
  tolerance?: number;
}

const square = (side: number) => (): Size => ({ width: side, height: side });
const asIs = (small: Sharp) => small;

/** Each with another format, depth or number of bits, all stripped. */
const EDITS: Readonly<Record<string, Edit>> = {
  'no edit at all, as TIFF': {
    operations: [],
    output: { format: 'tiff', depth: 8 },
    size: (from) => from,
    like: asIs,
  },
  'stretched, as JPEG': {
    operations: [{ op: 'resize', width: 96, height: 96, fit: 'stretch', enlarge: true }],
    output: { format: 'jpeg', dpi: 300 },
    size: square(96),
    like: asIs,
  },
  'turned, mirrored and brighter in its mid-tones, as PNG of 16 bits': {
    operations: [
      { op: 'rotate', angle: 90 },
      { op: 'flop' },
      { op: 'resize', width: 80, height: 80, fit: 'stretch', enlarge: true },
      { op: 'adjust', gamma: 1.0001 },
    ],
    output: { format: 'png', depth: 16 },
    size: square(80),
    // sharp mirrors before it turns.
    like: (small) => small.flop().rotate(270),
  },
  'padded, as WebP': {
    operations: [{ op: 'resize', width: 120, height: 120, fit: 'pad', enlarge: true, background: '#00f' }],
    output: { format: 'webp' },
    size: square(120),
  },
  'the lower half, as GIF': {
    operations: [
      { op: 'resize', width: 80, height: 80, fit: 'stretch', enlarge: true },
      { op: 'crop', left: 0, top: 40, width: 80, height: 40 },
      { op: 'flatten' },
    ],
    output: { format: 'gif' },
    size: () => ({ width: 80, height: 40 }),
    like: (small) => small.extract({ left: 0, top: 32, width: 64, height: 32 }),
    tolerance: 10,
  },
  'for an engraver, 20 mm at 254 dpi, as fax TIFF': {
    operations: [
      { op: 'flatten' },
      { op: 'resize', width: 20, height: 20, unit: 'mm', fit: 'stretch' },
      { op: 'dither' },
    ],
    output: { format: 'tiff', depth: 1, compression: 'g4', dpi: 254 },
    size: square(200),
    like: inLight,
    tolerance: 12,
  },
  'for an engraver, as BMP of one bit': {
    operations: [
      { op: 'flatten' },
      { op: 'resize', width: 200, height: 200, fit: 'stretch', enlarge: true },
      { op: 'dither', method: 'atkinson' },
    ],
    output: { format: 'bmp', depth: 1 },
    size: square(200),
    // Atkinson hands on only three quarters of what is lost.
    like: inLight,
    tolerance: 40,
  },
  'marked, sharpened, blurred and grey, as AVIF': {
    operations: [
      { op: 'resize', width: 128, height: 128, fit: 'stretch', enlarge: true },
      { op: 'sharpen' },
      { op: 'blur', radius: 1.5 },
      { op: 'watermark', text: '<b>&©', scale: 0.1, opacity: 0.3 },
      { op: 'grayscale' },
    ],
    output: { format: 'avif', effort: 0 },
    size: square(128),
    like: (small) => small.grayscale(),
    tolerance: 10,
  },
  'trimmed, as APNG': {
    operations: [
      // So that all frames have one border.
      { op: 'frame', page: 0 },
      { op: 'resize', width: 100, height: 100 },
      { op: 'trim' },
    ],
    output: { format: 'apng' },
  },
  'without its background, as BMP of 32 bits': {
    operations: [
      { op: 'frame', page: 0 },
      { op: 'resize', width: 100, height: 100, fit: 'stretch', enlarge: true },
      { op: 'background', method: 'watershed' },
    ],
    output: { format: 'bmp', depth: 32 },
    size: square(100),
  },
  'in shapes': {
    operations: [
      { op: 'resize', width: 64, height: 64, fit: 'stretch', enlarge: true },
      { op: 'vectorize', detail: 'high' },
    ],
    output: { format: 'svg' },
    size: square(64),
    like: asIs,
    tolerance: 20,
  },
};

/** Of each family, depth, colour space and way to be turned. */
const FILES = [
  ...[2, 3, 5, 6, 7, 8].map((orientation) => `jpeg-orient-${orientation}.jpg`),
  ...['jpeg-gps-dscn0010.jpg', 'jpeg-cmyk-noicc.jpg', 'jpeg-grey.jpg', 'jpeg-ultrahdr.jpg', 'jpeg-mpo.mpo'],
  ...['png-exif-gps.png', 'png-grey1.png', 'png-grey16-alpha.png', 'png-rgba16.png', 'png-pal4.png'],
  ...[
    'png-xmp-orientation.png',
    'png-apng-ball.png',
    'png-1x1.png',
    'gif-muybridge.gif',
    'gif-xmp-comment.gif',
  ],
  ...['webp-orient6.webp', 'webp-exif.webp', 'webp-animated.webp', 'webp-alpha.webp'],
  ...['avif-animated.avif', 'avif-1x1.avif', 'tiff-g4-orient6.tif', 'tiff-rgb16.tiff', 'tiff-cielab.tiff'],
  ...['tiff-multipage.tiff', 'tiff-geotiff.tif', 'bmp-rgba32.bmp', 'bmp-rgb565.bmp', 'svg-check.svg'],
  ...['heic-alpha-512.heic', 'heic-exif-xmp-iptc.heic', 'heif-grey12.heif', 'heif-sony-orient8.hif'],
  ...['raw-kodak-dc50.kdc'],
  ...(noVideoTools ? [] : ['video-gps.mov', 'video.webm']),
];
const TURNED = /^jpeg-orient-\d/;
const MAY_MOVE = /gif|webp|png|avif/;
const FIELDS = 8;

describe('edits of the corpus', { skip: corpusMissing }, () => {
  const dir = tempDir({ after });
  const stripped = join(dir, 'stripped');
  const workDir = join(dir, 'pool');
  let pool: Pool;

  before(() => {
    mkdirSync(stripped);
    pool = new Pool({ size: 2, workDir });
  });
  after(() => pool?.close({ graceMs: 1000 }));

  test('have their sizes and stand upright, whatever the file', async (t) => {
    const wrong: string[] = [];
    let compared = 0;
    const look = async (name: string, edit: string, made: Rendition, from: Size, small: Buffer) => {
      const { size, like, tolerance = 8 } = EDITS[edit]!;
      const wanted = size?.(from);
      if (wanted && (made.width !== wanted.width || made.height !== wanted.height)) {
        wrong.push(`${name} ${edit}: ${made.width}×${made.height}, not ${wanted.width}×${wanted.height}`);
      }
      const { width, height, orientation = 1 } = await sizeIn(made);
      if (orientation !== 1) wrong.push(`${name} ${edit}: orientation ${orientation}`);
      if (width !== made.width || height !== made.height) {
        wrong.push(`${name} ${edit}: said to be ${made.width}×${made.height}, is ${width}×${height}`);
      }
      if (!like) return;
      const expected = await fieldsOf(await like(sharp(small)));
      const difference = meanDifference(await fieldsOf(await opened(made)), expected);
      compared++;
      if (difference > tolerance) wrong.push(`${name} ${edit}: differs by ${difference.toFixed(1)} levels`);
    };
    const upright = await smallCopy('jpeg-orient-1.jpg');
    await Promise.all(
      FILES.map(async (name) => {
        const small = TURNED.test(name) ? upright : await smallCopy(name);
        await using scratch = await pool.scratch();
        const edits = Object.keys(EDITS);
        const plans = edits.map((edit) => {
          const { operations, output } = EDITS[edit]!;
          return parsePlan({ operations, output: { ...output, metadata: 'strip' } });
        });
        const facts = goodFacts.find((file) => file.name === name)!;
        const request = { sourcePath: good(name), plans, limits: DEFAULT_LIMITS, outDir: scratch.dir };
        const { renditions, facts: developed } = await pool.render(request);
        const from = developed.family === 'raw' ? developed : facts;
        for (const [i, made] of renditions.entries()) {
          await look(name, edits[i]!, made, from, small);
          await copyFile(made.path, join(stripped, `${name}.${i}.${EXTENSIONS[made.plan.output.format]}`));
        }
      }),
    );
    assert.deepEqual(wrong, []);
    assert.ok(compared >= FILES.length * 7, `${compared}`);
    t.diagnostic(`${FILES.length * Object.keys(EDITS).length} results, ${compared} compared by their pixels`);
  });

  test('leave nothing of what is to be stripped', async (t) => {
    const exiftool = requireTool(t, 'exiftool');
    if (!exiftool) return;
    const { files, left } = await metadataLeftIn(stripped, exiftool);
    assert.equal(files, FILES.length * Object.keys(EDITS).length);
    assert.deepEqual(left, []);
  });

  test('refuse what is hostile as a plain conversion does, and never by a fault of ours', async (t) => {
    const limits: Limits = { ...DEFAULT_LIMITS, maxPixels: 40_000_000, timeoutMs: 20_000 };
    const edits: Operation[][] = [
      [{ op: 'resize', width: 64, height: 64 }],
      [
        { op: 'trim', threshold: 40 },
        { op: 'resize', width: 100, height: 100 },
        { op: 'background', method: 'watershed' },
        { op: 'watermark', text: 'x', tile: true },
      ],
    ];
    const outcome = async (path: string, operations: Operation[], format: 'png' | 'apng') => {
      await using scratch = await pool.scratch();
      const plans = [parsePlan({ operations, output: { format, metadata: 'strip' } })];
      try {
        await pool.render({ sourcePath: path, plans, limits, outDir: scratch.dir });
        return 'accepted';
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        return error.code;
      }
    };
    const wrong: string[] = [];
    const counts = new Map<string, number>();
    const names = hostileFacts.map(({ name }) => name).filter((name) => onDisk().has(name));
    const queue = names.values();
    await Promise.all(
      [1, 2].map(async () => {
        for (const name of queue) {
          const path = hostile(name);
          const plain = await outcome(path, edits[0]!, 'png');
          const edited = await outcome(path, edits[1]!, 'png');
          const moving = MAY_MOVE.test(name)
            ? await outcome(path, [{ op: 'flop' }, ...edits[0]!], 'apng')
            : plain;
          if (edited !== plain) wrong.push(`${name}: ${plain} by itself, ${edited} when edited`);
          for (const code of [plain, edited, moving]) {
            counts.set(code, (counts.get(code) ?? 0) + 1);
            if (code === 'accepted') continue;
            const { status } = PROBLEMS[code as keyof typeof PROBLEMS];
            if (status >= 500 || code === 'processing_timeout') wrong.push(`${name}: ${code}`);
          }
        }
      }),
    );
    assert.deepEqual(wrong, []);
    t.diagnostic(
      `${names.length} files: ${[...counts].map(([code, count]) => `${count} ${code}`).join(', ')}`,
    );
  });

  test('leave nothing in the working folder', () => {
    const left = readdirSync(workDir, { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      left.filter((path) => /(^|\/)(task-|child-[^/]+\/)/.test(path)),
      [],
    );
  });

  /** 64 × 64 px, upright, on white, without any metadata. */
  async function smallCopy(name: string): Promise<Buffer> {
    await using scratch = await pool.scratch();
    const operations: Operation[] = [{ op: 'resize', width: 64, height: 64, fit: 'stretch', enlarge: true }];
    const plans = [parsePlan({ operations, output: { format: 'tiff', metadata: 'strip', depth: 8 } })];
    const limits = DEFAULT_LIMITS;
    const { renditions } = await pool.render({ sourcePath: good(name), plans, limits, outDir: scratch.dir });
    return sharp(await readFile(renditions[0]!.path))
      .flatten({ background: '#fff' })
      .png()
      .toBuffer();
  }
});

let names: Set<string> | undefined;
/** Those that carry what a scanner looks for never are. */
function onDisk(): Set<string> {
  names ??= new Set(readdirSync(join(corpusDir!, 'hostile')));
  return names;
}

async function opened({ path, plan }: Rendition): Promise<Sharp> {
  if (plan.output.format !== 'bmp') return sharp(path, { pages: 1 });
  return pipelineOf(await decodeBmp(path, await probe(path, DEFAULT_LIMITS)));
}

async function sizeIn(made: Rendition): Promise<Size & { orientation?: number | undefined }> {
  if (made.plan.output.format === 'bmp')
    return probe(made.path, DEFAULT_LIMITS).then(({ width, height }) => ({ width, height }));
  return sharp(made.path, { pages: 1 }).metadata();
}

/** Dots show a tone by the light that they give: 128 is 22 % of white. */
async function inLight(small: Sharp): Promise<Sharp> {
  const { data, info } = await small
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const linear = (at: number) => toLinear(data[at]! / 255) * 255;
  const { width, height, channels } = info;
  const green = channels === 3 ? 1 : 0;
  const light = Uint8Array.from({ length: width * height }, (_, i) => {
    const at = i * channels;
    return LUMA.red * linear(at) + LUMA.green * linear(at + green) + LUMA.blue * linear(at + 2 * green);
  });
  return sharp(light, { raw: { width, height, channels: 1 } });
}

/** Mean levels of 8 × 8 fields, on white, as red, green and blue. */
async function fieldsOf(image: Sharp): Promise<Uint8Array> {
  const plain = await image.flatten({ background: '#fff' }).toColourspace('srgb').png().toBuffer();
  return sharp(plain)
    .resize(FIELDS, FIELDS, { fit: 'fill', kernel: 'linear' })
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer();
}

function meanDifference(a: Uint8Array, b: Uint8Array): number {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  const repeat = long.length / short.length;
  return (
    long.reduce((sum, level, i) => sum + Math.abs(level - short[Math.floor(i / repeat)]!), 0) / long.length
  );
}
