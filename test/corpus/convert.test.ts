/** Every real picture of the corpus through the pool, as a user would convert it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { parsePlan } from '../../src/contract/plan-normal.ts';
import { DEFAULT_LIMITS } from '../../src/engine/limits.ts';
import { Pool } from '../../src/engine/pool/pool.ts';
import { Problem } from '../../src/problem.ts';
import { corpusMissing, type GoodFacts, good, goodFacts } from '../support/corpus.ts';
import { tempDir } from '../support/temp.ts';
import { requireTool } from '../support/tools.ts';
import { noVideoTools } from '../support/videos.ts';

const run = promisify(execFile);

/** Where there is no ffmpeg. */
const VIDEOS = Object.fromEntries(
  [
    ...['video-gopher.mp4', 'video-gps.mov', 'video-gps.mp4', 'video-hevc.mov', 'video-imovie.mp4'],
    'video.webm',
  ].map((name) => [name, 'unsupported_media_type']),
);

/** Why a file is not converted; each stands in docs/formats.md by its name. */
const REFUSED: Record<string, string> = {
  'raw-canon-r6-pruned.cr3': 'raw_not_developable',
  'raw-exiftool.cr2': 'raw_not_developable',
  'raw-exiftool.nef': 'raw_not_developable',
  'raw-exiftool.raf': 'raw_not_developable',
  'raw-exiftool.rw2': 'raw_not_developable',
  ...(noVideoTools ? VIDEOS : {}),
};

/** RAW pixels: what dcraw makes of them (`rawOutput`), not the size that a tag names. */
const sizeOf = (facts: GoodFacts): [number, number] =>
  (facts.rawOutput as [number, number] | undefined) ?? [facts.width, facts.height];

/** The same plan costs less at a low effort, and the picture is the same size. */
const FULL = [
  parsePlan({ output: { format: 'jpeg' } }),
  parsePlan({ output: { format: 'webp', effort: 0 } }),
  parsePlan({ output: { format: 'png', effort: 1 } }),
];
const STRIPPED = (['jpeg', 'webp', 'png', 'avif', 'tiff', 'gif'] as const).map((format) =>
  parsePlan({
    operations: [{ op: 'resize', width: 160, height: 160 }],
    output: { format, metadata: 'strip', ...(format === 'avif' && { effort: 0 }) },
  }),
);

const KEPT_TAGS = [
  'Make',
  'Model',
  'DateTimeOriginal',
  'OffsetTimeOriginal',
  'GPSLatitude',
  'GPSLongitude',
  'GPSAltitude',
  'LensModel',
  'Artist',
  'Copyright',
];

describe('the good corpus', { skip: corpusMissing }, () => {
  let pool: Pool;
  const dir = tempDir({ after });
  const converted: string[] = [];

  before(() => {
    pool = new Pool({ size: 2, workDir: join(dir, 'pool') });
  });
  after(() => pool?.close({ graceMs: 1000 }));

  for (const [group, files] of grouped(goodFacts)) {
    test(`${group}: converts to JPEG, WebP and PNG at the displayed size, and strips`, async () => {
      const kept = join(dir, 'kept');
      const stripped = join(dir, 'stripped');
      await Promise.all([kept, stripped].map((folder) => mkdir(folder, { recursive: true })));
      await Promise.all(
        files.map(async (facts) => {
          const { name } = facts;
          await using scratch = await pool.scratch();
          const request = {
            sourcePath: good(name),
            plans: [...FULL, ...STRIPPED],
            limits: DEFAULT_LIMITS,
            outDir: scratch.dir,
            placeholders: true,
          };
          if (REFUSED[name]) {
            await assert.rejects(
              pool.render(request),
              (error: unknown) => error instanceof Problem && error.code === REFUSED[name],
              name,
            );
            return;
          }
          const { renditions, placeholders } = await pool.render(request);
          const [width, height] = sizeOf(facts);
          for (const { plan, ...made } of renditions.slice(0, FULL.length)) {
            assert.deepEqual([made.width, made.height], [width, height], `${name} as ${plan.output.format}`);
          }
          assert.match(placeholders?.dominantColor ?? '', /^#[0-9a-f]{6}$/, name);
          await copyFile(renditions[0]!.path, join(kept, `${name}.jpg`));
          for (const { path, plan } of renditions.slice(FULL.length)) {
            await copyFile(path, join(stripped, `${name}.${plan.output.format}`));
          }
          converted.push(name);
        }),
      );
    });
  }

  test('keeps make, model, time with its offset and place as exiftool reads them in the source', async (t) => {
    const exiftool = requireTool(t, 'exiftool');
    if (!exiftool) return;
    assert.ok(converted.length > 100, `${converted.length} were converted`);
    const read = async (paths: string[]) => {
      const tags = [...KEPT_TAGS, 'Orientation', 'ThumbnailImage', 'PreviewImage'].map((tag) => `-${tag}`);
      const args = ['-n', '-j', '-m', '-a', '-G0', '-q', '-q', ...tags, ...paths];
      const { stdout } = await run(exiftool, args, { maxBuffer: 1 << 26 }).catch(
        (e: { stdout: string }) => e,
      );
      return (JSON.parse(stdout) as Record<string, unknown>[]).map(
        (file) => (tag: string) =>
          file[`Composite:${tag}`] ??
          file[`EXIF:${tag}`] ??
          Object.entries(file).find(([key]) => key.endsWith(`:${tag}`))?.[1],
      );
    };
    const sources = await read(converted.map(good));
    const outputs = await read(converted.map((name) => join(dir, 'kept', `${name}.jpg`)));
    let compared = 0;
    const wrong: string[] = [];
    for (const [i, name] of converted.entries()) {
      const source = sources[i]!;
      const output = outputs[i]!;
      for (const tag of KEPT_TAGS) {
        const was = source(tag);
        const is = output(tag);
        if (was === undefined || was === '' || was === 'undef') continue; // says nothing
        compared++;
        if (typeof was === 'number' && Math.abs((is as number) - was) <= 1e-6) continue;
        if (String(is) !== String(was)) wrong.push(`${name}: ${tag} is ${is}, was ${was}`);
      }
      if ((output('Orientation') ?? 1) !== 1) wrong.push(`${name}: Orientation ${output('Orientation')}`);
      if (output('ThumbnailImage') ?? output('PreviewImage'))
        wrong.push(`${name}: a thumbnail or preview is left`);
    }
    assert.deepEqual(wrong, []);
    t.diagnostic(`${compared} tags of ${converted.length} files are the same`);
  });

  test('strip leaves nothing that identifies, in any format', async (t) => {
    const exiftool = requireTool(t, 'exiftool');
    if (!exiftool) return;
    const args = ['-a', '-G1', '-ee', '-j', '-m', '-q', '-q', '-r', join(dir, 'stripped')];
    const { stdout } = await run(exiftool, args, { maxBuffer: 1 << 28 });
    const files = JSON.parse(stdout) as Record<string, unknown>[];
    assert.equal(files.length, converted.length * STRIPPED.length);
    const structural =
      /^(SourceFile|ExifTool:.*|System:.*|File:.*|JFIF:.*|PNG:.*|PNG-pHYs:.*|RIFF:.*|GIF:.*|Composite:(ImageSize|Megapixels))$/;
    const avif = /^(Meta|QuickTime|ItemList|Track1):/;
    const tiff =
      /^IFD\d+:(ImageWidth|ImageHeight|BitsPerSample|Compression|PhotometricInterpretation|StripOffsets|Orientation|SamplesPerPixel|RowsPerStrip|StripByteCounts|[XY]Resolution|PlanarConfiguration|ResolutionUnit|Predictor|ExtraSamples|SampleFormat|SubfileType)$/;
    for (const file of files) {
      const left = Object.keys(file).filter(
        (tag) =>
          !structural.test(tag) &&
          !(avif.test(tag) && String(file.SourceFile).endsWith('.avif')) &&
          !(tiff.test(tag) && String(file.SourceFile).endsWith('.tiff')),
      );
      assert.deepEqual(left, [], `${file.SourceFile}`);
    }
    t.diagnostic(`${files.length} stripped renditions are clean`);
  });

  test('what is refused stands in docs/formats.md', async () => {
    const page = await readFile(new URL('../../docs/formats.md', import.meta.url), 'utf8');
    for (const name of Object.keys(REFUSED)) assert.ok(page.includes(name), `${name} is not explained`);
  });
});

/** By the part of the name before the first dash: `jpeg`, `heic`, `raw` … */
function grouped(files: readonly GoodFacts[]): Map<string, GoodFacts[]> {
  return Map.groupBy(files, ({ name }) => name.split(/[-.]/)[0]!);
}
