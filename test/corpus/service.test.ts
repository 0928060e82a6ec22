/** The whole corpus through the real server process, as a client sends it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { ImageInfo } from '../../src/contract/info.ts';
import type { JobDocument } from '../../src/contract/jobs.ts';
import type { ProblemDocument } from '../../src/contract/resources.ts';
import { PROBLEMS, type ProblemCode } from '../../src/problem.ts';
import { ApiClient, eachOf } from '../support/api-client.ts';
import {
  corpusMissing,
  type GoodFacts,
  good,
  goodFacts,
  type HostileFacts,
  hostile,
  hostileFacts,
  hostileNames,
} from '../support/corpus.ts';
import { Installation } from '../support/installation.ts';
import {
  assertGone,
  assertNothingLeft,
  BUCKET,
  type Clients,
  GALLERY_BOXES,
  journey,
  type Traveller,
  webBoxes,
} from '../support/journey.ts';
import { answersTo } from '../support/judged.ts';
import { processesHidden, processStatus } from '../support/processes.ts';
import { metadataLeftIn } from '../support/stripped.ts';
import { tempDir } from '../support/temp.ts';
import { requireTool } from '../support/tools.ts';
import { tokenOf } from '../support/uploads.ts';
import { noVideoTools } from '../support/videos.ts';

const SMALL = { thumbnail: 150, medium: 300 };
const SMALL_SIZES = { PRESETS_FILE: '', IMAGE_SIZES: 'thumbnail:150,medium:300' };
const DEFAULT_SIZES = { thumbnail: 150, medium: 600, large: 1200, original: 4096 };
const HEROES = [
  'jpeg-nikon-d3100.jpg',
  'jpeg-phone-12mp-a.jpg',
  'heic-iphone-a.heic',
  'heic-samsung-motion.heic',
  'raw-colorchart.dng',
];
const GALLERY_EVERY = 6;
const RESUMED_EVERY = 10;
const MEBIBYTE = 1024 * 1024;

const isVideo = ({ format }: GoodFacts): boolean => /^(MP4|MOV|WebM)/.test(format);
const isRead = (facts: GoodFacts): boolean => !(isVideo(facts) && noVideoTools);
const isWhole = (facts: GoodFacts): boolean => facts.decodable !== false && isRead(facts);

/** Of RAW what dcraw makes of it, not the size that a tag names. */
const sizeOf = ({ width, height, rawOutput }: GoodFacts): [number, number] =>
  (rawOutput as [number, number] | undefined) ?? [width, height];

function travellerOf(facts: GoodFacts, more: Pick<Traveller, 'preset' | 'boxes' | 'resumes'>): Traveller {
  const [width, height] = sizeOf(facts);
  const { name, sha256 } = facts;
  return { name, sha256, bytes: readFileSync(good(name)), width, height, ...more };
}

async function clientsOf(address: string): Promise<Clients> {
  return {
    owner: new ApiClient(address, await tokenOf('anna')),
    stranger: new ApiClient(address, await tokenOf('boris')),
    nobody: new ApiClient(address),
  };
}

/** Where the index of the corpus is not the only right answer. */
const INFO_JUDGED: Record<string, { fields: readonly (keyof ImageInfo)[]; because: string }> = {
  'jpeg-many-tags.jpg': {
    fields: ['camera_make', 'camera_model', 'date_taken', 'iso', 'focal_length', 'aperture', 'shutter_speed'],
    because: 'it has the EXIF of five cameras',
  },
  'png-xmp-orientation.png': { fields: ['orientation'], because: 'only XMP says it: honoured or not' },
};

/** What the service says of a picture, where it differs from what independent tools measured. */
function differences(facts: GoodFacts, exif: Exif, info: ImageInfo): string[] {
  const { make, model, lens, dateTimeOriginal, offsetTimeOriginal, gpsLatitude, gpsLongitude } = facts;
  const taken = dateTimeOriginal?.replace(/^(\d{4}):(\d\d):(\d\d) /, '$1-$2-$3T');
  const told: [field: keyof ImageInfo, found: unknown, wanted: unknown][] = [
    ['camera_make', info.camera_make, make?.trim() ?? null],
    ['camera_model', info.camera_model, model?.trim() ?? null],
    // Of a lens the index knows what EXIF says, of a date the like; maker notes and XMP may say more.
    ['lens', info.lens, lens?.trim()],
    ['date_taken', info.date_taken, taken && taken + (offsetTimeOriginal ?? '')],
    ['orientation', info.orientation, facts.exifOrientation],
    ['gps', placeOf(info.gps?.latitude, info.gps?.longitude), placeOf(gpsLatitude, gpsLongitude)],
    ['iso', info.iso, positive(exif.ISO)],
    ['focal_length', info.focal_length, positive(exif.FocalLength)],
    ['aperture', info.aperture, rounded(positive(exif.FNumber))],
    ['shutter_speed', info.shutter_speed, shutterSpeed(positive(exif.ExposureTime))],
  ];
  return told.flatMap(([field, found, wanted]) =>
    wanted === undefined || found === wanted || INFO_JUDGED[facts.name]?.fields.includes(field)
      ? []
      : [`${facts.name}: ${field} is ${found}, measured ${wanted}`],
  );
}

const EXIF_TAGS = ['ISO', 'FocalLength', 'FNumber', 'ExposureTime'] as const;
type Exif = Partial<Record<(typeof EXIF_TAGS)[number], unknown>>;

/** By name; with an exiftool that is not the engine's own. */
function exifOf(files: readonly GoodFacts[], exiftool: string): Map<string, Exif> {
  const args = ['-n', '-j', '-m', '-q', '-q', ...EXIF_TAGS.map((tag) => `-EXIF:${tag}`)];
  const { stdout } = spawnSync(exiftool, [...args, ...files.map(({ name }) => good(name))], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  const found = JSON.parse(stdout) as (Exif & { SourceFile: string })[];
  assert.equal(found.length, files.length);
  return new Map(found.map((exif, i) => [files[i]!.name, exif]));
}

const positive = (value: unknown): number | undefined =>
  typeof value === 'number' && value > 0 ? value : undefined;
const rounded = (value: number | undefined) => value && Number(value.toFixed(2));
const shutterSpeed = (seconds: number | undefined) =>
  seconds && (seconds < 0.25001 ? `1/${Math.round(1 / seconds)}` : String(Number(seconds.toFixed(1))));

const placeOf = (latitude?: number, longitude?: number): string | null =>
  latitude === undefined || longitude === undefined ? null : `${latitude.toFixed(6)} ${longitude.toFixed(6)}`;

describe('the good files through the service', { skip: corpusMissing }, () => {
  it('go all the way; each rendition is as it must be, and nothing is left', async (t) => {
    const exiftool = requireTool(t, 'exiftool');
    if (!exiftool) return;
    const installation = new Installation(t, SMALL_SIZES);
    const { address } = await installation.start();
    const clients = await clientsOf(address);
    const keepIn = tempDir(t);
    const wrong: string[] = [];
    const files = goodFacts.filter(isWhole);
    const exif = exifOf(files, exiftool);
    const measured = await eachOf(files, 4, (facts, i) => {
      const isGallery = i % GALLERY_EVERY === 0;
      const traveller = travellerOf(facts, {
        preset: isGallery ? 'gallery' : 'web',
        boxes: isGallery ? GALLERY_BOXES : webBoxes(SMALL),
        resumes: i % RESUMED_EVERY === 0,
      });
      return journey(traveller, clients, {
        keepIn,
        onInfo: (info) => wrong.push(...differences(facts, exif.get(facts.name)!, info)),
      });
    });
    assert.deepEqual(wrong, []);
    await assertNothingLeft(installation);
    const renditions = measured.reduce((a, b) => a + b);
    const { files: looked, left } = await metadataLeftIn(keepIn, exiftool);
    assert.equal(looked, renditions);
    assert.deepEqual(left, []);
    t.diagnostic(`${files.length} files · ${renditions} renditions measured`);
  });

  it('get every size of the preset web where they are large', async (t) => {
    const installation = new Installation(t, { PRESETS_FILE: '' });
    const { address } = await installation.start();
    const clients = await clientsOf(address);
    const heroes = goodFacts.filter(({ name }) => HEROES.includes(name));
    assert.equal(heroes.length, HEROES.length);
    const boxes = webBoxes(DEFAULT_SIZES);
    await eachOf(heroes, 2, (facts) => journey(travellerOf(facts, { preset: 'web', boxes }), clients));
    await assertNothingLeft(installation);
  });

  it('that hold no pixels fail with their code, once; videos without ffmpeg are refused', async (t) => {
    const installation = new Installation(t, { ...SMALL_SIZES, MAX_RETRIES: '3' });
    const { address } = await installation.start();
    const { owner } = await clientsOf(address);
    const send = ({ name }: GoodFacts) =>
      owner.upload([
        ['bucket', BUCKET],
        ['file', readFileSync(good(name)), name],
      ]);
    for (const facts of goodFacts.filter((one) => !isRead(one))) {
      const { status, body } = await send(facts);
      assert.equal(status, 415, `${facts.name}: ${JSON.stringify(body)}`);
    }
    const empty = goodFacts.filter(({ decodable }) => decodable === false);
    const accepted = await eachOf(empty, 4, async (facts) => {
      const { status, body } = await send(facts);
      assert.equal(status, 202, `${facts.name}: ${JSON.stringify(body)}`);
      return body;
    });
    await installation.settled();
    for (const [i, { job_id }] of accepted.entries()) {
      const of = { params: { job_id } };
      const { body: job } = await owner.ask<JobDocument>('get_job', of);
      const { name } = empty[i]!;
      assert.deepEqual(
        [job.status, job.error?.code, job.attempts],
        ['failed', 'raw_not_developable', 1],
        name,
      );
      const { status, body } = await owner.ask<ProblemDocument>('get_job_result', of);
      assert.deepEqual([status, body.code], [422, 'raw_not_developable'], name);
    }
    const { body: failed } = await owner.ask<{ items: { job_id: string; attempts: number }[] }>(
      'failed_jobs',
      { query: { limit: '50' } },
    );
    assert.deepEqual(
      failed.items.map(({ job_id }) => job_id).sort(),
      accepted.map(({ job_id }) => job_id).sort(),
    );
    for (const { image_id, job_id } of accepted) {
      assert.equal((await owner.ask('delete_image', { params: { image_id } })).status, 204);
      await assertGone(image_id, job_id, [], owner);
    }
    await assertNothingLeft(installation);
  });
});

/** What the client is told in the end, whether at once or by the job. */
interface Fate {
  facts: HostileFacts;
  /** 200 for a picture that was read. */
  status: number;
  code?: string;
  wasAccepted: boolean;
}

const tellsOfClientsFault = ({ code, failure_code }: ProblemDocument): boolean =>
  PROBLEMS[(failure_code ?? code) as ProblemCode].status < 500;

describe('the hostile files through the service', { skip: corpusMissing }, () => {
  it('are refused, fail or are read as they should; good ones beside them complete, and nothing is stuck', async (t) => {
    const installation = new Installation(t, { ...SMALL_SIZES, MAX_RETRIES: '1', PROCESSING_TIMEOUT: '60' });
    const { address, pid } = await installation.start();
    const { owner } = await clientsOf(address);
    // The carriers of the EICAR signature are never on disk, so that no scanner takes the corpus away.
    const files = hostileFacts.filter(({ name }) => !name.includes('eicar'));
    const photo = readFileSync(good('jpeg-orient-6.jpg'));
    const send = (bytes: Buffer, name: string) =>
      owner.upload([
        ['bucket', BUCKET],
        ['file', bytes, name],
      ]);
    const neighbours: string[] = [];
    const images: string[] = [];
    const uploaded = await eachOf(files, 8, async (facts, i) => {
      const answer = await send(readFileSync(hostile(facts.name)), facts.name);
      if (i % 5 === 0) {
        const name = hostileNames[(i / 5) % hostileNames.length]!;
        const { status, body } = await send(Buffer.concat([photo, Buffer.from(`${i}`)]), name);
        assert.equal(status, 202, `a good file named ${JSON.stringify(name)}: ${JSON.stringify(body)}`);
        neighbours.push(body.job_id);
        images.push(body.image_id);
      }
      return { facts, ...answer };
    });
    await installation.settled(80_000);

    const fates = await eachOf(uploaded, 8, async ({ facts, status, body }): Promise<Fate> => {
      if (status !== 202) {
        const problem = body as unknown as ProblemDocument;
        return { facts, status, code: problem.code, wasAccepted: false };
      }
      images.push(body.image_id);
      const result = await owner.ask<ProblemDocument>('get_job_result', { params: { job_id: body.job_id } });
      if (result.status === 200) return { facts, status: 200, wasAccepted: true };
      assert.equal(result.status, 422, facts.name);
      assert.ok(tellsOfClientsFault(result.body), `${facts.name}: ${JSON.stringify(result.body)}`);
      const code = String(result.body.failure_code ?? result.body.code);
      return { facts, status: PROBLEMS[code as ProblemCode].status, code, wasAccepted: true };
    });
    const wrong = fates
      .filter(({ facts, status }) => !answersTo(facts).includes(status))
      .map(({ facts, status, code }) => `${facts.name}: ${status} ${code}, expected ${facts.expect}`);
    assert.deepEqual(wrong, []);
    for (const job_id of neighbours) {
      const { body } = await owner.ask<JobDocument>('get_job', { params: { job_id } });
      assert.equal(body.status, 'completed', JSON.stringify(body));
    }
    assert.ok(installation.server.alive(), 'the same process');
    assert.equal(installation.server.pid, pid);
    const { body: stats } = await owner.ask<{ status_breakdown: Record<string, number> }>('stats');
    const { pending = 0, processing = 0, retrying = 0 } = stats.status_breakdown;
    assert.deepEqual([pending, processing, retrying], [0, 0, 0]);
    const { status: ready } = await owner.ask('ready');
    assert.equal(ready, 200);
    for (const image_id of images) {
      assert.equal((await owner.ask('delete_image', { params: { image_id } })).status, 204);
    }
    await assertNothingLeft(installation);
    const count = (is: (fate: Fate) => boolean) => fates.filter(is).length;
    t.diagnostic(
      [
        `${fates.length} hostile files`,
        `refused ${count(({ wasAccepted }) => !wasAccepted)}`,
        `failed ${count(({ wasAccepted, status }) => wasAccepted && status !== 200)}`,
        `read ${count(({ status }) => status === 200)}`,
        `good ones beside them ${neighbours.length}`,
      ].join(' · '),
    );
  });
});

describe('a hundred photos of one client at the same time', {
  skip: corpusMissing || processesHidden,
}, () => {
  it('are all accepted and completed, in bounded memory', async (t) => {
    const installation = new Installation(t, SMALL_SIZES);
    const { address, pid } = await installation.start();
    const { owner } = await clientsOf(address);
    const large = readFileSync(good('jpeg-phone-12mp-a.jpg'));
    const small = readFileSync(good('jpeg-orient-6.jpg'));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        owner.upload([
          ['bucket', BUCKET],
          ['file', Buffer.concat([i % 4 === 0 ? large : small, Buffer.from(`${i}`)]), `${i}.jpg`],
        ]),
      ),
    );
    assert.deepEqual(
      answers.filter(({ status }) => status !== 202).map(({ body }) => body),
      [],
    );
    const acceptedBytes = processStatus(pid)!.peakRssBytes;
    await installation.settled(80_000);
    for (const { body } of answers) {
      const { status } = await owner.ask('get_job_result', { params: { job_id: body.job_id } });
      assert.equal(status, 200);
    }
    const peakBytes = processStatus(pid)!.peakRssBytes;
    const inMib = (bytes: number) => Math.round(bytes / MEBIBYTE);
    t.diagnostic(
      `${inMib(25 * large.length + 75 * small.length)} MiB sent · server at most ${inMib(acceptedBytes)} MiB while it accepts, ${inMib(peakBytes)} MiB in all`,
    );
    assert.ok(peakBytes < 400 * MEBIBYTE, `${inMib(peakBytes)} MiB`);
    const errors = installation.server.log().filter(({ level }) => Number(level) >= 50);
    assert.deepEqual(errors, []);
    for (const { body } of answers) {
      const of = { params: { image_id: body.image_id } };
      assert.equal((await owner.ask('delete_image', of)).status, 204);
    }
    await assertNothingLeft(installation);
  });
});
