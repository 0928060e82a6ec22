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
import { EXTENSIONS, type NormalOperation, type NormalPlan } from '../contract/plan.ts';
import { Problem } from '../problem.ts';
import { classify, isHarmless } from './decode/faults.ts';
import { openSource, type Source, toMemory } from './decode/open.ts';
import { type Opening, openingOf } from './decode/opening.ts';
import { pipelineOf } from './decode/pixels.ts';
import { extractPreview } from './decode/preview.ts';
import { setDensity } from './encode/density.ts';
import { keepGainMap } from './encode/gain-map.ts';
import { type Encoded, encode, type Timing } from './encode/index.ts';
import { joinTiffs } from './encode/tiff-pages.ts';
import { keepMetadata } from './metadata/keep.ts';
import { placeholders } from './metadata/placeholders.ts';
import {
  ending,
  inSrgb,
  isDeep,
  isWidened,
  type Job,
  paint,
  paintFrame,
  stream,
  toPixels,
} from './picture.ts';
import { Reader } from './probe/reader.ts';
import { tiffPages } from './probe/tiff.ts';
import { probe, probeReader } from './probe.ts';
import { isPerPage, renderFrames } from './steps/frames.ts';
import { layout } from './steps/index.ts';
import { applyStage, delayOrient } from './steps/pipeline.ts';
import type { StepContext } from './steps/pixel-step.ts';
import type { Primitive, Size } from './steps/primitive.ts';
import { contained } from './steps/resize.ts';
import type { Facts, Pixels, Placeholders, RenderRequest, RenderResult, Rendition } from './types.ts';

/** Longest side of a picture that the chain keeps in memory. */
const CHAIN_MAX_SIDE_PX = 2048;
/** Placeholders are computed from a picture inside this box. */
const PLACEHOLDER_BOX_PX = 100;
/** After which a pixel need not be where it was, in a picture of the same size too. */
const MOVING: ReadonlySet<NormalOperation['op']> = new Set([
  'clip',
  'crop',
  'flip',
  'flop',
  'frame',
  'rotate',
  'trim',
]);

/**
 * @throws Problem: what `probe` throws; `undecodable_image`, `raw_not_developable`, `preview_not_found`,
 * `too_many_frames`, `invalid_plan` (an operation that this picture cannot take), `metadata_failed`, `cancelled`,
 * `processing_timeout`, `storage_full`
 */
export async function render(request: RenderRequest): Promise<RenderResult> {
  const facts = await factsOf(request);
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

async function factsOf({ sourcePath, limits, signal }: RenderRequest): Promise<Facts> {
  await using reader = Reader.openSync(sourcePath, signal);
  return await probeReader(reader, limits);
}

async function renderAll(request: RenderRequest, facts: Facts, lenient: boolean): Promise<RenderResult> {
  const renditions: Rendition[] = [];
  const result: RenderResult = { facts, renditions };
  for (const group of groupsOf(request.plans, facts)) {
    if ('page' in group.opening && group.opening.page === 'sheets') {
      for (const job of group.jobs) {
        const rendition = await renderSheets(request, facts, job, lenient);
        renditions.push(rendition);
        request.onRendition?.(rendition);
      }
      continue;
    }
    const source = await open(request, facts, group, lenient);
    if (facts.family === 'raw' && source.facts.family === 'raw') {
      // Its true size is known once it is developed.
      result.facts = { ...facts, width: source.facts.width, height: source.facts.height };
    }
    const made = await renderGroup(request, source, group, facts, renditions, !result.placeholders);
    if (made) result.placeholders = made;
  }
  if (request.placeholders && !result.placeholders) {
    // Every rendition moves: its first frame stands for the picture.
    const still = await open(request, facts, { preview: false, opening: { page: 0 }, jobs: [] }, lenient);
    result.placeholders = await placeholdersFrom(still, undefined);
  }
  renditions.sort((a, b) => a.index - b.index);
  return result;
}

/** Plans that open the source in the same way. */
interface Group {
  preview: boolean;
  opening: Opening;
  jobs: { index: number; plan: NormalPlan }[];
}

function groupsOf(plans: NormalPlan[], facts: Facts): Group[] {
  const groups = new Map<string, Group>();
  plans.forEach((plan, index) => {
    const preview = plan.preview === 'embedded';
    const opening = openingOf(plan, facts);
    const key = JSON.stringify([preview, opening]);
    const group = groups.get(key) ?? { preview, opening, jobs: [] };
    group.jobs.push({ index, plan });
    groups.set(key, group);
  });
  // Stills before what moves: the cheap ones are published first.
  return [...groups.values()].sort((a, b) => Number(isStill(b)) - Number(isStill(a)));
}

const isStill = ({ opening }: Group): boolean => 'page' in opening && opening.page !== 'all';

async function open(request: RenderRequest, facts: Facts, group: Group, lenient: boolean): Promise<Source> {
  const { limits, signal, outDir } = request;
  const options = { limits, opening: group.opening, lenient, ...(signal && { signal }) };
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
  const { limits, signal, outDir } = request;
  const context = contextOf(request);
  const jobsOn = (on: Source): Job[] =>
    group.jobs
      .map(({ index, plan }) => ({
        index,
        plan,
        ...layout(plan.operations, on.stored, on.orientation, limits.maxPixels / on.pages),
      }))
      .sort((a, b) => area(a.size) - area(b.size));

  const finish = async (job: Job, image: Sharp, size: Size, frames = 1, timing: Timing = {}) => {
    signal?.throwIfAborted();
    const { plan, index } = job;
    const path = join(outDir, `${index}.${EXTENSIONS[plan.output.format]}`);
    const encoded = await encode(image, plan, path, { size, frames, timing, ...(signal && { signal }) });
    const still = source.pages === 1 && !group.preview && job.rest.length === 0;
    const isAsEncoded = !(await describe(request, original, plan, path, encoded, still ? source : undefined));
    const bytes = isAsEncoded ? encoded.bytes : (await stat(path)).size;
    publish({ index, plan, path, ...encoded, bytes });
  };
  const publish = (rendition: Rendition) => {
    done.push(rendition);
    request.onRendition?.(rendition);
  };

  if (source.pages > 1) {
    const { motion } = source;
    const timing: Timing = motion ? { delay: motion.delayMs, loop: motion.loop } : {};
    for (const job of jobsOn(source)) {
      // Frames that lie in memory are no pages to libvips.
      if (job.rest.length > 0 || isPerPage(job.primitives) || source.inMemory) {
        const work = (frame: Pixels) => paintFrame(frame, job, context);
        const frames = await renderFrames(source, work, signal);
        await finish(job, frames.image, frames.size, source.pages, timing);
      } else {
        const { image, size } = await paint(source, job, context);
        await finish(job, image, size, source.pages, timing);
      }
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
    for (const { job, pixels } of levels) {
      await finish(job, await ending(pipelineOf(pixels), job, 8), job.size);
    }
  }
  const made = still ? await placeholdersFrom(base, smallest) : undefined;
  for (const job of jobs) {
    if (shares && isChained(job, base.facts)) continue;
    const { image, size } = await paint(base, job, context);
    await finish(job, image, size);
  }
  return made;
}

/**
 * What stands in the file besides the pixels: metadata, dots an inch, the gain map.
 * @param still whose gain map may be kept
 * @returns whether the file was changed
 */
async function describe(
  { sourcePath, limits, signal }: RenderRequest,
  original: Facts,
  { operations, output }: NormalPlan,
  path: string,
  { width, height }: Encoded,
  still: Source | undefined,
): Promise<boolean> {
  const { format, metadata, dpi } = output;
  if (metadata !== 'keep' && dpi === undefined) return false;
  const within = { timeoutMs: limits.timeoutMs, ...(signal && { signal }) };
  if (metadata === 'keep') {
    const moved = operations.some(({ op }) => MOVING.has(op));
    await keepMetadata(sourcePath, { path, format, width, height, moved }, original, within);
  }
  if (dpi !== undefined) await setDensity(path, format, dpi);
  // Last: its index tells where in the file it lies.
  if (metadata === 'keep' && format === 'jpeg' && original.format === 'jpeg' && still) {
    const { primitives } = layout(operations, still.stored, still.orientation);
    await keepGainMap(sourcePath, path, primitives, still.stored);
  }
  return true;
}

function contextOf({ limits, signal, outDir, assets = {}, matteModelPath }: RenderRequest): StepContext {
  return {
    limits,
    outDir,
    assets: new Map(Object.entries(assets)),
    ...(signal && { signal }),
    ...(matteModelPath !== undefined && { matteModelPath }),
  };
}

/** Each page of a TIFF by itself, and all of them in one TIFF: they may differ in everything. */
async function renderSheets(
  request: RenderRequest,
  facts: Facts,
  { index, plan }: Group['jobs'][number],
  lenient: boolean,
): Promise<Rendition> {
  const { sourcePath, limits, signal, outDir } = request;
  const context = contextOf(request);
  const pages: string[] = [];
  let first: Encoded | undefined;
  for (const page of await tiffPages(sourcePath, limits.maxFrames + 1, signal)) {
    signal?.throwIfAborted();
    const opening: Opening = { page };
    const source = await open(request, facts, { preview: false, opening, jobs: [] }, lenient);
    const laid = layout(plan.operations, source.stored, source.orientation, limits.maxPixels);
    const job = { index, plan, ...laid };
    const { image, size } = await paint(source, job, context);
    const path = join(outDir, `${index}.${page}.tif`);
    const encoded = await encode(image, plan, path, { size, ...(signal && { signal }) });
    first ??= encoded;
    pages.push(path);
  }
  if (!first) throw new TypeError('a TIFF without pages');
  const path = join(outDir, `${index}.tif`);
  await joinTiffs(pages, path);
  await describe(request, facts, plan, path, first, undefined);
  const { width, height } = first;
  return { index, plan, path, width, height, pages: pages.length, bytes: (await stat(path)).size };
}

const area = (size: Size) => size.width * size.height;
const upright = (source: Source): Primitive[] =>
  source.orientation === 1 ? [] : [{ do: 'orient', orientation: source.orientation }];

/** Only its size sets it apart from the whole picture, and it is small enough to keep in memory. */
function isChained(job: Job, facts: Facts): boolean {
  const { operations } = job.plan;
  const only = operations[0];
  const resample =
    operations.length === 0 || (operations.length === 1 && only?.op === 'resize' && only.fit === 'contain');
  return (
    resample &&
    !isDeep(job, facts) &&
    !isWidened(job, facts) &&
    Math.max(job.size.width, job.size.height) <= CHAIN_MAX_SIDE_PX
  );
}

/** @param jobs by rising size; the result is in the same order */
async function chain(source: Source, jobs: Job[]): Promise<{ job: Job; pixels: Pixels }[]> {
  const levels: { job: Job; pixels: Pixels }[] = [];
  let above: Pixels | undefined;
  for (const job of jobs.toReversed()) {
    const { width, height } = job.size;
    if (!above) above = await toPixels(await stream(source, job.primitives, false));
    else if (above.width !== width || above.height !== height) {
      above = await toPixels(pipelineOf(above).resize(width, height, { fit: 'fill' }));
    }
    levels.unshift({ job, pixels: above });
  }
  return levels;
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
