/** New versions of images that are there, and several jobs at a time. */
import { setMaxListeners } from 'node:events';
import { Readable } from 'node:stream';
import type { PROCESSING_OPERATIONS } from '../../contract/operations/processing.ts';
import type { Principal } from '../../domain/access.ts';
import { batchState } from '../../domain/batch.ts';
import type { ImageRow, JobRow } from '../../ports/catalog.ts';
import { Problem } from '../../problem.ts';
import type { Services } from '../../services/context.ts';
import { ImageUrls } from '../../services/image-urls.ts';
import {
  type AcceptedVersion,
  type ProcessServices,
  processBatch,
  processImage,
} from '../../services/process.ts';
import { isTheirJob } from '../../services/retrieve.ts';
import { Turns } from '../../services/turns.ts';
import { BatchWatch } from '../../services/watch-batch.ts';
import type { WatchOptions } from '../../services/watch-job.ts';
import type { Handlers } from '../bind.ts';
import { EVENT_STREAM_HEADERS, eventStream, lastEventId, type ServerEvent } from '../event-stream.ts';
import { idempotencyKeyOf } from '../idempotency-key.ts';
import { problemDocument } from '../problems.ts';
import { baseUrl } from '../public-url.ts';
import { endDocument, jobDocument, renditionDocument, stateDocument, stepDocument } from './job-documents.ts';

export interface ProcessingRouteOptions {
  services: ProcessServices & Pick<Services, 'catalog' | 'clock' | 'urlSigningKey'>;
  /** PUBLIC_URL. */
  publicUrl: string | undefined;
  /** Aborts when the server begins to shut down: whoever follows a batch may go on with another one. */
  draining: AbortSignal;
}

/** About what changes. */
const NOT_KEPT = { 'cache-control': 'no-store' };

export function processingRoutes({
  services,
  publicUrl,
  draining,
}: ProcessingRouteOptions): Handlers<typeof PROCESSING_OPERATIONS> {
  const { catalog } = services;
  const turns = new Turns();
  const urls = new ImageUrls(services);
  const watch = new BatchWatch(services);
  setMaxListeners(0, draining);

  return {
    process_image: async ({ params, query, body: plan, principal, request, exchange }) => {
      const accepted = await processImage(
        {
          imageId: params.image_id,
          version: query.version,
          plan,
          principal,
          idempotencyKey: idempotencyKeyOf(request),
        },
        services,
        { signal: exchange.signal, turns },
      );
      return { status: 202, headers: NOT_KEPT, json: acceptedDocument(accepted) };
    },

    process_batch: async ({ body, principal, request, exchange }) => {
      const { batchId, items } = await processBatch(
        {
          imageIds: [...new Set(body.image_ids)],
          plan: body.plan,
          principal,
          idempotencyKey: idempotencyKeyOf(request),
        },
        services,
        { signal: exchange.signal, turns },
      );
      return {
        status: 202,
        headers: NOT_KEPT,
        json: {
          batch_id: batchId,
          status_url: `/api/v1/images/batch/${batchId}`,
          items: items.map((item) => {
            if (!('problem' in item)) return acceptedDocument(item);
            const { imageId, problem } = item;
            const path = `/api/v1/images/${imageId}/process`;
            return {
              image_id: imageId,
              problem: problemDocument(Problem.deserialize(problem), path, request.id),
            };
          }),
        },
      };
    },

    get_batch: async ({ params, principal }) => {
      const jobs = await findBatch(params.batch_id, principal, catalog);
      return {
        status: 200,
        headers: NOT_KEPT,
        json: { ...batchDocument(params.batch_id, jobs), items: jobs.map(jobDocument) },
      };
    },

    stream_batch_events: async ({ params, query, principal, request, exchange }) => {
      const { batch_id: batchId } = params;
      const jobs = await findBatch(batchId, principal, catalog);
      const afterEventId = query.last_event_id ?? lastEventId(request.headers['last-event-id']) ?? 0;
      if (afterEventId > 0 && (await watch.isOver(batchId, jobs, afterEventId))) return { status: 204 };
      const images = await catalog.images(jobs.flatMap(({ imageId }) => imageId ?? []));
      const signal = AbortSignal.any([exchange.signal, draining]);
      const options = { afterEventId, signal };
      const body =
        request.method === 'HEAD'
          ? Readable.from([])
          : eventStream(serverEvents(batchId, images, baseUrl(request, publicUrl), options));
      return { status: 200, headers: EVENT_STREAM_HEADERS, type: 'text/event-stream', body };
    },
  };

  async function* serverEvents(
    batchId: string,
    rows: readonly ImageRow[],
    base: string,
    options: WatchOptions,
  ): AsyncGenerator<ServerEvent | 'comment', void, void> {
    const images = new Map(rows.map((image) => [image.imageId, image]));
    const told = (jobs: readonly JobRow[]) => batchDocument(batchId, jobs);
    for await (const update of watch.follow(batchId, options)) {
      switch (update.kind) {
        case 'silence':
          yield 'comment';
          break;
        case 'gone':
          yield { event: 'completed', data: told([]) };
          break;
        case 'state':
          yield { event: 'progress', data: told(update.jobs) };
          break;
        case 'over':
          yield { id: update.eventId, event: 'completed', data: told(update.jobs) };
          break;
        case 'job':
          yield { event: 'job', data: inBatch(update.job, stateDocument(update.job)) };
          break;
        case 'event': {
          const { job, event, isEnd, isLast } = update;
          // Its id is that of `completed`: who has not seen that has not seen the last.
          const id = isLast ? {} : { id: event.id };
          const image = images.get(job.imageId ?? '');
          if (isEnd) {
            const data = { ...stateDocument(job), ...endDocument(job, base) };
            yield { ...id, event: 'job', data: inBatch(job, data) };
          } else if (event.eventType === 'rendition.ready' && image) {
            const { jobId: job_id, imageId: image_id } = job;
            const data = { job_id, image_id, ...renditionDocument(job, image, event, urls, base) };
            yield { ...id, event: 'rendition', data };
          } else yield { ...id, event: 'step', data: stepDocument(job, event) };
        }
      }
    }
  }
}

/** @throws Problem not_found, also where it is not theirs to see */
async function findBatch(
  batchId: string,
  principal: Principal,
  catalog: Services['catalog'],
): Promise<JobRow[]> {
  const jobs = await catalog.batch(batchId);
  if (jobs.length > 0 && jobs.every((job) => isTheirJob(principal, job))) return jobs;
  throw new Problem('not_found', {
    detail: 'There is no such batch; one is there only for whoever sent it, while it has images.',
  });
}

const acceptedDocument = ({ imageId, jobId, version }: AcceptedVersion) => ({
  job_id: jobId,
  image_id: imageId,
  version,
  status_url: `/api/v1/images/jobs/${jobId}`,
});

const batchDocument = (batchId: string, jobs: readonly JobRow[]) => ({
  batch_id: batchId,
  ...batchState(jobs),
});

/** Jobs of one batch are told apart by their images as well, and those by their versions. */
const inBatch = <T extends object>({ version = 1 }: JobRow, document: T) => ({ ...document, version });
