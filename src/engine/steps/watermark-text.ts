/**
 * A watermark's text, drawn by Pango: ligatures, right-to-left scripts, colour emoji where the system has a font for
 * them. Its own font is DejaVu Sans Bold out of a package, so that the same Plan draws the same letters on every system,
 * on one without any font too; for other scripts Pango takes what fontconfig finds, else a box with the code point.
 *
 * Around the letters lies a soft shadow, dark about a light colour and light about a dark one, so that they can be read
 * on any ground.
 */
import { createRequire } from 'node:module';
import sharp from 'sharp';
import type { HexColor } from '../../contract/plan.ts';
import { Problem } from '../../problem.ts';
import { pipelineOf } from '../decode/pixels.ts';
import type { Pixels } from '../types.ts';
import { withChannels } from './colorspace.ts';
import type { Size } from './primitive.ts';
import { type Color, colorOf } from './samples.ts';
import { LUMA } from './srgb.ts';
import type { MarkBox } from './watermark.ts';

const FONT = 'DejaVu Sans Bold';
const FONT_FILE = 'dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf';
/** The size at which a text is measured, in px. */
const TRIAL_SIZE_PX = 48;
/** Longer lines are broken between words, or they would be drawn too small to be read. */
const LINE_EMS = 20;
/** Pango draws nothing smaller, and nobody could read it. */
const MIN_SIZE_PX = 4;
/** Deviation of the shadow, as a part of the font's size. */
const SHADOW_SOFTNESS = 0.04;
/** The blurred letters are thin: this much stronger, they close around the sharp ones. */
const SHADOW_GAIN = 2;
const SHADOW_OPACITY = 0.6;
/** A shadow that is wider is blurred at a smaller size. */
const MAX_DEVIATION_PX = 4;

/**
 * The text with its shadow, as RGBA of 8 bits.
 * @throws Problem `invalid_plan` where the text has nothing to draw
 */
export async function textMark(text: string, color: HexColor, room: MarkBox): Promise<Pixels> {
  const ink = colorOf(color);
  const markup = `<span foreground="${color.slice(0, 7)}">${escaped(text)}</span>`;
  const trial = await letters(markup, TRIAL_SIZE_PX);
  const padOfTrial = 2 * reachOf(TRIAL_SIZE_PX);
  const factor = Math.min(
    room.widthPx / (trial.width + padOfTrial),
    room.box.height / (trial.height + padOfTrial),
  );
  // Letters are hinted and padding is whole px, so that the second drawing is only about as large as asked for.
  for (let size = TRIAL_SIZE_PX * factor; ; size *= 0.97) {
    const drawn = await letters(markup, Math.max(MIN_SIZE_PX, size));
    const mark = await withShadow(drawn, ink, size);
    if (mark.width <= room.widthPx && mark.height <= room.box.height) return mark;
    if (size <= MIN_SIZE_PX) return shrunk(mark, room);
  }
}

async function letters(markup: string, sizePx: number): Promise<Pixels> {
  const text = {
    text: markup,
    // At 72 dpi a point is a pixel.
    font: `${FONT} ${sizePx.toFixed(2)}`,
    fontfile: fontFile(),
    dpi: 72,
    rgba: true,
    align: 'centre',
    width: Math.ceil(sizePx * LINE_EMS),
    wrap: 'word-char',
  } as const;
  const drawn = await sharp({ text })
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((cause: Error) => {
      throw new Problem('invalid_plan', {
        detail: "The watermark's text has nothing that could be drawn.",
        errors: [{ path: 'operations.watermark.text', message: 'must have visible letters' }],
        cause,
      });
    });
  const { width, height } = drawn.info;
  const channels = drawn.info.channels as Pixels['channels'];
  return withChannels({ data: drawn.data, width, height, channels, depth: 8 }, 4);
}

let font: string | undefined;
function fontFile(): string {
  font ??= createRequire(import.meta.url).resolve(FONT_FILE);
  return font;
}

/** As Pango markup: nothing in it is taken for a tag. Control characters, which XML forbids, are left out. */
function escaped(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n?|[\u2028\u2029]/g, '\n')
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufffe\uffff]/g, '')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;');
}

const deviationOf = (sizePx: number): number => Math.max(0.6, sizePx * SHADOW_SOFTNESS);
/** Beyond two and a half deviations nothing of the shadow is left. */
const reachOf = (sizePx: number): number => Math.ceil(deviationOf(sizePx) * 2.5);

async function withShadow(drawn: Pixels, ink: Color, sizePx: number): Promise<Pixels> {
  const pad = reachOf(sizePx);
  const width = drawn.width + 2 * pad;
  const height = drawn.height + 2 * pad;
  const shape = await pipelineOf(drawn)
    .extend({ left: pad, right: pad, top: pad, bottom: pad, background: '#00000000' })
    .extractChannel(3)
    .raw()
    .toBuffer();
  const shadow = await softened(shape, { width, height }, deviationOf(sizePx));
  const luma = LUMA.red * ink.red + LUMA.green * ink.green + LUMA.blue * ink.blue;
  const ground = luma >= 128 ? 0 : 255;
  const opacity = ink.alpha / 255;
  const data = new Uint8Array(width * height * 4);
  for (let i = 0; i < shadow.length; i++) {
    const y = Math.floor(i / width) - pad;
    const x = (i % width) - pad;
    const inside = x >= 0 && y >= 0 && x < drawn.width && y < drawn.height;
    const from = inside ? (y * drawn.width + x) * 4 : -1;
    const over = inside ? drawn.data[from + 3]! / 255 : 0;
    const under = Math.min(1, (shadow[i]! * SHADOW_GAIN) / 255) * SHADOW_OPACITY * (1 - over);
    const sum = over + under;
    if (sum === 0) continue;
    for (let c = 0; c < 3; c++) {
      const level = inside ? drawn.data[from + c]! : 0;
      data[i * 4 + c] = Math.round((level * over + ground * under) / sum);
    }
    data[i * 4 + 3] = Math.round(sum * 255 * opacity);
  }
  return { data, width, height, channels: 4, depth: 8 };
}

/** A wide blur takes minutes; of a picture so much smaller that little of it is left, it does not. */
async function softened(shape: Uint8Array, { width, height }: Size, deviationPx: number): Promise<Buffer> {
  const reduction = Math.max(1, deviationPx / MAX_DEVIATION_PX);
  const small = { width: Math.ceil(width / reduction), height: Math.ceil(height / reduction) };
  const blurred = await sharp(shape, { raw: { width, height, channels: 1 }, limitInputPixels: false })
    .resize(small.width, small.height, { fit: 'fill' })
    .blur({ sigma: deviationPx / reduction, minAmplitude: 0.05 })
    .toColourspace('b-w')
    .raw()
    .toBuffer();
  if (reduction === 1) return blurred;
  return sharp(blurred, { raw: { ...small, channels: 1 } })
    .resize(width, height, { fit: 'fill' })
    .toColourspace('b-w')
    .raw()
    .toBuffer();
}

/** Of a text that is too long to be drawn so small: as many px as there are. */
async function shrunk(mark: Pixels, { widthPx, box }: MarkBox): Promise<Pixels> {
  const { data, info } = await pipelineOf(mark)
    .resize(widthPx, box.height, { fit: 'inside' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: 4, depth: 8 };
}
