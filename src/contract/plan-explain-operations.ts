/** A sentence for each operation of a Plan. */
import { PLAN_DEFAULTS } from './plan-defaults.ts';
import type { HexColor, NormalOperation } from './plan-operations.ts';

type Operation<Name extends NormalOperation['op']> = Extract<NormalOperation, { op: Name }>;

const SENTENCES: { [Name in NormalOperation['op']]: (op: Operation<Name>) => string } = {
  resize: resizeSentence,
  crop: ({ left, top, width, height }) =>
    `Keep ${width}×${height} px, from ${left} px right of the left edge and ${top} px below the top.`,
  rotate: ({ angle, background }) =>
    background === undefined
      ? `Turn by ${angle}° clockwise.`
      : `Turn by ${angle}° clockwise; the picture grows, and its corners are ${isTransparent(background) ? 'transparent' : `filled with ${colorWords(background)}`}.`,
  flip: () => 'Mirror top to bottom.',
  flop: () => 'Mirror left to right.',
  flatten: ({ background }) =>
    `Lay the picture on ${colorWords(background)}, so that nothing stays transparent.`,
  grayscale: () => 'Take the colours out.',
  adjust: ({ op: _, ...amounts }) => `Adjust ${adjustments(amounts).join(', ')}.`,
  sharpen: ({ amount, radius }) => `Sharpen by ${amount}, with a radius of ${radius} px.`,
  blur: ({ radius }) => `Blur, with a standard deviation of ${radius} px.`,
  colorspace: ({ space }) =>
    space === 'rgb' ? 'Drop transparency: what is transparent becomes white.' : 'Add an alpha channel.',
  background: ({ method, color, mask }) => {
    if (mask) return `Find the foreground ${METHODS[method]}, and give the matte itself, as a grey picture.`;
    const instead = isTransparent(color) ? 'leave it transparent' : `put ${colorWords(color)} in its place`;
    return `Remove the background, found ${METHODS[method]}, and ${instead}.`;
  },
  threshold: ({ level }) =>
    `Make it black and white: white is what is at least as light as level ${level} of 255.`,
  dither: ({ method }) => `Make it black and white in points that look grey, by ${DITHERS[method]}.`,
  watermark: watermarkSentence,
  trim: ({ threshold, background }) => {
    const like = background === undefined ? 'the top left pixel' : colorWords(background);
    return `Cut off the border that is like ${like}, give or take ${threshold} levels of 255.`;
  },
  frame: ({ page, second }) =>
    second === undefined ? `Take page ${page}, counted from 0.` : `Take the picture at second ${second}.`,
  clip: ({ start, duration, fps }) =>
    `Take ${duration} s from second ${start} on, as an animation of ${fps} frames a second.`,
  vectorize: ({ colors, detail, maxBytes }) =>
    `Draw the picture in shapes, in ${colors === 'bw' ? 'black and white' : 'colour'}, with ${detail} detail, in at most ${maxBytes} bytes of SVG.`,
};

export function sentenceFor(op: NormalOperation): string {
  return (SENTENCES[op.op] as (op: NormalOperation) => string)(op);
}

/** As people call it, or its digits. */
export function colorWords(color: HexColor): string {
  if (isTransparent(color)) return 'what is transparent';
  return { '#ffffff': 'white', '#000000': 'black' }[color as string] ?? color;
}

const isTransparent = (color: HexColor) => color === '#00000000';

const METHODS: Record<Operation<'background'>['method'], string> = {
  auto: 'by edges and by what stands out',
  grabcut: 'by GrabCut',
  watershed: 'by watershed',
  person: 'by a model that knows people',
  model: 'by the operator’s own model',
};

const DITHERS: Record<Operation<'dither'>['method'], string> = {
  'floyd-steinberg': 'Floyd–Steinberg',
  atkinson: 'Atkinson',
  bayer: 'a Bayer matrix',
};

const LOOKED_FOR: Record<string, string> = {
  center: 'the middle',
  attention: 'what draws attention',
  entropy: 'where most happens',
  face: 'faces',
};

function resizeSentence({
  width,
  height,
  fit,
  gravity,
  focus,
  enlarge,
  background,
}: Operation<'resize'>): string {
  const box = width !== undefined && height !== undefined ? `${width}×${height} px` : undefined;
  const small = enlarge ? 'Small pictures are enlarged.' : 'Small pictures stay small.';
  if (fit === 'stretch') {
    const to = box ?? (width === undefined ? `a height of ${height} px` : `a width of ${width} px`);
    return `Stretch to ${to}, whatever that does to the proportions. ${small}`;
  }
  const place = LOOKED_FOR[gravity ?? PLAN_DEFAULTS.gravity] ?? `the ${gravity}`;
  if (fit === 'cover' && box) {
    const kept = focus
      ? `the point at ${percent(focus.x)} of the width and ${percent(focus.y)} of the height`
      : place;
    return `Resize to cover ${box} and cut off what is over, keeping ${kept}. ${small}`;
  }
  const one = width === undefined ? `a height of ${height} px` : `a width of ${width} px`;
  const within =
    box === undefined ? `Resize to ${one}; the other side follows.` : `Resize to fit within ${box}.`;
  if (fit !== 'pad' || background === undefined) return `${within} ${small}`;
  const where = gravity === 'center' ? 'in the middle' : `in the ${gravity}`;
  return `${within.slice(0, -1)}, and ${isTransparent(background) ? 'leave the rest transparent' : `fill the rest with ${colorWords(background)}`}, the picture ${where}. ${small}`;
}

function adjustments(amounts: Omit<Operation<'adjust'>, 'op'>): string[] {
  return (Object.keys(PLAN_DEFAULTS.adjust) as (keyof typeof amounts)[]).flatMap((name) => {
    const value = amounts[name];
    if (value === PLAN_DEFAULTS.adjust[name]) return [];
    if (name === 'hue') return [`hue by ${value}°`];
    if (name === 'exposure') return [`exposure by ${value > 0 ? '+' : ''}${value} stops`];
    return [name === 'gamma' ? `gamma ${value}` : `${name} × ${value}`];
  });
}

function watermarkSentence(op: Operation<'watermark'>): string {
  const what = op.text === undefined ? `Lay the image ${op.image}` : `Write ${JSON.stringify(op.text)}`;
  const color = op.color === undefined ? '' : ` in ${colorWords(op.color)}`;
  const middle = op.gravity === 'center';
  const margin = middle ? '' : `, ${op.margin} px from the edges`;
  const where = op.tile
    ? ' all over the picture'
    : ` over the picture, in the ${middle ? 'middle' : op.gravity}${margin}`;
  return `${what}${color}${where}, ${percent(op.scale)} of its width, ${percent(op.opacity)} opaque.`;
}

const percent = (fraction: number) => `${Math.round(fraction * 1000) / 10} %`;
