/** What a key of a Plan's spellings is made of: its names, where its value goes, and how the value is written. */
import type { OutputOptions } from './plan.ts';
import type { OperationName } from './plan-operations.ts';

/** What help texts put together. */
export type KeyGroup = 'source' | 'size' | 'color' | 'background' | 'watermark' | 'engraving' | 'output';

/** Where a value goes. */
export type Place =
  /** Begins an operation; the value is its `field`, or all its fields, or (a switch) it has none. */
  | { starts: OperationName; field?: string }
  /** A field of the latest operation among these names, wherever in the list it stands. */
  | {
      /** The value beside each name is what that operation has when the key is absent. */
      joins: Partial<Record<OperationName, unknown>>;
      field: string;
      /** What the key begins where there is no such operation yet; a key without it is refused then. */
      begins?: OperationName;
      /** Added to what is wrong with an operation that the key has begun. */
      hint?: string;
    }
  | { output: keyof OutputOptions }
  | { plan: 'preview' };

/** `segment`: a part of a URL's path, where only letters, digits and `_ , . -` stand for themselves. */
export type Spelling = 'segment' | 'plain';

/** How a value is written. What is in range and which words there are is the schema's to say. */
export interface ValueKind {
  /** Finishes "expected …". */
  form: string;
  /** Undefined for text of another form. */
  read(text: string, spelling: Spelling): unknown;
  print(value: unknown, spelling: Spelling): string;
}

export interface PlanKey {
  /** In URL segments. Neither name holds an underscore: the first one ends the key. */
  short: string;
  /** In queries and, after `--`, on the command line. */
  long: string;
  /** A further name that is read and never printed. */
  alias?: string;
  /** For some values of a shared name: the long name of the key that they belong to. */
  belongsTo?: (text: string) => string | undefined;
  place: Place;
  kind: ValueKind;
  /** Stands for the value in help texts; absent for switches. */
  valueName?: string;
  /** What holds when the key is absent; not printed then. (For `joins`, see there.) */
  implied?: unknown;
  /** The value may be left out; true for texts that would be one, by which the command line tells it from a file. */
  optional?: (text: string) => boolean;
  help: string;
}

const NUMBER = /^-?\d{1,10}(\.\d{1,20})?$/;

export const number: ValueKind = {
  form: 'a number',
  read: (text) => (NUMBER.test(text) ? Number(text) : undefined),
  print: String,
};

export const word: ValueKind = { form: 'a word', read: (text) => text.toLowerCase(), print: String };

export const color: ValueKind = {
  form: 'a colour',
  read: (text) => text,
  print: (value) => (value === '#00000000' ? 'transparent' : String(value).replace('#', '')),
};

export const COLOR_FORMS = 'rgb, rrggbb, rrggbbaa, white, black or transparent';

const SWITCH: Record<string, boolean> = { '': true, true: true, '1': true, false: false, '0': false };

export const onOff: ValueKind = {
  form: 'true, false or no value',
  read: (text) => (Object.hasOwn(SWITCH, text) ? SWITCH[text] : undefined),
  print: () => '',
};

/** `4:4:4` without the colons, which a Windows file name or an unescaped path segment cannot hold. */
export const chroma: ValueKind = {
  form: '444 or 420',
  read: (text) => (/^\d{3}$/.test(text) ? [...text].join(':') : text),
  print: (value) => String(value).replaceAll(':', ''),
};

/**
 * Named numbers, separated by commas, or by underscores in a segment, where commas part the tokens. The last ones, from
 * `required` on, may be left out.
 */
export function numbers(names: readonly string[], required = names.length): ValueKind {
  const amount = required === names.length ? '' : 'up to ';
  return {
    form: `${amount}${names.length} numbers (${names.join(', ')})`,
    read(text) {
      const parts = text.split(/[,_]/, names.length + 1);
      if (parts.length < required || parts.length > names.length) return undefined;
      if (!parts.every((part) => NUMBER.test(part))) return undefined;
      return Object.fromEntries(parts.map((part, i) => [names[i], Number(part)]));
    },
    print: (value) => names.map((name) => (value as Record<string, number>)[name]).join(','),
  };
}

const BASE64URL = /^[A-Za-z0-9_-]*$/;

/** Any text; in a segment as base64url of its UTF-8. */
export const freeText: ValueKind = {
  form: 'a text; in a URL segment as base64url of its UTF-8',
  read(written, spelling) {
    if (spelling === 'plain') return written;
    if (!BASE64URL.test(written)) return undefined;
    const bytes = Buffer.from(written, 'base64url');
    const text = bytes.toString();
    // Bytes that are no UTF-8, and spare bits at the end, would give one text several spellings.
    return Buffer.from(text).toString('base64url') === written ? text : undefined;
  },
  print: (value, spelling) =>
    spelling === 'plain' ? String(value) : Buffer.from(String(value)).toString('base64url'),
};
