/** Operations in their normal form: see `plan-normal.ts`. */
import { hexColor, opaqueColor } from './plan-colors.ts';
import { PLAN_DEFAULTS } from './plan-defaults.ts';
import { MAX_OUTPUT_SIDE_PX, mmToPx, type NormalOperation, type Operation } from './plan-operations.ts';

const FIT_ALIASES = { fit: 'contain', fill: 'cover' } as const;

/** A hundredth of a pixel at the rim of the largest picture: finer angles and points make no other picture. */
const ANGLE_DECIMALS = 4;
const FOCUS_DECIMALS = 6;
/** Of factors, radii and seconds. */
const AMOUNT_DECIMALS = 4;

/** @param dpi what lengths in mm are measured by */
export function normalOperations(operations: readonly Operation[], dpi: number): NormalOperation[] {
  const normal = operations.map((op) => normalOperation(op, dpi));
  return withoutRepeats(withFewestTurns(normal.filter((op) => !isIdle(op))));
}

function normalOperation(op: Operation, dpi: number): NormalOperation {
  switch (op.op) {
    case 'resize':
      return normalResize(op, dpi);
    case 'crop':
      // Adding 0 turns -0, which JSON cannot say, into 0.
      return { op: 'crop', left: op.left + 0, top: op.top + 0, width: op.width, height: op.height };
    case 'rotate': {
      const angle = positiveAngle(op.angle);
      if (angle % 90 === 0) return { op: 'rotate', angle };
      return { op: 'rotate', angle, background: hexColor(op.background ?? PLAN_DEFAULTS.rotateBackground) };
    }
    case 'flatten':
      return { op: 'flatten', background: opaqueColor(op.background ?? PLAN_DEFAULTS.flattenBackground) };
    case 'adjust': {
      const amount = (name: Exclude<keyof typeof op, 'op'>) =>
        rounded(op[name] ?? PLAN_DEFAULTS.adjust[name], AMOUNT_DECIMALS);
      return {
        op: 'adjust',
        brightness: amount('brightness'),
        contrast: amount('contrast'),
        saturation: amount('saturation'),
        hue: positiveAngle(op.hue ?? PLAN_DEFAULTS.adjust.hue),
        gamma: amount('gamma'),
        exposure: amount('exposure'),
      };
    }
    case 'sharpen': {
      const { amount, radius } = { ...PLAN_DEFAULTS.sharpen, ...withoutAbsent(op) };
      return {
        op: 'sharpen',
        amount: rounded(amount, AMOUNT_DECIMALS),
        radius: rounded(radius, AMOUNT_DECIMALS),
      };
    }
    case 'blur':
      return { op: 'blur', radius: rounded(op.radius, AMOUNT_DECIMALS) };
    case 'colorspace':
      return op.space === 'grayscale' ? { op: 'grayscale' } : { op: 'colorspace', space: op.space };
    case 'background':
      return {
        op: 'background',
        method: op.method,
        // A mask has no colour.
        color: op.mask
          ? PLAN_DEFAULTS.background.color
          : hexColor(op.color ?? PLAN_DEFAULTS.background.color),
        mask: op.mask ?? false,
      };
    case 'threshold':
      return { op: 'threshold', level: (op.level ?? PLAN_DEFAULTS.threshold) + 0 };
    case 'dither':
      return { op: 'dither', method: op.method ?? PLAN_DEFAULTS.dither };
    case 'watermark': {
      const { image, text, gravity, opacity, scale, margin, color, tile } = {
        ...PLAN_DEFAULTS.watermark,
        ...withoutAbsent(op),
      };
      return {
        op: 'watermark',
        ...(image !== undefined && { image: image.toLowerCase() }),
        ...(text !== undefined && { text: text.trim(), color: hexColor(color) }),
        gravity,
        opacity: rounded(opacity, AMOUNT_DECIMALS),
        scale: rounded(scale, AMOUNT_DECIMALS),
        margin: margin + 0,
        tile,
      };
    }
    case 'trim':
      return {
        op: 'trim',
        threshold: (op.threshold ?? PLAN_DEFAULTS.trim) + 0,
        ...(op.background !== undefined && { background: hexColor(op.background) }),
      };
    case 'frame':
      return op.second === undefined
        ? { op: 'frame', page: (op.page ?? 0) + 0 }
        : { op: 'frame', second: rounded(op.second, AMOUNT_DECIMALS) };
    case 'clip': {
      const { start, duration, fps } = { ...PLAN_DEFAULTS.clip, ...withoutAbsent(op) };
      return {
        op: 'clip',
        start: rounded(start, AMOUNT_DECIMALS),
        duration: rounded(duration, AMOUNT_DECIMALS),
        fps: rounded(fps, AMOUNT_DECIMALS),
      };
    }
    case 'vectorize':
      return { ...PLAN_DEFAULTS.vectorize, ...withoutAbsent(op) };
    case 'flip':
    case 'flop':
    case 'grayscale':
      return { op: op.op };
  }
}

/** The members that are there: a default spread below them then holds for the others. */
function withoutAbsent<T extends object>(object: T): { [K in keyof T]-?: Exclude<T[K], undefined> } {
  const present = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as { [K in keyof T]-?: Exclude<T[K], undefined> };
}

function normalResize(op: Extract<Operation, { op: 'resize' }>, dpi: number): NormalOperation {
  const asked = op.fit ?? PLAN_DEFAULTS.fit;
  let fit = asked === 'fit' || asked === 'fill' ? FIT_ALIASES[asked] : asked;
  // With one side free there is nothing to cut off.
  if (fit === 'cover' && (op.width === undefined || op.height === undefined)) fit = 'contain';
  const inMm = op.unit === 'mm';
  const px = (length: number) => (inMm ? Math.min(MAX_OUTPUT_SIDE_PX, mmToPx(length, dpi)) : length);
  const normal: NormalOperation = {
    op: 'resize',
    ...(op.width !== undefined && { width: px(op.width) }),
    ...(op.height !== undefined && { height: px(op.height) }),
    fit,
    // Whoever asks for 80 mm has 80 mm of material.
    enlarge: op.enlarge ?? inMm,
  };
  const gravity = op.gravity ?? PLAN_DEFAULTS.gravity;
  if (fit === 'cover') {
    if (op.focus) {
      normal.focus = { x: rounded(op.focus.x, FOCUS_DECIMALS), y: rounded(op.focus.y, FOCUS_DECIMALS) };
    } else normal.gravity = gravity;
  }
  if (fit === 'pad') {
    // Nothing is cut off, so nothing in the picture needs to be looked for.
    const looksFor = gravity === 'attention' || gravity === 'entropy' || gravity === 'face';
    normal.gravity = looksFor ? PLAN_DEFAULTS.gravity : gravity;
    normal.background = hexColor(op.background ?? PLAN_DEFAULTS.padBackground);
  }
  return normal;
}

/** Changes no pixel of any picture. */
function isIdle(op: NormalOperation): boolean {
  if (op.op === 'sharpen') return op.amount === 0;
  if (op.op !== 'adjust') return false;
  const { brightness, contrast, saturation, hue, gamma, exposure } = op;
  return brightness === 1 && contrast === 1 && saturation === 1 && hue === 0 && gamma === 1 && exposure === 0;
}

/**
 * A run of mirrors and turns by quarters is one of eight (the symmetries of a rectangle): each is written as at most
 * one `flip` or `flop` and one `rotate`, so that `flip, flip` vanishes and `flip, flop` is `rotate 180`.
 */
function withFewestTurns(operations: NormalOperation[]): NormalOperation[] {
  const result: NormalOperation[] = [];
  // The run so far equals: mirror left to right if `mirrored`, then turn clockwise by `quarters`.
  let quarters = 0;
  let mirrored = false;
  const mirror = () => {
    quarters = (4 - quarters) % 4;
    mirrored = !mirrored;
  };
  const endRun = () => {
    if (mirrored) result.push({ op: quarters === 2 ? 'flip' : 'flop' });
    if (quarters !== 0 && !(mirrored && quarters === 2)) result.push({ op: 'rotate', angle: quarters * 90 });
    quarters = 0;
    mirrored = false;
  };
  for (const op of operations) {
    if (op.op === 'flop') mirror();
    else if (op.op === 'flip') {
      quarters = (quarters + 2) % 4;
      mirror();
    } else if (op.op === 'rotate' && op.angle % 90 === 0) quarters = (quarters + op.angle / 90) % 4;
    else {
      endRun();
      result.push(op);
    }
  }
  endRun();
  return result;
}

/** A grey picture stays grey and an opaque one opaque: the second of two in a row does nothing. */
function withoutRepeats(operations: NormalOperation[]): NormalOperation[] {
  return operations.filter(
    ({ op }, i) => !((op === 'grayscale' || op === 'flatten') && operations[i - 1]?.op === op),
  );
}

/** Degrees in [0, 360). */
function positiveAngle(degrees: number): number {
  return rounded(((degrees % 360) + 360) % 360, ANGLE_DECIMALS) % 360;
}

function rounded(n: number, decimals: number): number {
  const factor = 10 ** decimals;
  return Math.round(n * factor) / factor + 0;
}
