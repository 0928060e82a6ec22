/**
 * Every key of a Plan's spellings, in one table: it drives reading, printing, the command line's help and the query
 * parameters of the API. A new operation or option of a Plan needs a row in one of its parts and nothing in the codec.
 */
import type { KeyGroup, PlanKey } from './plan-key.ts';
import { BACKGROUND_KEYS, COLOR_KEYS } from './plan-keys-color.ts';
import { ENGRAVING_KEYS, WATERMARK_KEYS } from './plan-keys-marks.ts';
import { OUTPUT_KEYS } from './plan-keys-output.ts';
import { SIZE_KEYS, SOURCE_KEYS } from './plan-keys-shape.ts';

export { type KeyGroup, onOff, type Place, type PlanKey, type Spelling, type ValueKind } from './plan-key.ts';

const KEYS_BY_GROUP: Record<KeyGroup, readonly PlanKey[]> = {
  source: SOURCE_KEYS,
  size: SIZE_KEYS,
  color: COLOR_KEYS,
  background: BACKGROUND_KEYS,
  watermark: WATERMARK_KEYS,
  engraving: ENGRAVING_KEYS,
  output: OUTPUT_KEYS,
};

/** In the order in which the keys of one operation, and of the output, are printed. */
export const PLAN_KEYS: readonly PlanKey[] = Object.values(KEYS_BY_GROUP).flat();

/** By every name. A Map, so that `__proto__` and `constructor` are names like any other. */
export const KEY_BY_NAME: ReadonlyMap<string, PlanKey> = new Map(
  PLAN_KEYS.flatMap((key) =>
    [key.short, key.long, key.alias ?? key.long].map((name): [string, PlanKey] => [name, key]),
  ),
);

/** An option of the command line. */
export interface PlanFlag {
  /** Without the dashes. */
  name: string;
  /** The short key, also without dashes. `h` is left out: it asks for help everywhere. */
  alias?: string;
  /** Present where the option takes a value. */
  valueName?: string;
  /** Present where the value may be left out: whether an argument that follows is the value. */
  optional?: (text: string) => boolean;
  /** `plan` has none. */
  group?: KeyGroup;
  help: string;
}

/** For the command line's parser and help, in the order of the table. */
export const PLAN_FLAGS: readonly PlanFlag[] = [
  ...Object.entries(KEYS_BY_GROUP).flatMap(([group, keys]) =>
    keys.map(({ short, long, valueName, optional, help }) => ({
      name: long,
      ...(short.length === 1 && short !== 'h' && { alias: short }),
      ...(valueName !== undefined && { valueName }),
      ...(optional && { optional }),
      group: group as KeyGroup,
      help,
    })),
  ),
  {
    name: 'plan',
    valueName: 'plan',
    help: 'a whole plan, as JSON or in short form (w_600,h_400,fit_cover,f_webp)',
  },
];
