/** Valid Plans as clients may write them, for property tests. */
import fc from 'fast-check';
import { GRAVITIES, type Operation, OUTPUT_FORMATS, type Plan } from '../../../src/contract/plan.ts';

const px = fc.integer({ min: 1, max: 65_535 });
const offsetPx = fc.oneof(fc.integer({ min: 0, max: 1_000_000 }), fc.constant(-0));
const unit = fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, -0, 0.5, 1, 1e-9));

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
  fc.double({ min: -360, max: 360, noNaN: true }),
  fc.integer({ min: -360, max: 360 }),
  fc.constantFrom(-360, -90, -0, 0, 90, 180, 270, 360, -1e-12, 1e-12, 359.99999, 89.99999),
);

const resize = fc
  .record(
    {
      op: fc.constant('resize' as const),
      width: px,
      height: px,
      fit: fc.constantFrom('contain', 'fit', 'cover', 'fill', 'stretch', 'pad'),
      gravity: fc.constantFrom(...GRAVITIES),
      focus: fc.record({ x: unit, y: unit }, { noNullPrototype: true }),
      enlarge: fc.boolean(),
      background: color,
    },
    { requiredKeys: ['op'], noNullPrototype: true },
  )
  .filter((op) => op.width !== undefined || op.height !== undefined);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: resize },
  fc.record(
    { op: fc.constant('crop' as const), left: offsetPx, top: offsetPx, width: px, height: px },
    { noNullPrototype: true },
  ),
  {
    weight: 2,
    arbitrary: fc.record(
      { op: fc.constant('rotate' as const), angle, background: color },
      { requiredKeys: ['op', 'angle'], noNullPrototype: true },
    ),
  },
  fc.constant({ op: 'flip' as const }),
  fc.constant({ op: 'flop' as const }),
  fc.record(
    { op: fc.constant('flatten' as const), background: color },
    { requiredKeys: ['op'], noNullPrototype: true },
  ),
  fc.constant({ op: 'grayscale' as const }),
);

const frame = fc.record(
  { op: fc.constant('frame' as const), page: fc.integer({ min: 0, max: 100_000 }) },
  { noNullPrototype: true },
);

const operations = fc
  .tuple(fc.option(frame, { nil: undefined }), fc.array(operation, { maxLength: 31, size: 'max' }))
  .map(([first, rest]): Operation[] => (first ? [first, ...rest] : rest));

const output = fc.record(
  {
    format: fc.constantFrom(...OUTPUT_FORMATS, 'jpg' as const, 'tif' as const),
    quality: fc.integer({ min: 1, max: 100 }),
    effort: fc.integer({ min: 0, max: 9 }),
    lossless: fc.boolean(),
    chroma: fc.constantFrom('4:4:4', '4:2:0'),
    progressive: fc.boolean(),
    metadata: fc.constantFrom('keep', 'strip'),
    background: color,
  },
  { requiredKeys: [], noNullPrototype: true },
);

export const plans: fc.Arbitrary<Plan> = fc.record(
  { preview: fc.constant('embedded' as const), operations, output },
  { requiredKeys: [], noNullPrototype: true },
) as fc.Arbitrary<Plan>;
