/** A watermark's image, as untrusted as any: it goes the way of every source. */
import { Problem } from '../../problem.ts';
import { classify, isHarmless } from '../decode/faults.ts';
import { openSource } from '../decode/open.ts';
import { probe } from '../probe.ts';
import type { Facts, Pixels } from '../types.ts';
import { withChannels } from './colorspace.ts';
import { applyStage, delayOrient } from './pipeline.ts';
import type { StepContext } from './pixel-step.ts';
import type { Primitive } from './primitive.ts';
import { contained } from './resize.ts';
import { rawOf } from './run.ts';
import type { MarkBox } from './watermark.ts';

/**
 * The first picture of the image, upright, in sRGB, as RGBA of 8 bits, at its size on the picture.
 * @throws Problem `invalid_plan` where no file is known for the id; what `probe` and `openSource` throw
 */
export async function imageMark(id: string, room: MarkBox, context: StepContext): Promise<Pixels> {
  const path = context.assets.get(id);
  if (path === undefined) {
    throw new Problem('invalid_plan', {
      detail: `The watermark's image ${id} is not at hand.`,
      errors: [{ path: 'operations.watermark.image', message: 'must be an image that exists' }],
    });
  }
  const { limits, signal } = context;
  const facts = await probe(path, limits, signal).catch(ofTheMark);
  return draw(path, facts, room, context)
    .catch((error: unknown) => {
      if (isHarmless(error)) return draw(path, facts, room, context, true);
      throw error;
    })
    .catch((error: unknown) => ofTheMark(classify(error, facts.format)));
}

async function draw(
  path: string,
  facts: Facts,
  room: MarkBox,
  context: StepContext,
  lenient = false,
): Promise<Pixels> {
  const { limits, signal } = context;
  const opening = facts.family === 'video' ? { second: 0 } : { page: 0 };
  const source = await openSource(path, facts, { limits, opening, lenient, ...(signal && { signal }) });
  const { orientation, stored } = source;
  const upright = orientation >= 5 ? { width: stored.height, height: stored.width } : stored;
  const size = contained({ width: room.widthPx, height: room.box.height, enlarge: true }, upright);
  const primitives: Primitive[] = [
    ...(orientation === 1 ? [] : [{ do: 'orient', orientation } as const]),
    { do: 'scale', ...size },
  ];
  const image = applyStage(source.pipeline(), delayOrient(primitives, stored));
  const srgb = source.wide ? image.withIccProfile('srgb', { attach: false }) : image;
  return withChannels(await rawOf(srgb, 8), 4);
}

/** Says which of the two pictures is at fault. */
function ofTheMark(error: unknown): never {
  if (!(error instanceof Problem)) throw error;
  const detail = `The watermark's image: ${error.detail ?? error.title}`;
  throw new Problem(error.code, { ...error.serialize(), detail, cause: error });
}
