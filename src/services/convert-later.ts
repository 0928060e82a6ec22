/** Accepts a conversion whose result is fetched later: a job without an image. */
import type { NormalPlan } from '../contract/plan.ts';
import { planFor } from '../contract/plan-for-source.ts';
import { probe } from '../engine/probe.ts';
import type { Services } from './context.ts';
import type { StagedOriginal } from './staged-original.ts';
import { jobRow } from './upload-rows.ts';

/** Nobody in particular: no token has an empty subject. */
const NOBODY = '';
/** The one rendition of such a job. */
const RESULT = 'result';

export interface Conversion {
  original: StagedOriginal;
  /** As the client wrote it: to be cleaned where the result is named after it. */
  filename: string | undefined;
  plan: NormalPlan;
}

/**
 * The staged file stays the caller's to dispose of.
 * @throws Problem as `probe`; `storage_full`, `dependency_down`
 */
export async function acceptConversion(
  { original, filename, plan }: Conversion,
  {
    catalog,
    clock,
    limits,
    maxRetries,
    wakeRelay,
  }: Pick<Services, 'catalog' | 'clock' | 'limits' | 'maxRetries' | 'wakeRelay'>,
  signal: AbortSignal,
): Promise<{ jobId: string }> {
  const facts = await probe(original.path, { ...limits, maxBytes: Number.MAX_SAFE_INTEGER }, signal);
  await original.put();
  signal.throwIfAborted();
  const job = jobRow(
    {
      imageId: null,
      kind: 'convert',
      owner: NOBODY,
      bucket: '',
      plans: [{ name: RESULT, plan: planFor(facts.format, plan) }],
      maxRetries,
      processingMetadata: filename === undefined ? {} : { filename },
    },
    clock.now(),
  );
  const { key, intake } = original;
  await catalog.acceptConversion(job, { key, bytes: intake.bytes }, original.ensureBlob);
  original.accepted();
  wakeRelay();
  return { jobId: job.jobId };
}
