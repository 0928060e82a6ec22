/** An image's whole life, by what a client can ask: uploaded, followed, read, looked at, listed, taken back, deleted. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import type { ImageSummary } from '../../src/contract/images.ts';
import type { ImageInfo } from '../../src/contract/info.ts';
import type { JobDocument, JobResult } from '../../src/contract/jobs.ts';
import type { ApiClient } from './api-client.ts';
import { eventsIn, type Received } from './event-source.ts';
import type { Installation } from './installation.ts';

export interface Box {
  format: 'webp' | 'jpeg';
  width: number;
  height: number;
  /** Filled, as far as the picture goes; otherwise the picture lies within it. */
  cover?: boolean;
}

/** By names as in a job's result: `medium`, `thumbnail.jpeg`. */
export type Boxes = Record<string, Box>;

export interface Traveller {
  name: string;
  bytes: Buffer;
  sha256: string;
  /** As displayed, in px. */
  width: number;
  height: number;
  preset: 'web' | 'gallery';
  boxes: Boxes;
  /** The client goes away in the middle of the events, and comes back. */
  resumes?: boolean;
}

export interface Clients {
  owner: ApiClient;
  stranger: ApiClient;
  nobody: ApiClient;
}

export interface JourneyOptions {
  /** Where renditions are left, for a look at their metadata. */
  keepIn?: string;
  /** Looks at what the service says of the picture. */
  onInfo?: (info: ImageInfo & { image_id: string }) => void;
}

export const BUCKET = 'journeys';

export const webBoxes = (sizes: Record<string, number>): Boxes =>
  Object.fromEntries(
    Object.entries(sizes).map(([name, side]) => [name, { format: 'webp', width: side, height: side }]),
  );

export const GALLERY_BOXES: Boxes = {
  thumbnail: { format: 'webp', width: 200, height: 200, cover: true },
  'thumbnail.jpeg': { format: 'jpeg', width: 200, height: 200, cover: true },
  optimized: { format: 'webp', width: 1920, height: 1080 },
  'optimized.jpeg': { format: 'jpeg', width: 1920, height: 1080 },
};

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** @returns how many renditions were measured */
export async function journey(
  traveller: Traveller,
  { owner, stranger, nobody }: Clients,
  { keepIn, onInfo }: JourneyOptions = {},
): Promise<number> {
  const { name, bytes, width, height, boxes } = traveller;
  const uploaded = await owner.upload([
    ['bucket', BUCKET],
    ['preset', traveller.preset],
    ['metadata', JSON.stringify({ from: name })],
    ['file', bytes, name],
  ]);
  assert.equal(uploaded.status, 202, `${name}: ${JSON.stringify(uploaded.body)}`);
  const { image_id, job_id, status_url } = uploaded.body;
  const of = { params: { image_id } };
  const ofJob = { params: { job_id } };
  assert.ok(status_url.endsWith(`/jobs/${job_id}`));

  const events = await follow(job_id, traveller, nobody);
  const last = events.at(-1)!;
  assert.equal(last.event, 'completed', `${name}: ${JSON.stringify(last.data)}`);

  const { body: job } = await nobody.ask<JobDocument>('get_job', ofJob);
  assert.deepEqual(
    [job.status, job.progress, job.error, job.image_id],
    ['completed', 100, null, image_id],
    name,
  );
  const { status, body: result } = await nobody.ask<JobResult>('get_job_result', ofJob);
  assert.equal(status, 200, name);
  const { original_dimensions, variants, context, dominant_color } = result.metadata;
  assert.deepEqual(original_dimensions, { width, height }, name);
  assert.deepEqual(context, { from: name });
  assert.match(dominant_color ?? '', /^#[0-9a-f]{6}$/, name);
  assert.deepEqual(Object.keys(result.urls).sort(), Object.keys(boxes).sort(), name);
  assert.equal(
    events.filter(({ event }) => event === 'rendition').length,
    Object.keys(boxes).length,
    `${name}: each size is told of once`,
  );

  for (const [variant, box] of Object.entries(boxes)) {
    const title = `${name}: ${variant}`;
    const told = variants[variant]!;
    const rendition = await nobody.bytesOf(result.urls[variant]!, `image/${box.format}`);
    const found = await sharp(rendition).metadata();
    // Of an animation, one frame.
    const size = { width: found.width, height: found.pageHeight ?? found.height };
    assert.deepEqual(
      [size.width, size.height, found.format, rendition.length],
      [told.width, told.height, told.format, told.size_bytes],
      title,
    );
    assert.equal(found.format, box.format, title);
    assertFits(size, { width, height }, box, title);
    if (keepIn) writeFileSync(join(keepIn, `${image_id}-${variant}.${box.format}`), rendition);
  }

  const { body: info } = await owner.ask<ImageInfo & { image_id: string }>('get_image_info', of);
  onInfo?.(info);
  for (const other of [stranger, nobody]) {
    const { body } = await other.ask('get_image_info', of);
    assert.deepEqual(body, { ...info, gps: null }, `${name}: others are told all but the place`);
  }

  const download = await owner.ask<Buffer>('download_image', of);
  assert.equal(sha256Of(download.body), traveller.sha256, `${name}: the upload, unchanged`);
  assert.equal((await stranger.ask('download_image', of)).status, 403);
  assert.equal((await nobody.ask('download_image', of)).status, 401);

  await assertListed(image_id, info, owner, stranger);

  assert.equal((await stranger.ask('delete_image', of)).status, 403);
  assert.equal((await owner.ask('delete_image', of)).status, 204, name);
  await assertGone(image_id, job_id, Object.values(result.urls), owner);
  return Object.keys(boxes).length;
}

/** Fails unless a picture of this size is what the box makes of it, to a pixel; and it is never enlarged. */
export function assertFits(
  size: { width: number; height: number },
  source: { width: number; height: number },
  box: Box,
  title: string,
): void {
  // Too small a picture is cut to the shape of a box that it should cover, and lies in another one as it is.
  const scale = Math.min(1, source.width / box.width, source.height / box.height);
  const wanted = box.cover
    ? { width: box.width * scale, height: box.height * scale }
    : within(source, Math.min(1, box.width / source.width, box.height / source.height));
  const said = `${title}: ${source.width}×${source.height} became ${size.width}×${size.height}`;
  for (const side of ['width', 'height'] as const) {
    assert.ok(size[side] <= source[side] && size[side] <= box[side], said);
    // A side is at least one pixel long.
    assert.ok(Math.abs(size[side] - Math.max(1, wanted[side])) < 1, said);
  }
}

const within = ({ width, height }: { width: number; height: number }, scale: number) => ({
  width: width * scale,
  height: height * scale,
});

/** Until the job has ended. Each event that is kept comes once and in order, also with a pause in between. */
async function follow(job_id: string, { name, resumes }: Traveller, client: ApiClient): Promise<Received[]> {
  const ofJob = { params: { job_id } };
  const read = async (after: number, untilKept: boolean): Promise<Received[]> => {
    const headers: Record<string, string> = after > 0 ? { 'last-event-id': String(after) } : {};
    const response = await client.open('stream_job_events', { ...ofJob, headers });
    assert.equal(response.status, 200, name);
    const events: Received[] = [];
    for await (const event of eventsIn(response)) {
      events.push(event);
      if (untilKept && event.id !== undefined) break;
    }
    return events;
  };
  const before = resumes ? await read(0, true) : [];
  const events = [...before, ...(await read(before.at(-1)?.id ?? 0, false))];
  const ids = events.flatMap(({ id }) => id ?? []);
  assert.deepEqual(
    ids,
    [...new Set(ids)].sort((a, b) => a - b),
    `${name}: kept events come once, in order`,
  );
  if (resumes) {
    const again = await read(0, false);
    assert.deepEqual(
      again.flatMap(({ id }) => id ?? []),
      ids,
      `${name}: nothing was missed in the pause`,
    );
  }
  const { status } = await client.ask('stream_job_events', {
    ...ofJob,
    headers: { 'last-event-id': String(ids.at(-1)) },
  });
  assert.equal(status, 204, `${name}: nothing follows the end`);
  return events;
}

interface List {
  items: ImageSummary[];
}

async function assertListed(
  image_id: string,
  info: ImageInfo,
  owner: ApiClient,
  stranger: ApiClient,
): Promise<void> {
  const camera = [info.camera_make, info.camera_model].filter(Boolean).join(' ');
  const taken = info.date_taken?.slice(0, 'YYYY-MM-DDThh:mm:ss'.length);
  const query = {
    bucket: BUCKET,
    status: 'ready',
    ...(camera && { camera }),
    ...(taken && { taken_from: taken, taken_to: taken }),
    limit: '100',
  };
  const lists = async (by: ApiClient, filter: Record<string, string>) => {
    const { status, body } = await by.ask<List>('list_images', { query: filter });
    assert.equal(status, 200, JSON.stringify(body));
    return body.items.some((item) => item.image_id === image_id);
  };
  assert.ok(await lists(owner, query), `listed by ${JSON.stringify(query)}`);
  assert.ok(!(await lists(stranger, query)), 'others do not see it in their list');
  const yearAfter = taken ? String(Number(taken.slice(0, 4)) + 1) : '1900';
  assert.ok(!(await lists(owner, { ...query, taken_from: yearAfter, taken_to: '2999' })));
  assert.ok(!(await lists(owner, { ...query, camera: `${camera} of another maker` })));
}

export async function assertGone(
  image_id: string,
  job_id: string,
  urls: readonly string[],
  owner: ApiClient,
): Promise<void> {
  const images = [
    'get_image',
    'get_image_sizes',
    'read_image',
    'get_image_info',
    'download_image',
    'list_image_versions',
    'delete_image',
  ] as const;
  const jobs = ['get_job', 'get_job_result', 'stream_job_events', 'retry_job', 'cancel_job'] as const;
  for (const id of images) assert.equal((await owner.ask(id, { params: { image_id } })).status, 404, id);
  for (const id of jobs) assert.equal((await owner.ask(id, { params: { job_id } })).status, 404, id);
  for (const url of urls) assert.equal((await fetch(url)).status, 404, url);
  const { body } = await owner.ask<{ items: Record<string, { problem?: { status: number } }> }>(
    'get_image_batch',
    { query: { image_ids: image_id } },
  );
  assert.equal(body.items[image_id]?.problem?.status, 404);
}

/** Ends the server. Of all that was uploaded, and deleted, nothing is left: no row, and no byte. */
export async function assertNothingLeft(installation: Installation): Promise<void> {
  await installation.server.close();
  const left = ['images', 'image_versions', 'renditions', 'blobs', 'processing_jobs', 'outbox'].flatMap(
    (table) => {
      const [row] = installation.rows<{ n: number }>(`select count(*) n from ${table}`);
      return row!.n === 0 ? [] : `${row!.n} ${table}`;
    },
  );
  assert.deepEqual(left, []);
  assert.deepEqual(installation.audit(), {
    integrity: 'ok',
    unfinished: 0,
    staged: [],
    scratch: [],
    orphans: [],
    missing: [],
    undeleted: 0,
  });
}
