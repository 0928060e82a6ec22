/** Jobs as answers and events show them. */
import type { JobDocument, JobResult } from '../../contract/jobs.ts';
import type { EventRow, ImageRow, JobRow } from '../../ports/catalog.ts';
import { Problem } from '../../problem.ts';
import type { ImageUrls } from '../../services/image-urls.ts';
import type { SizeOf } from '../../services/retrieve.ts';

/** To clients, a job whose bytes have not come waits as others do. */
export const shownStatus = ({ status }: JobRow): JobDocument['status'] =>
  status === 'expected' ? 'pending' : status;

const shownStep = ({ status, step, cancelRequested }: JobRow): string | null =>
  status === 'expected'
    ? 'awaiting upload'
    : cancelRequested && status === 'processing'
      ? 'cancelling'
      : step;

export function errorOf({ lastError }: JobRow): JobDocument['error'] {
  if (!lastError) return null;
  const { code, title, detail } = Problem.deserialize(lastError);
  return { code, title, detail: detail ?? null };
}

export function jobDocument(job: JobRow): JobDocument {
  return {
    job_id: job.jobId,
    image_id: job.imageId ?? '',
    kind: job.kind === 'process' ? 'process' : 'upload',
    version: job.version ?? 1,
    batch_id: job.batchId ?? null,
    status: shownStatus(job),
    progress: job.progress,
    step: shownStep(job),
    created_at: job.createdAt,
    started_at: job.startedAt,
    completed_at: job.completedAt,
    error: errorOf(job),
    attempts: job.attemptCount,
    max_retries: job.maxRetries,
  };
}

export function stateDocument(job: JobRow) {
  const { job_id, image_id, status, progress, step, attempts } = jobDocument(job);
  return { job_id, image_id, status, progress, step, attempts };
}

/** What happened then, not how the job stands by now. */
export const stepDocument = (job: JobRow, { eventType, metadata, createdAt }: EventRow) => ({
  job_id: job.jobId,
  image_id: job.imageId,
  step: eventType,
  at: createdAt,
  ...(typeof metadata.attempt === 'number' && { attempt: metadata.attempt }),
  ...(typeof metadata.code === 'string' && { code: metadata.code }),
});

export function endDocument(job: JobRow, base: string) {
  const { job_id, image_id, status, error, completed_at } = jobDocument(job);
  const url = `${base}/api/v1/images/jobs/${job_id}/result`;
  return {
    job_id,
    image_id,
    status,
    completed_at,
    ...(status === 'completed' && { result_url: url }),
    ...(error && { error }),
  };
}

export interface VariantFile {
  /** The size's own for the format to prefer, `<size>.<format>` for the others. */
  name: string;
  size: string;
  format: string | undefined;
  variant: JobResult['metadata']['variants'][string];
}

export function filesOf({ size, files }: SizeOf): VariantFile[] {
  return files.map(({ format, width, height, bytes }, i) => ({
    name: i === 0 ? size : `${size}.${format}`,
    size,
    format: i === 0 ? undefined : format,
    variant: {
      width,
      height,
      aspect_ratio: Math.round((width / height) * 10_000) / 10_000,
      format,
      size_bytes: bytes,
    },
  }));
}

/** A size that can be read now. */
export function renditionDocument(
  { plans, version = 1 }: JobRow,
  image: ImageRow,
  { metadata }: EventRow,
  urls: ImageUrls,
  base: string,
) {
  const { name, format, width, height, bytes } = metadata as Record<string, string & number>;
  const twins = plans.filter((one) => one.name === name).length > 1;
  const { imageId } = image;
  const address = { imageId, version, size: String(name), ...(twins && { format: String(format) }) };
  return { name, url: urls.urlOf(image, address, base), width, height, format, size_bytes: bytes };
}

/** By the names that they have in answers. */
export function urlsOf(
  image: ImageRow,
  version: number,
  sizes: readonly SizeOf[],
  urls: ImageUrls,
  base: string,
): Record<string, string> {
  const { imageId } = image;
  const files = sizes.flatMap(filesOf);
  return Object.fromEntries(
    files.map(({ name, size, format }) => [
      name,
      urls.urlOf(image, { imageId, version, size, format }, base),
    ]),
  );
}
