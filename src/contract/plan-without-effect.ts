/** What a Plan asks for and its normal form has not: it would change nothing. */
import type { OutputOptions } from './plan.ts';
import { hexColor } from './plan-colors.ts';
import { FORMAT_NAMES } from './plan-formats.ts';
import type { ReadPlan } from './plan-normal.ts';
import { normalOperations } from './plan-normal-operations.ts';
import { MAX_DPI, type NormalOperation, type Operation } from './plan-operations.ts';

/** A sentence for each, without its full stop. */
export function withoutEffect({ given, plan }: ReadPlan): string[] {
  return [
    ...ofOperations(given.operations ?? [], plan.operations),
    ...ofOutput(given.output ?? {}, plan.output),
  ];
}

function ofOperations(given: readonly Operation[], normal: readonly NormalOperation[]): string[] {
  const told: string[] = [];
  let kept = 0;
  given.forEach((operation, i) => {
    const [alone] = normalOperations([operation], MAX_DPI);
    const which = given.length > 1 ? `${operation.op} (operation ${i + 1})` : operation.op;
    if (!alone) {
      told.push(`${which}: changes nothing as it stands`);
      return;
    }
    kept += 1;
    told.push(...ofFields(operation, alone).map((reason) => `${which}: ${reason}`));
  });
  const together = kept - normal.length;
  if (together > 0) {
    told.push(
      `${kept} operations are done as ${normal.length}: mirrors and turns are put together, repeats dropped`,
    );
  }
  return told;
}

/** Fields that the normal form of their operation lacks or has otherwise. */
function ofFields(given: Operation, normal: NormalOperation): string[] {
  if (given.op === 'resize' && normal.op === 'resize') {
    const cuts = given.fit === 'cover' || given.fit === 'fill';
    const reasons: string[] = [];
    if (cuts && normal.fit === 'contain') {
      reasons.push('cover with one side has nothing to cut off: it is contain');
    }
    if (given.gravity !== undefined && normal.gravity === undefined) {
      reasons.push(
        normal.focus ? 'focus stands instead of gravity' : `gravity has no effect on ${normal.fit}`,
      );
    } else if (given.gravity !== undefined && normal.gravity !== given.gravity) {
      reasons.push(`pad cuts nothing off, so gravity ${given.gravity} is ${normal.gravity}`);
    }
    if (given.focus && !normal.focus) reasons.push(`focus has no effect on ${normal.fit}`);
    if (given.background !== undefined && normal.background === undefined) {
      reasons.push(`background has no effect on ${normal.fit}: it is what pad fills with`);
    }
    return reasons;
  }
  if (given.op === 'rotate' && normal.op === 'rotate') {
    const idle = given.background !== undefined && normal.background === undefined;
    return idle ? ['a turn by quarters leaves no corners to fill: background has no effect'] : [];
  }
  if (given.op === 'background' && normal.op === 'background' && given.color !== undefined) {
    return hexColor(given.color) === normal.color ? [] : ['a mask has no color'];
  }
  if (given.op === 'watermark' && given.image !== undefined && given.color !== undefined) {
    return ['color is of a text, not of an image'];
  }
  return [];
}

function ofOutput(given: OutputOptions, normal: ReadPlan['plan']['output']): string[] {
  const name = FORMAT_NAMES[normal.format];
  const told: string[] = [];
  for (const option of [
    'quality',
    'effort',
    'lossless',
    'chroma',
    'progressive',
    'dpi',
    'compression',
  ] as const) {
    const asked = given[option];
    if (asked === undefined || asked === false || normal[option] === asked) continue;
    if (option === 'compression' && asked === 'lzw' && normal.format === 'tiff') continue; // what it is anyway
    if (normal[option] !== undefined) told.push(`${option} ${asked} counts as ${normal[option]} for ${name}`);
    else if (option === 'quality' && normal.lossless)
      told.push('quality has no effect where nothing is lost');
    else told.push(`${option} has no effect on ${name}`);
  }
  const { depth, background } = given;
  const isUsual = normal.format === 'bmp' && depth === 24;
  if (depth !== undefined && normal.depth === undefined && !isUsual)
    told.push(`depth has no effect on ${name}`);
  if (background !== undefined && normal.background === undefined) {
    told.push(
      `background (matte) has no effect on ${name}, which keeps transparency; flatten lays it on a colour`,
    );
  }
  return told;
}
