/** Worker thread: camera RAW through LibRaw. */
import { readFileSync } from 'node:fs';
import { Problem } from '../../../problem.ts';
import { LibRaw, LibRawError, type LibRawSettings } from './libraw.ts';
import { type Served, serve } from './serve.ts';

export interface RawRequest {
  path: string;
  maxPixels: number;
}

export interface RawReply {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 1 | 3;
}

/** Camera white balance, sRGB, brightness as exposed, AHD: `dcraw_emu -w -W -o 1 -q 3`. */
const SETTINGS: LibRawSettings = {
  useCameraWb: true,
  outputColor: 1,
  noAutoBright: true,
  bright: 1,
  userQual: 3,
  outputBps: 8,
};

/** LibRaw_errors, as a user can understand them. */
const REASONS: Readonly<Record<number, string>> = {
  [-2]: 'its camera or format is not known',
  [-6]: 'its format is not known',
  [-100008]: 'its sensor data is damaged',
  [-100009]: 'its sensor data is damaged or missing',
  [-100011]: 'its crop lies outside of the picture',
  [-100012]: 'its sensor data is too large',
};
const OUT_OF_MEMORY = [-100007, -100013];

serve<RawRequest, RawReply>(async (wasm) => {
  const libraw = await LibRaw.start(wasm);
  return { decode: (request) => decode(libraw, request), heapBytes: () => libraw.heapBytes };
});

function decode(libraw: LibRaw, { path, maxPixels }: RawRequest): Served<RawReply> {
  try {
    const { picture, complaints } = libraw.develop(readFileSync(path), SETTINGS, (sizes) => {
      requireAtMost(maxPixels, sizes.width, sizes.height);
      // The frame around the picture is decoded as well; a header that makes it huge is a lie.
      requireAtMost(2 * maxPixels, sizes.raw_width, sizes.raw_height);
    });
    // LibRaw goes on past damage, and only says so: "data corrupted at …", "Unexpected end of file".
    if (complaints.length > 0) {
      throw refused('its sensor data is damaged or incomplete', new Error(complaints[0]));
    }
    const { data, width, height, colors, bits } = picture;
    if ((colors !== 1 && colors !== 3) || bits !== 8) {
      throw refused(`it has ${colors} colours of ${bits} bits`);
    }
    return { reply: { data, width, height, channels: colors }, transfer: [data.buffer] };
  } catch (error) {
    if (!(error instanceof LibRawError)) throw error;
    if (OUT_OF_MEMORY.includes(error.code)) {
      throw new Problem('memory_exceeded', {
        detail: 'Developing this RAW image needs too much memory.',
        cause: error,
      });
    }
    throw refused(REASONS[error.code] ?? 'LibRaw cannot read its sensor data', error);
  }
}

/** `detail` is the reason alone; `raw.ts` makes the sentence, and says whether there is a preview. */
function refused(reason: string, cause?: unknown): Problem {
  return new Problem('raw_not_developable', { detail: reason, cause });
}

function requireAtMost(maxPixels: number, width: number, height: number): void {
  if (width * height <= maxPixels) return;
  throw new Problem('image_too_large', {
    detail: `Expected at most ${maxPixels} pixels, found ${width} × ${height}.`,
  });
}
