/** Valid Plans as clients may write them, for property tests. */
import fc from 'fast-check';
import {
  GRAVITIES,
  type Operation,
  OUTPUT_FORMATS,
  type Plan,
  TIFF_COMPRESSIONS,
} from '../../../src/contract/plan.ts';
import {
  BACKGROUND_METHODS,
  COLOR_SPACES,
  DITHER_METHODS,
  PLACES,
  VECTOR_COLORS,
  VECTOR_DETAILS,
} from '../../../src/contract/plan-operations.ts';

const px = fc.integer({ min: 1, max: 65_535 });
const offsetPx = fc.oneof(fc.integer({ min: 0, max: 1_000_000 }), fc.constant(-0));
const unit = fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, -0, 0.5, 1, 1e-9));
const from = (min: number, max: number) =>
  fc.oneof(fc.double({ min, max, noNaN: true }), fc.integer({ min: Math.ceil(min), max: Math.floor(max) }));
const level = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constant(-0));

const hex = fc.constantFrom(...'0123456789abcdefABCDEF');
const hexColor = fc
  .tuple(fc.constantFrom('#', ''), fc.constantFrom(3, 6, 8))
  .chain(([hash, digits]) =>
    fc.string({ unit: hex, minLength: digits, maxLength: digits }).map((text) => hash + text),
  );
const color = fc.oneof(
  hexColor,
  fc.constantFrom('white', 'BLACK', 'transparent', '#123456ff', 'FFFFFF00', '#00000001'),
);

const angle = fc.oneof(
  from(-360, 360),
  fc.constantFrom(-360, -90, -0, 0, 90, 180, 270, 360, -1e-12, 1e-12, 359.99999, 89.99999),
);

/** An operation of this name: the options that are not required may be absent. */
const op = (
  name: Operation['op'],
  options: Record<string, fc.Arbitrary<unknown>> = {},
  required: string[] = [],
) => {
  const fields: Record<string, fc.Arbitrary<unknown>> = { op: fc.constant(name), ...options };
  return fc.record(fields, {
    requiredKeys: ['op', ...required],
    noNullPrototype: true,
  }) as fc.Arbitrary<unknown> as fc.Arbitrary<Operation>;
};

const resizeOptions = {
  fit: fc.constantFrom('contain', 'fit', 'cover', 'fill', 'stretch', 'pad'),
  gravity: fc.constantFrom(...GRAVITIES),
  focus: fc.record({ x: unit, y: unit }, { noNullPrototype: true }),
  enlarge: fc.boolean(),
  background: color,
};
const hasSide = (operation: Operation) => 'width' in operation || 'height' in operation;
const resize = op('resize', { width: px, height: px, unit: fc.constant('px'), ...resizeOptions }).filter(
  hasSide,
);
/** At 9,600 dpi still no more px than can be made. */
const mm = from(0.01, 170);
const resizeMm = op('resize', { width: mm, height: mm, unit: fc.constant('mm'), ...resizeOptions }, [
  'unit',
]).filter(hasSide);

const factor = from(0, 10);
const adjust = op('adjust', {
  brightness: factor,
  contrast: factor,
  saturation: factor,
  hue: from(-360, 360),
  gamma: from(0.1, 10),
  exposure: from(-5, 5),
}).filter((operation) => Object.keys(operation).length > 1);

const text = fc
  .string({
    unit: fc.oneof(fc.constantFrom(...'ab _,-.%&=+#/?\\\n\'"é漢😀'), fc.string({ unit: 'grapheme' })),
  })
  .map((given) => given.slice(0, 200).toWellFormed())
  .filter((given) => /\S/.test(given) && !/(?!\n)[\p{Cc}\p{Noncharacter_Code_Point}]/u.test(given));
const placing = {
  gravity: fc.constantFrom(...PLACES),
  opacity: unit,
  scale: from(0.01, 1),
  margin: fc.oneof(fc.integer({ min: 0, max: 10_000 }), fc.constant(-0)),
  color,
  tile: fc.boolean(),
};
export const watermarks = fc.oneof(
  op('watermark', { image: fc.uuid().chain((id) => fc.constantFrom(id, id.toUpperCase())), ...placing }, [
    'image',
  ]),
  op('watermark', { text, ...placing }, ['text']),
);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: resize },
  resizeMm,
  op('crop', { left: offsetPx, top: offsetPx, width: px, height: px }, ['left', 'top', 'width', 'height']),
  { weight: 2, arbitrary: op('rotate', { angle, background: color }, ['angle']) },
  op('flip'),
  op('flop'),
  op('flatten', { background: color }),
  op('grayscale'),
  { weight: 2, arbitrary: adjust },
  op('sharpen', { amount: from(0, 10), radius: from(0.3, 10) }),
  op('blur', { radius: from(0.3, 250) }, ['radius']),
  op('colorspace', { space: fc.constantFrom(...COLOR_SPACES) }, ['space']),
  op('background', { method: fc.constantFrom(...BACKGROUND_METHODS), color, mask: fc.boolean() }, ['method']),
  op('threshold', { level }),
  op('dither', { method: fc.constantFrom(...DITHER_METHODS) }),
  { weight: 2, arbitrary: watermarks },
  { weight: 2, arbitrary: op('trim', { threshold: level, background: color }) },
);

const opening = fc.oneof(
  op('frame', { page: fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.constant(-0)) }, ['page']),
  op('frame', { second: from(0, 1_000_000) }, ['second']),
  op('clip', { start: from(0, 1_000_000), duration: from(0.1, 30), fps: from(1, 30) }),
);
const vectorize = op('vectorize', {
  colors: fc.constantFrom(...VECTOR_COLORS),
  detail: fc.constantFrom(...VECTOR_DETAILS),
  maxBytes: fc.integer({ min: 1_000, max: 50_000_000 }),
});

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });

const options: Record<string, fc.Arbitrary<unknown>> = {
  quality: fc.integer({ min: 1, max: 100 }),
  effort: fc.integer({ min: 0, max: 9 }),
  lossless: fc.boolean(),
  chroma: fc.constantFrom('4:4:4', '4:2:0'),
  progressive: fc.boolean(),
  metadata: fc.constantFrom('keep', 'strip'),
  background: color,
  dpi: fc.integer({ min: 1, max: 9_600 }),
};
const output = (fields: Record<string, fc.Arbitrary<unknown>>, required: string[] = []) =>
  fc.record({ ...options, ...fields }, { requiredKeys: required, noNullPrototype: true });
const depth = (...depths: number[]) => ({ depth: fc.constantFrom(...depths) });
const compression = fc.constantFrom(...TIFF_COMPRESSIONS);
const format = (...names: string[]) => ({ format: fc.constantFrom(...names) });

/** Depths that the format has, and any for a format that has none of its own. */
const rasterOutput = fc.oneof(
  output({ ...depth(1, 8, 16, 24, 32), compression }),
  output(
    {
      ...format(...OUTPUT_FORMATS.filter((name) => !['png', 'tiff', 'bmp', 'svg'].includes(name)), 'jpg'),
      ...depth(1, 8, 16, 24, 32),
      compression,
    },
    ['format'],
  ),
  output({ ...format('png'), ...depth(1, 8, 16), compression }, ['format']),
  output({ ...format('bmp'), ...depth(1, 24, 32), compression }, ['format']),
  output({ ...format('tiff', 'tif'), ...depth(1), compression }, ['format']),
  output(
    {
      ...format('tiff', 'tif'),
      ...depth(1, 8, 16),
      compression: fc.constantFrom(...TIFF_COMPRESSIONS.filter((name) => name !== 'g4')),
    },
    ['format'],
  ),
);

const preview = fc.constant('embedded');
/** At most 32 operations. */
const steps = fc
  .tuple(maybe(opening), fc.array(operation, { maxLength: 30, size: 'max' }))
  .map(([first, rest]): Operation[] => (first ? [first, ...rest] : rest));

const rasterPlans = fc.record(
  { preview, operations: steps, output: rasterOutput },
  { requiredKeys: [], noNullPrototype: true },
);
const vectorPlans = fc.record(
  {
    preview,
    operations: fc.tuple(steps, vectorize).map(([before, last]) => [...before, last]),
    output: output({ ...format('svg'), ...depth(1, 8, 16, 24, 32), compression }),
  },
  { requiredKeys: ['operations'], noNullPrototype: true },
);

export const plans = fc.oneof(
  { weight: 4, arbitrary: rasterPlans },
  { weight: 1, arbitrary: vectorPlans },
) as fc.Arbitrary<Plan>;
