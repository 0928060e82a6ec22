/**
 * Renders a set of Plans from one source: decode once, cascade, encode many.
 *
 * What is asked in one call shares its work. Pictures that only differ in size come from a chain, each from the next
 * larger one; the head of the chain is loaded with shrink-on-load where the format can. What needs the full picture
 * streams from the file where decoding is cheap, else from one decoded copy in memory. Small pictures are finished
 * first, so that they can be shown first.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sharp } from 'sharp';
import { EXTENSIONS, type NormalPlan } from '../contract/plan.ts';
import { Problem } from '../problem.ts';
import { classify, isHarmless } from './decode/faults.ts';
import { openSource, type Source, toMemory } from './decode/open.ts';
import { pipelineOf } from './decode/pixels.ts';
import { extractPreview } from './decode/preview.ts';
import { ANIMATES, encode, KEEPS_16_BITS, type Timing } from './encode/index.ts';
import { keepMetadata } from './metadata/keep.ts';
import { placeholders } from './metadata/placeholders.ts';
import { probe } from './probe.ts';
import { isPerPage, renderFrames } from './steps/frames.ts';
import { layout } from './steps/index.ts';
import { applyStage, delayOrient, stagesOf } from './steps/pipeline.ts';
import type { Primitive, Size } from './steps/primitive.ts';
import { contained } from './steps/resize.ts';
import type {
  Facts,
  Pixels,
  Placeholders,
  RenderRequest,
  RenderResult,
  Rendition,
  SourceFormat,
} from './types.ts';

/** Longest side of a picture that the chain keeps in memory. */
const CHAIN_MAX_SIDE_PX = 2048;
/** Placeholders are computed from a picture inside this box. */
const PLACEHOLDER_BOX_PX = 100;
/** Whose frames libvips decodes; of an APNG or an AVIF sequence it gives the first picture. */
const ANIMATED_SOURCES: ReadonlySet<SourceFormat> = new Set(['gif', 'webp']);

interface Job {
  index: number;
  plan: NormalPlan;
  primitives: Primitive[];
  size: Size;
}

/**
 * @throws Problem: what `probe` throws; `undecodable_image`, `raw_not_developable`, `preview_not_found`,
 * `too_many_frames`, `invalid_plan` (an operation that this picture cannot take), `metadata_failed`, `cancelled`,
 * `processing_timeout`, `storage_full`
 */
export async function render(request: RenderRequest): Promise<RenderResult> {
  const facts = await probe(request.sourcePath, request.limits, request.signal);
  try {
    return await renderAll(request, facts, false).catch((error: unknown) => {
      if (isHarmless(error)) return renderAll(request, facts, true);
      throw error;
    });
  } catch (error) {
    if (request.signal?.aborted) throw new Problem('cancelled', { cause: error });
    throw classify(error, facts.format);
  }
}

async function renderAll(request: RenderRequest, facts: Facts, lenient: boolean): Promise<RenderResult> {
  const renditions: Rendition[] = [];
  const result: RenderResult = { facts, renditions };
  for (const group of groupsOf(request.plans, facts)) {
    const source = await open(request, facts, group, lenient);
    if (source.facts.family === facts.family) {
      // A RAW file's true size is known once it is developed.
      result.facts = { ...facts, width: source.facts.width, height: source.facts.height };
    }
    const made = await renderGroup(request, source, group, facts, renditions, !result.placeholders);
    if (made) result.placeholders = made;
  }
  if (request.placeholders && !result.placeholders) {
    // Every rendition moves: its first frame stands for the picture.
    const still = await open(request, facts, { preview: false, page: 0, jobs: [] }, lenient);
    result.placeholders = await placeholdersFrom(still, undefined);
  }
  renditions.sort((a, b) => a.index - b.index);
  return result;
}

/** Plans that open the source in the same way. */
interface Group {
  preview: boolean;
  /** -1: all frames. */
  page: number;
  jobs: { index: number; plan: NormalPlan }[];
}

function groupsOf(plans: NormalPlan[], facts: Facts): Group[] {
  const groups = new Map<string, Group>();
  plans.forEach((plan, index) => {
    const preview = plan.preview === 'embedded';
    const first = plan.operations[0];
    const moves =
      ANIMATED_SOURCES.has(facts.format) && facts.pages > 1 && ANIMATES.has(plan.output.format) && !preview;
    const page = first?.op === 'frame' ? first.page : moves ? -1 : 0;
    const key = `${preview}:${page}`;
    const group = groups.get(key) ?? { preview, page, jobs: [] };
    group.jobs.push({ index, plan });
    groups.set(key, group);
  });
  // Stills before animations: the cheap ones are published first.
  return [...groups.values()].sort((a, b) => b.page - a.page);
}

async function open(request: RenderRequest, facts: Facts, group: Group, lenient: boolean): Promise<Source> {
  const { limits, signal, outDir } = request;
  const options = { limits, page: group.page, lenient, ...(signal && { signal }) };
  if (!group.preview) return openSource(request.sourcePath, facts, options);
  const path = await extractPreview(request.sourcePath, outDir, {
    timeoutMs: limits.timeoutMs,
    ...(signal && { signal }),
  });
  return openSource(path, await probe(path, limits, signal), options);
}

async function renderGroup(
  request: RenderRequest,
  source: Source,
  group: Group,
  original: Facts,
  done: Rendition[],
  wantPlaceholders: boolean,
): Promise<Placeholders | undefined> {
  const jobsOn = (on: Source): Job[] =>
    group.jobs
      .map(({ index, plan }) => ({ index, plan, ...layout(plan.operations, on.stored, on.orientation) }))
      .sort((a, b) => area(a.size) - area(b.size));

  const finish = async (job: Job, image: Sharp, of: Source, timing?: Timing) => {
    request.signal?.throwIfAborted();
    const { plan, index } = job;
    const { format, metadata } = plan.output;
    const path = join(request.outDir, `${index}.${EXTENSIONS[format]}`);
    const encoded = await encode(
      inSrgb(image, of, isDeep(job, of.facts)),
      plan.output,
      job.size,
      path,
      timing,
    );
    if (metadata === 'keep') {
      const { timeoutMs } = request.limits;
      const { width, height } = encoded;
      await keepMetadata(request.sourcePath, { path, format, width, height }, original, {
        timeoutMs,
        ...(request.signal && { signal: request.signal }),
      });
      encoded.bytes = (await stat(path)).size;
    }
    const rendition: Rendition = { index, plan, path, ...encoded };
    done.push(rendition);
    request.onRendition?.(rendition);
  };

  if (source.pages > 1) {
    for (const job of jobsOn(source)) {
      if (isPerPage(job.primitives)) {
        const { image, timing } = await renderFrames(source, job.primitives);
        await finish(job, image, source, timing);
      } else await finish(job, await run(source, job), source);
    }
    return undefined;
  }

  const still = request.placeholders === true && wantPlaceholders;
  let base = source;
  let jobs = jobsOn(base);
  const chained = jobs.filter((job) => isChained(job, base.facts));
  const shares = chained.length > 1 || (still && chained.length > 0);
  const readers = jobs.length - (shares ? chained.length - 1 : 0) + (still && !shares ? 1 : 0);
  if (readers > 1 && !base.inMemory && !base.shrinks && !jobs.some((job) => isDeep(job, base.facts))) {
    base = await toMemory(base, inSrgb(applyStage(base.pipeline(), upright(base)), base, false));
    jobs = jobsOn(base);
  }

  let smallest: Pixels | undefined;
  if (shares) {
    const levels = await chain(
      base,
      jobs.filter((job) => isChained(job, base.facts)),
    );
    smallest = levels[0]?.pixels;
    for (const { job, pixels } of levels) await finish(job, pipelineOf(pixels), base);
  }
  const made = still ? await placeholdersFrom(base, smallest) : undefined;
  for (const job of jobs) {
    if (shares && isChained(job, base.facts)) continue;
    await finish(job, await run(base, job), base);
  }
  return made;
}

const area = (size: Size) => size.width * size.height;
const isDeep = (job: Job, facts: Facts) => facts.bitDepth > 8 && KEEPS_16_BITS.has(job.plan.output.format);
const upright = (source: Source): Primitive[] =>
  source.orientation === 1 ? [] : [{ do: 'orient', orientation: source.orientation }];

/** Only its size sets it apart from the whole picture, and it is small enough to keep in memory. */
function isChained(job: Job, facts: Facts): boolean {
  const { operations } = job.plan;
  const only = operations[0];
  const resample =
    operations.length === 0 || (operations.length === 1 && only?.op === 'resize' && only.fit === 'contain');
  return resample && !isDeep(job, facts) && Math.max(job.size.width, job.size.height) <= CHAIN_MAX_SIDE_PX;
}

/** @param jobs by rising size; the result is in the same order */
async function chain(source: Source, jobs: Job[]): Promise<{ job: Job; pixels: Pixels }[]> {
  const levels: { job: Job; pixels: Pixels }[] = [];
  let above: Pixels | undefined;
  for (const job of jobs.toReversed()) {
    const { width, height } = job.size;
    if (!above) above = await toPixels(inSrgb(await run(source, job), source, false));
    else if (above.width !== width || above.height !== height) {
      above = await toPixels(pipelineOf(above).resize(width, height, { fit: 'fill' }));
    }
    levels.unshift({ job, pixels: above });
  }
  return levels;
}

async function toPixels(image: Sharp, depth: 8 | 16 = 8): Promise<Pixels> {
  const { data, info } = await image
    .raw({ depth: depth === 16 ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const channels = info.channels as Pixels['channels'];
  return { data, width: info.width, height: info.height, channels, depth };
}

/** Runs a job's primitives over the source; the last stage is left open, for the encoder to pull. */
async function run(source: Source, job: Job): Promise<Sharp> {
  const deep = isDeep(job, source.facts);
  const stages = stagesOf(delayOrient(job.primitives, source.stored));
  let image = source.pipeline();
  for (const [i, stage] of stages.entries()) {
    image = applyStage(image, stage);
    if (i < stages.length - 1) {
      image = pipelineOf(await toPixels(inSrgb(image, source, deep), deep ? 16 : 8));
    }
  }
  return image;
}

/**
 * libvips converts any profile to sRGB by itself, but processes 16-bit RGB that has one in Display P3: there the
 * step to sRGB must be asked for, or the picture comes out dull.
 */
function inSrgb(image: Sharp, source: Source, deep: boolean): Sharp {
  const srgb = source.wide ? image.withIccProfile('srgb', { attach: false }) : image;
  return srgb.toColourspace(deep ? 'rgb16' : 'srgb');
}

async function placeholdersFrom(source: Source, smallest: Pixels | undefined): Promise<Placeholders> {
  const from: Size =
    smallest ??
    (source.orientation >= 5 ? { width: source.stored.height, height: source.stored.width } : source.stored);
  const box = contained({ width: PLACEHOLDER_BOX_PX, height: PLACEHOLDER_BOX_PX, enlarge: false }, from);
  if (smallest)
    return placeholders(await toPixels(pipelineOf(smallest).resize(box.width, box.height, { fit: 'fill' })));
  const primitives = delayOrient([...upright(source), { do: 'scale', ...box }], source.stored);
  return placeholders(await toPixels(inSrgb(applyStage(source.pipeline(), primitives), source, false)));
}
