/** The work on uploads and new versions, and conversions whose result is fetched later. */
import { setMaxListeners } from 'node:events';
import { Readable } from 'node:stream';
import type { JobResult, TaskDocument } from '../../contract/jobs.ts';
import type { JOB_OPERATIONS } from '../../contract/operations/jobs.ts';
import { EXTENSIONS, MIME_TYPES } from '../../contract/plan.ts';
import { type Principal, requireOwner } from '../../domain/access.ts';
import { failedProblem } from '../../domain/failure.ts';
import type { ImageRow, JobRow } from '../../ports/catalog.ts';
import { Problem } from '../../problem.ts';
import type { Services } from '../../services/context.ts';
import { ImageUrls } from '../../services/image-urls.ts';
import { developedSize, findImage, findVersion, sizesOf } from '../../services/retrieve.ts';
import { JobWatch, type WatchOptions } from '../../services/watch-job.ts';
import type { Handlers } from '../bind.ts';
import { contentDisposition, downloadName } from '../disposition.ts';
import { EVENT_STREAM_HEADERS, eventStream, lastEventId, type ServerEvent } from '../event-stream.ts';
import { baseUrl } from '../public-url.ts';
import { answerWithBytes } from '../stored-bytes.ts';
import {
  endDocument,
  errorOf,
  filesOf,
  jobDocument,
  renditionDocument,
  shownStatus,
  stateDocument,
  stepDocument,
  urlsOf,
} from './job-documents.ts';

type Operations = typeof JOB_OPERATIONS;

export interface JobRouteOptions {
  services: Pick<Services, 'catalog' | 'blobs' | 'policies' | 'clock' | 'urlSigningKey' | 'wakeRelay'>;
  /** PUBLIC_URL. */
  publicUrl: string | undefined;
  /** Aborts when the server begins to shut down: whoever follows a job may go on with another one. */
  draining: AbortSignal;
}

/** About what changes. */
const NOT_KEPT = { 'cache-control': 'no-store' };
const MAX_REMEMBERED = 10_000;

export function jobRoutes({ services, publicUrl, draining }: JobRouteOptions): Handlers<Operations> {
  const { catalog, blobs, clock, wakeRelay } = services;
  const urls = new ImageUrls(services);
  const watch = new JobWatch(services);
  const visible = new VisibleJobs(services);
  setMaxListeners(0, draining);

  return {
    get_job: async ({ params, principal }) => {
      const job = await visible.find(params.job_id, principal);
      return { status: 200, headers: NOT_KEPT, json: jobDocument(job) };
    },

    get_job_result: async ({ params, principal, request }) => {
      const { job, image } = await findJob(params.job_id, principal, services);
      requireCompleted(job);
      const base = baseUrl(request, publicUrl);
      return { status: 200, headers: NOT_KEPT, json: await resultOf(job, image, base) };
    },

    stream_job_events: async ({ params, query, principal, request, exchange }) => {
      const { job, image } = await findJob(params.job_id, principal, services);
      const afterEventId = query.last_event_id ?? lastEventId(request.headers['last-event-id']) ?? 0;
      if (afterEventId > 0 && (await watch.isOver(job, afterEventId))) return { status: 204 };
      const base = baseUrl(request, publicUrl);
      const signal = AbortSignal.any([exchange.signal, draining]);
      const body =
        request.method === 'HEAD'
          ? Readable.from([])
          : eventStream(serverEvents(job, image, base, { afterEventId, signal }));
      return { status: 200, headers: EVENT_STREAM_HEADERS, type: 'text/event-stream', body };
    },

    retry_job: async ({ params, principal }) => {
      await findOwnJob(params.job_id, principal, services);
      const job = await catalog.retryJob(params.job_id, clock.now());
      wakeRelay();
      return { status: 202, headers: NOT_KEPT, json: jobDocument(job) };
    },

    cancel_job: async ({ params, principal }) => {
      await findOwnJob(params.job_id, principal, services);
      const job = await catalog.cancelJob(params.job_id, clock.now());
      return { status: 202, headers: NOT_KEPT, json: jobDocument(job) };
    },

    get_task: async ({ params, request }) => {
      const job = await findTask(params.task_id, services);
      return { status: 200, headers: NOT_KEPT, json: taskDocument(job, baseUrl(request, publicUrl)) };
    },

    get_task_result: async ({ params, request }) => {
      const job = await findTask(params.task_id, services);
      requireCompleted(job);
      const key = Object.values(job.processedPaths)[0];
      const format = job.plans[0]?.plan.output.format;
      const blob = key === undefined ? undefined : await catalog.blob(key);
      if (!blob || !format || (await blobs.head(blob.key))?.bytes !== blob.bytes) {
        throw new Problem('internal', { detail: 'The stored bytes of this result are missing or damaged.' });
      }
      const { filename } = job.processingMetadata;
      const name = downloadName(typeof filename === 'string' ? filename : undefined, EXTENSIONS[format]);
      return answerWithBytes(
        request,
        {
          key: blob.key,
          bytes: blob.bytes,
          type: MIME_TYPES[format],
          headers: NOT_KEPT,
          contentHeaders: {
            'content-disposition': contentDisposition(name),
            'x-image-width': String(blob.width),
            'x-image-height': String(blob.height),
          },
        },
        blobs,
      );
    },
  };

  async function resultOf(job: JobRow, image: ImageRow, base: string): Promise<JobResult> {
    const version = job.version ?? 1;
    const [original, sizes] = await Promise.all([
      findVersion(image, version, services),
      sizesOf(image, services, version),
    ]);
    const { dominantColor, thumbhash, blurhash } = original.placeholders ?? image;
    const files = sizes.flatMap(filesOf);
    return {
      image_id: image.imageId,
      version,
      status: 'completed',
      urls: urlsOf(image, version, sizes, urls, base),
      metadata: {
        dominant_color: dominantColor,
        thumbhash,
        blurhash,
        original_dimensions: developedSize(original, job),
        variants: Object.fromEntries(files.map(({ name, variant }) => [name, variant])),
        context: image.context,
      },
      completed_at: job.completedAt ?? job.createdAt,
    };
  }

  async function* serverEvents(
    { jobId }: JobRow,
    image: ImageRow,
    base: string,
    options: WatchOptions,
  ): AsyncGenerator<ServerEvent | 'comment', void, void> {
    const { imageId } = image;
    for await (const update of watch.follow(jobId, options)) {
      if (update.kind === 'silence') yield 'comment';
      else if (update.kind === 'gone') {
        const data = {
          job_id: jobId,
          image_id: imageId,
          status: 'cancelled',
          reason: 'The image was deleted.',
        };
        yield { event: 'cancelled', data };
      } else if (update.kind === 'state') yield { event: 'progress', data: stateDocument(update.job) };
      else {
        const { event, job, isLast } = update;
        const { id } = event;
        if (event.eventType === 'rendition.ready') {
          yield { id, event: 'rendition', data: renditionDocument(job, image, event, urls, base) };
        } else if (isLast) yield { id, event: shownStatus(job), data: endDocument(job, base) };
        else yield { id, event: 'step', data: stepDocument(job, event) };
      }
    }
  }
}

/** @throws Problem not_found, also where the image is not theirs to see */
async function findJob(
  jobId: string,
  principal: Principal | undefined,
  services: Pick<Services, 'catalog'>,
): Promise<{ job: JobRow; image: ImageRow }> {
  const job = await services.catalog.job(jobId);
  if (!job?.imageId) throw noSuchJob();
  const image = await findImage(job.imageId, principal, services).catch((error) => {
    throw Problem.from(error).code === 'not_found' ? noSuchJob() : error;
  });
  return { job, image };
}

/** Looking jobs up, for clients that ask again and again until theirs has ended. */
class VisibleJobs {
  readonly #services: Pick<Services, 'catalog'>;
  /** Images that anybody may see: that is settled when they are accepted, and their jobs go with them. */
  readonly #public = new Set<string>();

  constructor(services: Pick<Services, 'catalog'>) {
    this.#services = services;
  }

  /** @throws Problem not_found, also where the image is not theirs to see */
  async find(jobId: string, principal: Principal | undefined): Promise<JobRow> {
    const known = await this.#services.catalog.job(jobId);
    if (known?.imageId && this.#public.has(known.imageId)) return known;
    const { job, image } = await findJob(jobId, principal, this.#services);
    if (this.#public.size >= MAX_REMEMBERED) this.#public.clear();
    if (image.visibility === 'public') this.#public.add(image.imageId);
    return job;
  }
}

/** @throws Problem not_found; forbidden where it is public and somebody else's */
async function findOwnJob(
  jobId: string,
  principal: Principal,
  services: Pick<Services, 'catalog'>,
): Promise<void> {
  const { image } = await findJob(jobId, principal, services);
  requireOwner(principal, image);
}

async function findTask(taskId: string, { catalog }: Pick<Services, 'catalog'>): Promise<JobRow> {
  const job = await catalog.job(taskId);
  if (job?.kind !== 'convert') {
    throw new Problem('not_found', {
      detail: 'There is no such conversion; it is kept for a day after it ended.',
    });
  }
  return job;
}

const noSuchJob = () =>
  new Problem('not_found', {
    detail: 'There is no such job; that of a private image is there only for its owner.',
  });

/** @throws Problem not_finished, or what the job has ended with */
function requireCompleted({ status, lastError }: JobRow): void {
  if (status === 'completed') return;
  if (status === 'failed') throw failedProblem(lastError);
  if (status === 'cancelled') {
    throw failedProblem({ code: 'cancelled', detail: 'The job was cancelled.' });
  }
  throw new Problem('not_finished', { detail: 'The job has not finished.' });
}

function taskDocument(job: JobRow, base: string): TaskDocument {
  return {
    task_id: job.jobId,
    status: shownStatus(job),
    progress: job.progress,
    result_url: job.status === 'completed' ? `${base}/status/${job.jobId}/result` : null,
    error: errorOf(job),
  };
}
