/** The keys of a Plan as query parameters of the OpenAPI document. */
import { z } from 'zod';
import { operationSchema, outputSchema, planSchema } from './plan.ts';
import { onOff, PLAN_KEYS, type PlanKey } from './plan-keys.ts';
import { PLAN_DEFAULTS } from './plan-normal.ts';

export interface PlanParameter {
  name: string;
  /** Other names that are read as well. */
  aliases: string[];
  description: string;
  /** JSON Schema of the decoded value. */
  schema: Record<string, unknown>;
}

/** In the order of the key table, `plan` last. */
export function planParameters(): PlanParameter[] {
  return [
    ...PLAN_KEYS.map((key) => ({
      name: key.long,
      aliases: [...new Set([key.short, key.alias ?? key.short])].filter((name) => name !== key.long),
      description: descriptionOf(key),
      schema: schemaOf(key),
    })),
    {
      name: 'plan',
      aliases: [],
      description: 'A whole plan, as JSON or in short form, in place of all the others.',
      schema: { type: 'string', examples: ['w_600,h_400,fit_cover,f_webp,q_80'] },
    },
  ];
}

/** The schema of the field where the value goes; of the text, where the value is spelled in a way of its own. */
function schemaOf(key: PlanKey): Record<string, unknown> {
  if (key.kind === onOff) return { type: 'boolean' };
  const field = fieldOf(key);
  if (field) {
    const { $schema: _, ...schema } = z.toJSONSchema(field, { io: 'input' });
    const isWord = Array.isArray(schema.enum) || 'const' in schema;
    if (schema.type === 'number' || schema.type === 'integer') return schema;
    if (isWord && key.kind.form === 'a word') return schema;
  }
  return { type: 'string', ...(key.valueName !== undefined && { description: key.valueName }) };
}

function fieldOf({ place }: PlanKey): z.ZodType | undefined {
  if ('output' in place) return outputSchema.shape[place.output];
  if ('plan' in place) return planSchema.shape[place.plan];
  const op = 'joins' in place ? Object.keys(place.joins)[0] : place.starts;
  const operation = operationSchema.options.find(({ shape }) => shape.op.value === op);
  const shape: Record<string, z.ZodType> = operation?.shape ?? {};
  return place.field === undefined ? undefined : shape[place.field];
}

function descriptionOf({ long, optional, help }: PlanKey): string {
  if (long === 'format') return `What to make; \`${PLAN_DEFAULTS.format}\` by default.`;
  const sentence = `${help.charAt(0).toUpperCase()}${help.slice(1)}.`;
  return optional ? `${sentence} The value may be left out.` : sentence;
}
