/** From the plan of a URL to the one that is rendered: for this image, and for what the client says of itself. */

import type { NormalOperation, NormalPlan, OutputFormat } from '../contract/plan.ts';
import { invalidPlan, normalizePlan } from '../contract/plan-normal.ts';
import { MAX_OUTPUT_SIDE_PX } from '../contract/plan-operations.ts';
import type { Policies, Preset } from '../contract/policies.ts';
import { AUTO_WIDTH, NEGOTIATED, PIXEL_RATIO, type TransformPlan } from '../contract/transform-url.ts';
import { expandPreset, type NamedPlan } from '../domain/presets.ts';

/** What a client says of itself. */
export interface Client {
  /** The format that it likes best; the first one is ours. */
  prefer(formats: readonly [OutputFormat, ...OutputFormat[]]): OutputFormat;
  /** Px of its screen that the picture is shown at, as it says. */
  widthPx?: number | undefined;
  /** Px of its screen in one CSS px, as it says. */
  ratio?: number | undefined;
}

/** What a source's headers say. */
export interface Traits {
  alpha: boolean;
  moves: boolean;
}

export interface ChosenPlan {
  plan: NormalPlan;
  /** What of the client's decided. */
  by: { accept: boolean; width: boolean; ratio: boolean };
}

/** What was chosen before, for as long as the plan of the URL is known. */
interface Known {
  formats: Map<string, readonly [OutputFormat, ...OutputFormat[]]>;
  plans: Map<string, NormalPlan>;
}

/** More than any honest client leads to. */
const MAX_KNOWN = 200;

export class TransformPlans {
  readonly #policies: Policies;
  readonly #known = new WeakMap<TransformPlan, Known>();
  readonly #expanded = new WeakMap<Preset, Map<unknown, NamedPlan[]>>();

  constructor({ policies }: { policies: Policies }) {
    this.#policies = policies;
  }

  /**
   * The same plan is the same object, for as long as it is remembered.
   * @param said the format that the URL says, in its plan or by its extension
   * @param traits of the source; asked where they decide
   * @throws Problem `invalid_plan`
   */
  async choose(
    url: TransformPlan,
    said: OutputFormat | undefined,
    { bucket, traits }: { bucket: string; traits: () => Traits | Promise<Traits> },
    client: Client,
  ): Promise<ChosenPlan> {
    const width = url.autoWidth === undefined ? undefined : autoWidthPx(client.widthPx ?? url.autoWidth);
    const ratio = url.ratio === 'auto' ? hintedRatio(client.ratio) : (url.ratio ?? 1);
    const { metadata } = this.#policies.policyFor(bucket);
    const formats = said ? undefined : await this.#formats(url, bucket, traits);
    const format = said ?? (formats!.length === 1 ? formats![0] : client.prefer(formats!));
    const { plans } = this.#knownOf(url);
    const name = `${format} ${width} ${ratio} ${metadata}`;
    let plan = plans.get(name);
    if (!plan) {
      const unscaled = url.preset ? this.#ofPreset(url, bucket, format) : url.as(format, width);
      plan = scaled(metadata === 'strip' ? stripped(unscaled) : unscaled, ratio, url.autoWidth !== undefined);
      if (plans.size >= MAX_KNOWN) plans.clear();
      plans.set(name, plan);
    }
    return {
      plan,
      by: {
        accept: formats !== undefined && formats.length > 1,
        width: width !== undefined,
        ratio: url.ratio === 'auto',
      },
    };
  }

  #knownOf(url: TransformPlan): Known {
    const known = this.#known.get(url) ?? { formats: new Map(), plans: new Map() };
    this.#known.set(url, known);
    return known;
  }

  /** Those that `Accept` chooses among. */
  async #formats(
    url: TransformPlan,
    bucket: string,
    traitsOf: () => Traits | Promise<Traits>,
  ): Promise<readonly [OutputFormat, ...OutputFormat[]]> {
    if (url.preset) {
      const formats = this.#renditions(url, bucket).map(({ plan }) => plan.output.format);
      return formats as [OutputFormat, ...OutputFormat[]];
    }
    const { formats } = this.#knownOf(url);
    const traits = await traitsOf();
    const name = `${traits.alpha} ${traits.moves}`;
    let found = formats.get(name);
    if (!found) {
      const plan = url.as('webp');
      found = moves(plan, traits)
        ? NEGOTIATED.moving
        : NEGOTIATED[hasAlpha(plan, traits) ? 'transparent' : 'opaque'];
      formats.set(name, found);
    }
    return found;
  }

  #ofPreset(url: TransformPlan, bucket: string, format: OutputFormat): NormalPlan {
    const renditions = this.#renditions(url, bucket);
    const same = renditions.find(({ plan }) => plan.output.format === format);
    if (same) return same.plan;
    const { plan } = renditions[0]!;
    return normalizePlan({ ...plan, output: { ...plan.output, format } });
  }

  /** One rendition of a preset in its formats, as a job makes them. */
  #renditions({ preset: name }: TransformPlan, bucket: string): NamedPlan[] {
    const { preset: presetName = '', rendition } = name ?? {};
    const preset = this.#policies.preset(presetName);
    if (!preset) throw unknown(`preset "${presetName}"`, this.#policies.presetNames);
    const { metadata } = this.#policies.policyFor(bucket);
    const expanded = this.#expanded.get(preset) ?? new Map<unknown, NamedPlan[]>();
    const plans = expanded.get(metadata) ?? expandPreset(preset, metadata === undefined ? {} : { metadata });
    this.#expanded.set(preset, expanded.set(metadata, plans));
    const names = [...new Set(plans.map((plan) => plan.name))];
    const wanted = rendition ?? (names.length === 1 ? names[0] : undefined);
    const found = plans.filter((plan) => plan.name === wanted);
    if (found.length > 0) return found;
    const full = names.map((one) => `${presetName}.${one}`);
    throw unknown(rendition === undefined ? 'rendition' : `rendition "${rendition}"`, full);
  }
}

function unknown(what: string, known: readonly string[]) {
  const message = `expected one of ${known.join(', ')}, got ${what === 'rendition' ? 'the preset alone' : `the ${what}`}`;
  return invalidPlan([{ path: 'preset', message }]);
}

/** In steps, so that a client cannot ask for any number of renditions. */
function autoWidthPx(px: number): number {
  const { stepPx, maxPx } = AUTO_WIDTH;
  return Math.min(maxPx, Math.max(stepPx, Math.ceil(px / stepPx) * stepPx));
}

function hintedRatio(ratio = 1): number {
  const { min, max, hintStep } = PIXEL_RATIO;
  return Math.min(max, Math.max(min, Math.ceil(ratio / hintStep) * hintStep));
}

const stripped = (plan: NormalPlan): NormalPlan =>
  plan.output.metadata === 'strip' ? plan : { ...plan, output: { ...plan.output, metadata: 'strip' } };

/** @param hasAutoWidth a width that the client says is in px of its screen already: then heights alone are multiplied */
function scaled(plan: NormalPlan, ratio: number, hasAutoWidth: boolean): NormalPlan {
  if (ratio === 1) return plan;
  const times = (px: number) => Math.min(MAX_OUTPUT_SIDE_PX, Math.max(1, Math.round(px * ratio)));
  const operations = plan.operations.map((op): NormalOperation => {
    if (op.op !== 'resize') return op;
    const { width, height } = op;
    return {
      ...op,
      ...(width !== undefined && !hasAutoWidth && { width: times(width) }),
      ...(height !== undefined && { height: times(height) }),
    };
  });
  return { ...plan, operations };
}

function moves({ operations, preview }: NormalPlan, traits: Traits): boolean {
  const first = operations[0]?.op;
  return first === 'clip' || (traits.moves && first !== 'frame' && preview === undefined);
}

/** Whether the result may be transparent somewhere. */
function hasAlpha({ operations, preview, output }: NormalPlan, traits: Traits): boolean {
  let alpha = traits.alpha && preview === undefined;
  for (const op of operations) {
    switch (op.op) {
      case 'flatten':
      case 'threshold':
      case 'dither':
        alpha = false;
        break;
      case 'colorspace':
        alpha = op.space === 'rgba';
        break;
      case 'background':
        alpha = !op.mask && isTranslucent(op.color);
        break;
      case 'rotate':
      case 'resize':
        alpha ||= isTranslucent(op.background);
        break;
    }
  }
  return alpha && output.depth !== 1;
}

/** `#rrggbbaa` is written only where it is. */
const isTranslucent = (color: string | undefined): boolean => color?.length === '#rrggbbaa'.length;
