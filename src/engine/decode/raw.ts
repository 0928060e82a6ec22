/** Camera RAW through LibRaw in WebAssembly. */
import { Problem } from '../../problem.ts';
import type { Facts, Pixels } from '../types.ts';
import type { DecodeOptions } from './heif.ts';
import { hasPreview } from './preview.ts';
import { isTruncatedRaw } from './truncation.ts';
import { WasmHost } from './wasm/host.ts';
import type { RawReply, RawRequest } from './wasm/raw-worker.ts';

const libraw = new WasmHost<RawRequest, RawReply>({
  name: 'RAW',
  worker: new URL('./wasm/raw-worker.ts', import.meta.url),
  wasm: new URL(import.meta.resolve('libraw-wasm/dist/libraw.wasm')),
  // What LibRaw's memory is when it starts, untouched for the most part.
  maxKeptHeapBytes: 256 * 1024 * 1024,
  resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 16 },
});

/**
 * The developed picture in sRGB, 8 bits a channel, upright: camera white balance, no automatic brightening,
 * AHD interpolation, the same as `dcraw_emu -w -W -o 1 -q 3`. The size is LibRaw's, which knows the sensor's
 * margins; it may differ by some pixels from what the headers say.
 *
 * @throws Problem `raw_not_developable` with `preview_available`, also where a part of the sensor's data is
 * damaged or missing; `image_too_large`, `processing_timeout`, `cancelled`, `memory_exceeded`.
 */
export async function decodeRaw(path: string, facts: Facts, options: DecodeOptions): Promise<Pixels> {
  const { maxPixels, signal } = options;
  try {
    if (await isTruncatedRaw(path, facts.format, signal)) {
      throw new Problem('raw_not_developable', { detail: 'its sensor data is missing or incomplete' });
    }
    return { ...(await libraw.call({ path, maxPixels }, options)), depth: 8 };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === 'decoder_crashed')
      throw await notDevelopable(path, 'LibRaw crashed on it', options, error);
    if (error.code !== 'raw_not_developable') throw error;
    throw await notDevelopable(path, error.detail!, options, error);
  }
}

async function notDevelopable(
  path: string,
  reason: string,
  options: DecodeOptions,
  cause: Problem,
): Promise<Problem> {
  const available = await previewOf(path, options);
  const hint = available
    ? 'It holds an embedded preview, which preview=embedded asks for.'
    : 'It holds no embedded preview either.';
  return new Problem('raw_not_developable', {
    detail: `This RAW file cannot be developed: ${reason}. ${hint}`,
    extra: { preview_available: available },
    cause: cause.cause ?? cause,
  });
}

/** Whether there is a preview is an extra: that it cannot be told must not hide what is wrong with the pixels. */
async function previewOf(path: string, { timeoutMs, signal }: DecodeOptions): Promise<boolean> {
  try {
    return await hasPreview(path, { timeoutMs, ...(signal && { signal }) });
  } catch (error) {
    if (error instanceof Problem && error.code !== 'cancelled') return false;
    throw error;
  }
}
