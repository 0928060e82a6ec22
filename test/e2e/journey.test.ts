/** Whole journeys on the real server process: many formats, and many uploads at the same time. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { ImageInfo } from '../../src/contract/info.ts';
import type { JobDocument, JobResult } from '../../src/contract/jobs.ts';
import type { ProblemDocument } from '../../src/contract/resources.ts';
import { ApiClient, eachOf } from '../support/api-client.ts';
import { MAIN } from '../support/desk.ts';
import { fixture } from '../support/fixtures.ts';
import { Installation } from '../support/installation.ts';
import {
  assertGone,
  assertNothingLeft,
  BUCKET,
  GALLERY_BOXES,
  journey,
  sha256Of,
  webBoxes,
} from '../support/journey.ts';
import { mixedFiles } from '../support/mixed-files.ts';
import { processesHidden, processStatus } from '../support/processes.ts';
import { metadataLeftIn } from '../support/stripped.ts';
import { tempDir } from '../support/temp.ts';
import { requireTool } from '../support/tools.ts';
import { tokenOf } from '../support/uploads.ts';

const SIZES = { thumbnail: 50, medium: 120 };
const ENV = { PRESETS_FILE: '', IMAGE_SIZES: 'thumbnail:50,medium:120' };
const MEBIBYTE = 1024 * 1024;

/** As displayed. */
const FIXTURES: Record<string, [width: number, height: number]> = {
  'jpeg-metadata.jpg': [320, 240],
  'jpeg-orientation-6.jpg': [96, 64],
  'jpeg-cmyk.jpg': [160, 120],
  'png-16bit.png': [64, 48],
  'png-alpha.png': [96, 64],
  'gif-animated.gif': [96, 64],
  'bmp-24bit.bmp': [96, 64],
  'tiff-4-pages.tif': [96, 64],
  'svg-shapes.svg': [120, 80],
  'webp-animated.webp': [96, 64],
  'avif-10bit.avif': [320, 240],
  'heic-metadata.heic': [320, 240],
  'dng-bayer.dng': [120, 80],
};

describe('an image of each format', () => {
  it('goes all the way with either preset, and nothing of it is left', async (t) => {
    const installation = new Installation(t, ENV);
    const { address } = await installation.start();
    const said = execFileSync(process.execPath, [MAIN, 'token', '--sub', 'anna', '--scope', 'write'], {
      env: { PATH: process.env.PATH, ...installation.env },
      encoding: 'utf8',
    });
    const clients = {
      owner: new ApiClient(address, said.trim()),
      stranger: new ApiClient(address, await tokenOf('boris')),
      nobody: new ApiClient(address),
    };
    const keepIn = tempDir(t);
    const infos = new Map<string, ImageInfo>();
    const measured = await eachOf(Object.entries(FIXTURES), 4, async ([name, [width, height]], i) => {
      const bytes = readFileSync(fixture(name));
      const isGallery = i % 3 === 0;
      return journey(
        {
          name,
          bytes,
          sha256: sha256Of(bytes),
          width,
          height,
          preset: isGallery ? 'gallery' : 'web',
          boxes: isGallery ? GALLERY_BOXES : webBoxes(SIZES),
          resumes: i % 4 === 0,
        },
        clients,
        { keepIn, onInfo: (info) => infos.set(name, info) },
      );
    });
    assert.ok(infos.get('jpeg-metadata.jpg')?.gps, 'the owner is told the place');
    await assertNothingLeft(installation);
    const exiftool = requireTool(t, 'exiftool');
    if (!exiftool) return;
    const { files, left } = await metadataLeftIn(keepIn, exiftool);
    assert.deepEqual(left, []);
    assert.equal(
      files,
      measured.reduce((a, b) => a + b),
    );
  });
});

describe('a file that cannot be processed', () => {
  it('is a failed job with its code, seen by operators, and can be deleted', async (t) => {
    const installation = new Installation(t, { ...ENV, MAX_RETRIES: '3' });
    const { address } = await installation.start();
    const owner = new ApiClient(address, await tokenOf('anna'));
    // Its head is whole: only decoding finds that half of it is missing.
    const whole = readFileSync(fixture('jpeg-progressive.jpg'));
    const { status, body } = await owner.upload([
      ['bucket', BUCKET],
      ['file', whole.subarray(0, whole.length / 2), 'half.jpg'],
    ]);
    assert.equal(status, 202, JSON.stringify(body));
    await installation.settled();
    const { job_id, image_id } = body;
    const { body: job } = await owner.ask<JobDocument>('get_job', { params: { job_id } });
    assert.deepEqual([job.status, job.error?.code, job.attempts], ['failed', 'undecodable_image', 1]);
    const result = await owner.ask<ProblemDocument>('get_job_result', { params: { job_id } });
    assert.deepEqual([result.status, result.body.code], [422, 'undecodable_image']);
    const { body: failed } = await owner.ask<{ items: { job_id: string }[] }>('failed_jobs', {
      query: { limit: '50' },
    });
    assert.deepEqual(
      failed.items.map((item) => item.job_id),
      [job_id],
    );
    assert.equal((await owner.ask('delete_image', { params: { image_id } })).status, 204);
    await assertGone(image_id, job_id, [], owner);
    await assertNothingLeft(installation);
  });
});

describe('a hundred uploads of one client at the same time', { skip: processesHidden }, () => {
  it('are all accepted and completed, in bounded memory', async (t) => {
    const installation = new Installation(t);
    const { address, pid } = await installation.start();
    const owner = new ApiClient(address, await tokenOf('anna'));
    const files = (await mixedFiles(150, 100)).filter(({ hostile }) => !hostile).slice(0, 100);
    assert.equal(files.length, 100);
    const idleBytes = processStatus(pid)!.peakRssBytes;
    const answers = await Promise.all(
      files.map(({ name, bytes }) =>
        owner.upload([
          ['bucket', BUCKET],
          ['file', bytes, name],
        ]),
      ),
    );
    assert.deepEqual(
      answers.filter(({ status }) => status !== 202).map(({ body }) => body),
      [],
    );
    const images = new Set(answers.map(({ body }) => body.image_id));
    assert.equal(images.size, 100);
    await installation.settled(90_000);
    for (const { body } of answers) {
      const { status } = await owner.ask<JobResult>('get_job_result', { params: { job_id: body.job_id } });
      assert.equal(status, 200);
    }
    const peakBytes = processStatus(pid)!.peakRssBytes;
    const sentBytes = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const inMib = (bytes: number) => Math.round(bytes / MEBIBYTE);
    t.diagnostic(
      `${files.length} uploads of ${inMib(sentBytes)} MiB · server at rest ${inMib(idleBytes)} MiB, at most ${inMib(peakBytes)} MiB`,
    );
    assert.ok(peakBytes < 400 * MEBIBYTE, `${inMib(peakBytes)} MiB`);
    const errors = installation.server.log().filter(({ level }) => Number(level) >= 50);
    assert.deepEqual(errors, []);
    for (const image_id of images) {
      assert.equal((await owner.ask('delete_image', { params: { image_id } })).status, 204);
    }
    await assertNothingLeft(installation);
  });
});
