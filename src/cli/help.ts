/** The texts of `--help`: examples first, then every option, from the tables that the parsers read. */
import type { OptionSpec } from './args.ts';
import { PICTURE_OPTIONS, RUN_OPTIONS, SUGAR_OPTIONS } from './convert-options.ts';
import { INFO_OPTIONS } from './info.ts';
import { columnsOf, padColumns, wrap } from './text.ts';
import { TOKEN_OPTIONS } from './token.ts';

interface HelpPage {
  usage: string;
  intro: string;
  examples: readonly (readonly [what: string, line: string])[];
  sections: readonly {
    title: string;
    note?: string;
    options?: readonly OptionSpec[];
    lines?: readonly string[];
  }[];
}

export const SERVE_OPTIONS: readonly OptionSpec[] = [{ name: 'help', alias: 'h', help: 'this text' }];

const MAX_COLUMNS = 80;
/** Options longer than this push their text to the next line. */
const OPTION_COLUMNS = 26;

const PAGES = {
  convert: {
    usage: 'tintype convert [options] <file|folder|pattern>...',
    intro:
      'Converts pictures: to JPEG of quality 95, upright, in sRGB, with their metadata, unless told otherwise. ' +
      'IMG_1.HEIC becomes IMG_1.jpg beside it. Nothing is replaced without --force.',
    examples: [
      ['A folder of iPhone photos to JPEG', 'tintype convert ~/Photos/iPhone'],
      [
        'DNGs, with all subfolders, to WebP of at most 2048 px, without metadata',
        "tintype convert 'shoot/**/*.dng' -f webp --size 2048 --strip -o web",
      ],
      [
        'One file, cropped to a square of 800 px',
        'tintype convert a.heic -w 800 --height 800 --fit cover -o a.png',
      ],
      ['The preview that a RAW file carries', 'tintype convert IMG_2.CR3 --preview embedded'],
      ['What failed, for a program', "tintype convert -r in -o out --json | jq -r 'select(.problem).source'"],
      ['A name that begins with a dash', 'tintype convert -- -odd.heic'],
    ],
    sections: [
      { title: 'Files', options: RUN_OPTIONS },
      { title: 'Shorthands', options: SUGAR_OPTIONS },
      {
        title: 'Picture',
        note: 'Operations are applied in the order given: --rotate 90 --width 600 turns first.',
        options: PICTURE_OPTIONS,
      },
      {
        title: 'Names',
        lines: [
          'The results get the time of their sources. In an output folder the tree of an input folder is mirrored; ' +
            'of several input folders each keeps its name.',
          'Where two sources would become one file (IMG_1.HEIC and IMG_1.DNG), both keep their extension: ' +
            'IMG_1.HEIC.jpg, IMG_1.DNG.jpg. If that does not tell them apart, nothing is converted.',
          'In folders, names that begin with a dot and files that are no pictures by their first bytes are passed ' +
            'over. Patterns are read by tintype where the shell leaves them alone; there *.heic means *.HEIC as well, ' +
            'and ** any folders. A file whose name looks like a pattern is that file.',
        ],
      },
    ],
  },
  info: {
    usage: 'tintype info [options] <file|folder|pattern>...',
    intro: 'Tells what pictures are: format, size as displayed, colours, camera, date, exposure, place.',
    examples: [
      ['One picture', 'tintype info IMG_1.HEIC'],
      [
        'Which pictures say where they were taken',
        "tintype info -r --json . | jq -r 'select(.info.gps).file'",
      ],
    ],
    sections: [{ title: 'Options', options: INFO_OPTIONS }],
  },
  serve: {
    usage: 'tintype serve',
    intro:
      'Starts the HTTP service. It is configured by environment variables, or a file .env in the current folder ' +
      '(docs/configuration.md); SIGTERM or Ctrl-C lets running requests finish, a second one ends it at once.',
    examples: [
      ['On port 9000', 'PORT=9000 tintype serve'],
      ['Then', 'curl -F file=@IMG_1.HEIC http://127.0.0.1:9000/convert -o IMG_1.jpg'],
    ],
    sections: [{ title: 'Options', options: SERVE_OPTIONS }],
  },
  token: {
    usage: 'tintype token --sub <name> --scope <scopes> [options]',
    intro:
      'Prints a token for the service as it is configured by environment variables, or a file .env in the current ' +
      'folder. Without JWT_SECRET_KEY it is signed with the secret that the service keeps in DATA_DIR.',
    examples: [
      ['For somebody who uploads', 'tintype token --sub me --scope write'],
      ['For a program that reads one bucket', 'tintype token --sub shop --scope read --bucket products'],
      ['In a call', 'curl -H "Authorization: Bearer $(tintype token --sub me --scope write)" …'],
    ],
    sections: [{ title: 'Options', options: TOKEN_OPTIONS }],
  },
} as const satisfies Record<string, HelpPage>;

const EXIT_LINES = [
  '0  everything was done',
  '1  some files failed; they are named on standard error',
  '2  the command was not understood; nothing was done',
  '130  stopped by Ctrl-C; nothing half written is left',
];

export type HelpTopic = keyof typeof PAGES;

/** @param columns of the terminal; undefined where it is none */
export function helpFor(topic: HelpTopic, columns: number | undefined): string {
  const width = Math.max(40, Math.min(columns ?? MAX_COLUMNS, MAX_COLUMNS));
  const { usage, intro, examples, sections }: HelpPage = PAGES[topic];
  const lines = [`Usage: ${usage}`, '', ...wrap(intro, width), '', 'Examples'];
  for (const [what, line] of examples) lines.push(...wrap(what, width - 2).map(indent), `    ${line}`);
  for (const { title, note, options, lines: texts } of sections) {
    lines.push('', title);
    if (note) lines.push(...wrap(note, width - 2).map(indent));
    for (const option of options ?? []) lines.push(...optionLines(option, width));
    for (const text of texts ?? []) lines.push(...wrap(text, width - 2).map(indent));
  }
  lines.push('', 'Exit status', ...EXIT_LINES.map(indent));
  return `${lines.join('\n')}\n`;
}

const indent = (line: string): string => `  ${line}`;

function optionLines({ name, alias, value, help }: OptionSpec, width: number): string[] {
  const left = `${alias ? `-${alias}, ` : '    '}--${name}${value === undefined ? '' : ` <${value}>`}`;
  const text = wrap(help, width - OPTION_COLUMNS - 2).map((line) => `  ${' '.repeat(OPTION_COLUMNS)}${line}`);
  if (columnsOf(left) > OPTION_COLUMNS - 2) return [indent(left), ...text];
  return [indent(padColumns(left, OPTION_COLUMNS) + text[0]!.trimStart()), ...text.slice(1)];
}
