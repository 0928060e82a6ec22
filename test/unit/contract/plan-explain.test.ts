import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Plan } from '../../../src/contract/plan.ts';
import { planFromFlags, planFromSegment } from '../../../src/contract/plan-codec.ts';
import { type ExplainSource, explainPlan } from '../../../src/contract/plan-explain.ts';
import { normalizePlan, parsePlan, readPlan } from '../../../src/contract/plan-normal.ts';
import { plans } from './plan-arbitrary.ts';

const explain = (plan: Plan, source?: ExplainSource) => explainPlan(readPlan(plan), source);
const sentences = (plan: Plan) => explain(plan).operations.map(({ sentence }) => sentence);
const op = (...operations: NonNullable<Plan['operations']>): Plan => ({ operations });
/** A picture whose size no operation changes. */
const picture = (facts: Partial<ExplainSource> = {}): ExplainSource => ({
  width: 400,
  height: 300,
  sizes: Array(32).fill({ width: 400, height: 300 }),
  ...facts,
});

describe('an explanation', () => {
  test('says for each operation what it does, in a sentence', () => {
    assert.deepEqual(
      sentences(
        op(
          { op: 'resize', width: 600, height: 400, fit: 'cover', focus: { x: 0.25, y: 0.7 } },
          { op: 'crop', left: 1, top: 2, width: 3, height: 4 },
          { op: 'rotate', angle: 45 },
          { op: 'adjust', brightness: 1.1, exposure: 1 },
          { op: 'watermark', text: 'Zoë', tile: true },
          { op: 'trim' },
        ),
      ),
      [
        'Resize to cover 600×400 px and cut off what is over, keeping the point at 25 % of the width and 70 % of the height. Small pictures stay small.',
        'Keep 3×4 px, from 1 px right of the left edge and 2 px below the top.',
        'Turn by 45° clockwise; the picture grows, and its corners are transparent.',
        'Adjust brightness × 1.1, exposure by +1 stops.',
        'Write "Zoë" in white all over the picture, 20 % of its width, 50 % opaque.',
        'Cut off the border that is like the top left pixel, give or take 10 levels of 255.',
      ],
    );
    assert.deepEqual(
      sentences(
        op(
          { op: 'resize', width: 80, unit: 'mm' },
          { op: 'resize', width: 9, height: 9, fit: 'pad', gravity: 'north', background: 'transparent' },
          { op: 'background', method: 'person', color: 'white' },
          { op: 'background', method: 'auto', mask: true },
        ),
      ),
      [
        'Resize to a width of 945 px; the other side follows. Small pictures are enlarged.',
        'Resize to fit within 9×9 px, and leave the rest transparent, the picture in the north. Small pictures stay small.',
        'Remove the background, found by a model that knows people, and put white in its place.',
        'Find the foreground by edges and by what stands out, and give the matte itself, as a grey picture.',
      ],
    );
  });

  test('says what is written', () => {
    const written = (output: Plan['output'], preview?: 'embedded') =>
      explain({ output, ...(preview && { preview }) }).output.sentence;
    assert.equal(
      written({ progressive: true, chroma: '4:2:0', metadata: 'strip' }),
      'Write JPEG, quality 95, with colours at half the resolution (4:2:0), progressive, transparent parts laid on white; metadata (EXIF, GPS, XMP, IPTC) is stripped.',
    );
    assert.equal(
      written({ format: 'tiff', depth: 1, dpi: 254 }, 'embedded'),
      'Write TIFF, 1 bit a channel, G4 compression, 254 dpi, transparent parts laid on white, from the preview that the RAW file carries; metadata (EXIF, GPS position, XMP, IPTC) is kept as far as the format has a place for it.',
    );
    assert.match(explain(op({ op: 'vectorize' })).output.sentence, /^Write SVG; .* no place for metadata\.$/);
  });

  test('gives the size after each operation, and in print where there are dots an inch', () => {
    const plan: Plan = { ...op({ op: 'resize', width: 800 }, { op: 'trim' }), output: { dpi: 254 } };
    const known = picture({ sizes: [{ width: 800, height: 600 }, undefined] });
    const explained = explain(plan, known);
    assert.deepEqual(
      explained.operations.map(({ size }) => size),
      [{ width: 800, height: 600 }, null],
    );
    assert.equal(explained.output.size, null);
    assert.equal(explained.output.widthMm, undefined);
    assert.equal('size' in explain(plan).output, false);
    const { output } = explain({ output: { dpi: 254 } }, picture());
    assert.deepEqual([output.widthMm, output.heightMm], [40, 30]);
  });

  test('names what was asked for and changes nothing', () => {
    const idle = (plan: Plan) => explain(plan).withoutEffect;
    assert.deepEqual(idle({}), []);
    assert.deepEqual(
      idle({ output: { format: 'png', quality: 80, effort: 9, lossless: true, background: '#fff' } }),
      [
        'quality has no effect on PNG',
        'lossless has no effect on PNG',
        'background (matte) has no effect on PNG, which keeps transparency; flatten lays it on a colour',
      ],
    );
    assert.deepEqual(idle({ output: { format: 'webp', effort: 9, dpi: 72, depth: 8 } }), [
      'effort 9 counts as 6 for WebP',
      'dpi has no effect on WebP',
      'depth has no effect on WebP',
    ]);
    assert.deepEqual(idle({ output: { format: 'avif', lossless: true, quality: 5, chroma: '4:2:0' } }), [
      'quality has no effect where nothing is lost',
      'chroma 4:2:0 counts as 4:4:4 for AVIF',
    ]);
    assert.deepEqual(idle({ output: { format: 'bmp', depth: 24 } }), []);
    assert.deepEqual(idle({ output: { format: 'tiff', compression: 'lzw', depth: 16 } }), []);
    assert.deepEqual(
      idle(
        op(
          { op: 'resize', width: 5, fit: 'cover' },
          { op: 'sharpen', amount: 0 },
          { op: 'flip' },
          { op: 'flop' },
        ),
      ),
      [
        'resize (operation 1): cover with one side has nothing to cut off: it is contain',
        'sharpen (operation 2): changes nothing as it stands',
        '3 operations are done as 2: mirrors and turns are put together, repeats dropped',
      ],
    );
    assert.deepEqual(idle(op({ op: 'resize', width: 5, height: 5, gravity: 'north', background: '#000' })), [
      'resize: gravity has no effect on contain',
      'resize: background has no effect on contain: it is what pad fills with',
    ]);
    assert.deepEqual(idle(op({ op: 'rotate', angle: 90, background: '#000' })), [
      'rotate: a turn by quarters leaves no corners to fill: background has no effect',
    ]);
  });

  test('says nothing of that kind about a plan in its normal form', () => {
    fc.assert(
      fc.property(plans, (given) => {
        assert.deepEqual(explainPlan(readPlan(normalizePlan(given))).withoutEffect, []);
      }),
    );
  });

  test('warns of what is lost', () => {
    const about = (plan: Plan, facts: Partial<ExplainSource> = {}) =>
      explain(plan, picture(facts)).warnings.join('\n');
    assert.equal(about({}), '');
    assert.match(
      about({}, { alpha: true }),
      /JPEG here has no transparency: .* in the picture is laid on white/,
    );
    assert.equal(about({ output: { format: 'png' } }, { alpha: true }), '');
    assert.equal(about(op({ op: 'flatten', background: '#f00' }), { alpha: true }), '');
    assert.match(
      about(op({ op: 'background', method: 'auto' })),
      /in the removed background is laid on white/,
    );
    assert.match(about(op({ op: 'rotate', angle: 5 })), /in the turned corners/);
    assert.equal(about(op({ op: 'background', method: 'auto', color: '#123' })), '');

    assert.match(about({}, { bitDepth: 16 }), /16 bits a channel become 8 in JPEG; PNG and TIFF keep 16/);
    assert.equal(about({ output: { format: 'tiff' } }, { bitDepth: 16 }), '');
    assert.match(about({ output: { format: 'png', depth: 8 } }, { bitDepth: 16 }), /become 8 in depth 8/);

    assert.match(
      about({}, { pages: 9, animated: true }),
      /of 9 frames the first is kept: JPEG does not move/,
    );
    assert.equal(about({ output: { format: 'webp' } }, { pages: 9, animated: true }), '');
    assert.equal(about(op({ op: 'frame', page: 3 }), { pages: 9, animated: true }), '');
    assert.match(
      about({ output: { format: 'webp' } }, { pages: 3 }),
      /the file has 3 pages: the first is taken/,
    );
    assert.match(about(op({ op: 'clip' })), /JPEG does not move: of the clip it shows one frame/);

    const larger = { sizes: [{ width: 800, height: 600 }] };
    assert.match(
      about(op({ op: 'resize', width: 800, enlarge: true }), larger),
      /enlarges, from 400×300 to 800×600/,
    );
    const huge = { sizes: [{ width: 17_000, height: 300 }] };
    const wide: Plan = {
      ...op({ op: 'crop', left: 0, top: 0, width: 17_000, height: 300 }),
      output: { format: 'webp' },
    };
    assert.match(about(wide, huge), /WebP holds at most 16383 px a side: this will fail at 17000×300/);

    assert.match(about({ output: { format: 'avif' } }), /AVIF takes some 40 times as long/);
    assert.match(about({ output: { format: 'tiff', depth: 1 } }), /one bit has no greys/);
    assert.match(
      about(op({ op: 'dither' }, { op: 'resize', width: 9 })),
      /resize after dither brings greys back/,
    );
    assert.match(about(op({ op: 'threshold' })), /JPEG smears hard black and white/);
    assert.match(about(op({ op: 'background', method: 'model' })), /MATTE_MODEL_PATH/);
  });

  test('holds for any plan, and its spellings are that plan', () => {
    fc.assert(
      fc.property(plans, fc.boolean(), (given, isKnown) => {
        const plan = normalizePlan(given);
        const { spellings, operations, output, warnings } = explainPlan(
          { given, plan },
          isKnown ? picture({ alpha: true, pages: 2, bitDepth: 16 }) : undefined,
        );
        assert.deepEqual(planFromSegment(spellings.segment), plan);
        assert.deepEqual(parsePlan(spellings.json), plan);
        const pairs = spellings.flags
          .join('\n')
          .split(/(?:^|\n)--/)
          .slice(1);
        assert.ok(pairs.length > 0);
        assert.equal(operations.length, plan.operations.length);
        for (const text of [...operations.map(({ sentence }) => sentence), output.sentence, ...warnings]) {
          assert.doesNotMatch(text, /undefined|NaN|\[object/);
        }
      }),
    );
    assert.deepEqual(planFromFlags([['--format', 'jpeg']]), explain({}).spellings.json);
  });
});
