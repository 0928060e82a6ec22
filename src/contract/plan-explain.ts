/** Tells in plain sentences what a Plan will do. */
import type { NormalPlan } from './plan.ts';
import { planToFlags, planToSegment } from './plan-codec.ts';
import { colorWords, sentenceFor } from './plan-explain-operations.ts';
import { type ExplainSource, type PixelSize, warningsAbout } from './plan-explain-warnings.ts';
import { FORMAT_NAMES, FORMAT_OPTIONS } from './plan-formats.ts';
import type { ReadPlan } from './plan-normal.ts';
import { withoutEffect } from './plan-without-effect.ts';

export type { ExplainSource, PixelSize } from './plan-explain-warnings.ts';

export interface PlanExplanation {
  spellings: { json: NormalPlan; segment: string; flags: string[] };
  operations: {
    op: string;
    sentence: string;
    /** Null where only the pixels tell; absent where no picture is known. */
    size?: PixelSize | null;
  }[];
  output: {
    format: string;
    sentence: string;
    size?: PixelSize | null;
    /** In print, where the size and the dots an inch are known. */
    widthMm?: number;
    heightMm?: number;
  };
  /** What was asked for and changes nothing. */
  withoutEffect: string[];
  warnings: string[];
}

const MM_PER_INCH = 25.4;

/** @param source without it nothing is said of sizes, nor of what a picture would lose */
export function explainPlan(read: ReadPlan, source?: ExplainSource): PlanExplanation {
  const { plan } = read;
  const size = source && (plan.operations.length === 0 ? source : source.sizes[plan.operations.length - 1]);
  return {
    spellings: { json: plan, segment: planToSegment(plan), flags: planToFlags(plan) },
    operations: plan.operations.map((op, i) => ({
      op: op.op,
      sentence: sentenceFor(op),
      ...(source && { size: sizeOnly(source.sizes[i]) }),
    })),
    output: {
      format: plan.output.format,
      sentence: outputSentence(plan),
      ...(source && { size: sizeOnly(size) }),
      ...(size && plan.output.dpi !== undefined && inPrint(size, plan.output.dpi)),
    },
    withoutEffect: withoutEffect(read),
    warnings: warningsAbout(plan, source),
  };
}

const sizeOnly = (size: PixelSize | undefined): PixelSize | null =>
  size ? { width: size.width, height: size.height } : null;

const inPrint = ({ width, height }: PixelSize, dpi: number) => {
  const mm = (px: number) => Math.round((px / dpi) * MM_PER_INCH * 10) / 10;
  return { widthMm: mm(width), heightMm: mm(height) };
};

function outputSentence({ preview, output }: NormalPlan): string {
  const { format, quality, effort, lossless, chroma, progressive, depth, compression, dpi, background } =
    output;
  const parts = [
    FORMAT_NAMES[format],
    lossless && 'lossless',
    quality !== undefined && `quality ${quality}`,
    chroma === '4:2:0' && 'with colours at half the resolution (4:2:0)',
    effort !== undefined && `effort ${effort}`,
    progressive && 'progressive',
    depth !== undefined &&
      `${depth} ${depth === 1 ? 'bit' : 'bits'} a ${format === 'bmp' ? 'pixel' : 'channel'}`,
    compression !== undefined &&
      (compression === 'none' ? 'not compressed' : `${compression.toUpperCase()} compression`),
    dpi !== undefined && `${dpi} dpi`,
    background !== undefined && `transparent parts laid on ${colorWords(background)}`,
  ];
  const from = preview ? ', from the preview that the RAW file carries' : '';
  return `Write ${parts.filter(Boolean).join(', ')}${from}; ${metadataWords(output)}.`;
}

function metadataWords({ format, metadata }: NormalPlan['output']): string {
  if (FORMAT_OPTIONS[format].bare) return 'this format has no place for metadata';
  return metadata === 'strip'
    ? 'metadata (EXIF, GPS, XMP, IPTC) is stripped'
    : 'metadata (EXIF, GPS position, XMP, IPTC) is kept as far as the format has a place for it';
}
