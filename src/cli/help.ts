/** The texts of `--help`: examples first, then every option, from the tables that the parsers read. */
import type { OptionSpec } from './args.ts';
import { BACKUP_OPTIONS } from './backup.ts';
import { RUN_OPTIONS } from './convert-options.ts';
import { INFO_OPTIONS } from './info.ts';
import { MIGRATE_OPTIONS } from './migrate.ts';
import { EXPLAIN_OPTIONS } from './plan.ts';
import { MODEL_OPTIONS, PICTURE_OPTIONS, SUGAR_OPTIONS } from './plan-options.ts';
import { RESTORE_OPTIONS } from './restore.ts';
import { URL_OPTIONS } from './sign.ts';
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
  /** Where a command's differ from those of most. */
  exit?: readonly string[];
}

export const SERVE_OPTIONS: readonly OptionSpec[] = [{ name: 'help', alias: 'h', help: 'this text' }];

const MAX_COLUMNS = 80;
/** Options longer than this push their text to the next line. */
const OPTION_COLUMNS = 26;

/** The options of a plan, by what they are about. */
const PICTURE_SECTIONS: HelpPage['sections'] = (
  [
    ['source', 'What of the file'],
    ['size', 'Size and shape'],
    ['color', 'Colour and sharpness'],
    ['background', 'Background'],
    ['watermark', 'Watermark'],
    ['engraving', 'Black and white, shapes'],
    ['output', 'Output'],
  ] as const
).map(([group, title]) => ({
  title,
  options: PICTURE_OPTIONS.filter((option) => option.group === group),
}));

const WHOLE_PLAN = [...SUGAR_OPTIONS, ...PICTURE_OPTIONS.filter(({ group }) => group === undefined)];

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
      [
        'On white in place of its background, with a name in a corner',
        'tintype convert a.heic --background auto --flatten --watermark-text ©Zoë',
      ],
      [
        'For a laser: 80 mm wide, in points, one bit a pixel',
        'tintype convert a.jpg -w 80 --unit mm --dpi 254 --dither -f tif --depth 1',
      ],
      ['A drawing in shapes', 'tintype convert logo.png --vectorize -o logo.svg'],
      ['The preview that a RAW file carries', 'tintype convert IMG_2.CR3 --preview embedded'],
      ['What failed, for a program', "tintype convert -r in -o out --json | jq -r 'select(.problem).source'"],
      ['A name that begins with a dash', 'tintype convert -- -odd.heic'],
    ],
    sections: [
      { title: 'Files', options: RUN_OPTIONS },
      {
        title: 'Picture',
        note:
          'Operations are applied in the order given: --rotate 90 --width 600 turns first. A value in [ ] may be left out; ' +
          'the next argument is taken for it if it looks like one: for a file called 128 write ./128.',
        options: WHOLE_PLAN,
      },
      ...PICTURE_SECTIONS.map((section) =>
        section.title === 'Background'
          ? { ...section, options: [...section.options!, ...MODEL_OPTIONS] }
          : section,
      ),
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
  plan: {
    usage: 'tintype plan explain [options of a picture] [file]',
    intro:
      'Tells in plain words what a plan will do: each operation, with the size after it where a file or a size is given, ' +
      'what is written, what was asked for without effect, and what is worth knowing before. Nothing is done.',
    examples: [
      ['Options, for a photo', 'tintype plan explain --size 1200 -f avif IMG_1.HEIC'],
      [
        'A URL segment, for any picture of 12 megapixels',
        'tintype plan explain --plan w_600,fit_cover,f_webp --source-size 4000x3000',
      ],
      [
        'The JSON of a plan that is known by its options',
        'tintype plan explain --crop 0,0,800,600 --json | jq .plan',
      ],
    ],
    sections: [
      { title: 'Options', options: EXPLAIN_OPTIONS },
      { title: 'Picture', options: WHOLE_PLAN },
      ...PICTURE_SECTIONS,
    ],
    exit: [
      '0  told',
      '1  the plan cannot be applied to the file',
      '2  the command or the plan was not understood',
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
  worker: {
    usage: 'tintype worker',
    intro:
      'Works on uploads and conversions that were accepted, without HTTP: beside a server with the same DATA_DIR, for ' +
      'more of them at a time. It is configured as the server is; SIGTERM or Ctrl-C lets running work finish, and what is ' +
      'not finished by then is done by another worker.',
    examples: [['Four images at a time', 'WORKER_CONCURRENCY=4 tintype worker']],
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
  sign: {
    usage: 'tintype sign [options] <image id>',
    intro:
      'Prints a URL that renders an image on the fly, for whoever has it; private images as well. It is signed for the ' +
      'service as it is configured by environment variables, or a file .env in the current folder ' +
      '(docs/how-to/urls.md). Without --format the browser chooses: AVIF, WebP or JPEG.',
    examples: [
      ['For a page', 'tintype sign 0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10 -w 600 -q 80'],
      [
        'A square as WebP, for an hour',
        'tintype sign 0192f0c1-… -w 400 --height 400 --fit cover -f webp --expires 1h',
      ],
      ['As wide as it is shown', 'tintype sign 0192f0c1-… -w auto -q 80'],
      ['What the preset has made', 'tintype sign 0192f0c1-… --preset web.medium'],
    ],
    sections: [
      { title: 'URL', options: URL_OPTIONS },
      {
        title: 'Picture',
        note: 'The options of tintype convert; a watermark is the id of an image of the same owner. Metadata is stripped without --metadata keep.',
      },
    ],
    exit: ['0  the URL was printed', '2  the command or the configuration was not understood'],
  },
  backup: {
    usage: 'tintype backup [options] <folder>',
    intro:
      'Copies the catalog and every original and rendition into a folder, while the service runs: all that was accepted ' +
      'before, as it was at one moment. Configured as the service is. Into a folder that has an earlier backup only what ' +
      'is new is copied, and what was deleted since goes there too. The files of the configuration and the secret in ' +
      'DATA_DIR are not in it: keep those elsewhere.',
    examples: [
      ['Every night', 'tintype backup /mnt/backups/tintype'],
      ['How long it took', 'tintype backup --json /mnt/backups/tintype | jq .duration_ms'],
    ],
    sections: [{ title: 'Options', options: BACKUP_OPTIONS }],
    exit: [
      '0  the backup is complete',
      '1  it is not: what the folder had before is unchanged',
      '2  the command or the configuration was not understood; nothing was done',
      '130  stopped by Ctrl-C; what the folder had before is unchanged',
    ],
  },
  restore: {
    usage: 'tintype restore [options] <folder>',
    intro:
      'Brings a backup back, into the empty DATA_DIR of a service that does not run. The whole backup is looked at before ' +
      'anything is changed. Jobs that were under way when it was made are done again by the next start.',
    examples: [
      ['On a new machine', 'tintype restore --verify /mnt/backups/tintype && tintype serve'],
      ['In place of what is there', 'tintype restore --force /mnt/backups/tintype'],
    ],
    sections: [{ title: 'Options', options: RESTORE_OPTIONS }],
    exit: [
      '0  everything is back',
      '1  it is not; the service refuses to start on what is half there: restore again',
      '2  the command was not understood, or there is something already; nothing was done',
      '130  stopped by Ctrl-C; as 1',
    ],
  },
  migrate: {
    usage: 'tintype migrate [options]',
    intro:
      'Brings the catalog up to date with this release, as every start of the service does. Back up first: there is no way ' +
      'back to an earlier release.',
    examples: [['What would be done', 'tintype migrate --check']],
    sections: [{ title: 'Options', options: MIGRATE_OPTIONS }],
    exit: [
      '0  the catalog is up to date',
      '1  it is not: --check found something to do, or it failed',
      '2  the command or the configuration was not understood; nothing was done',
    ],
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
  const { usage, intro, examples, sections, exit = EXIT_LINES }: HelpPage = PAGES[topic];
  const lines = [`Usage: ${usage}`, '', ...wrap(intro, width), '', 'Examples'];
  for (const [what, line] of examples) lines.push(...wrap(what, width - 2).map(indent), `    ${line}`);
  for (const { title, note, options, lines: texts } of sections) {
    lines.push('', title);
    if (note) lines.push(...wrap(note, width - 2).map(indent));
    for (const option of options ?? []) lines.push(...optionLines(option, width));
    for (const text of texts ?? []) lines.push(...wrap(text, width - 2).map(indent));
  }
  lines.push('', 'Exit status', ...exit.map(indent));
  return `${lines.join('\n')}\n`;
}

const indent = (line: string): string => `  ${line}`;

function optionLines({ name, alias, value, optional, help }: OptionSpec, width: number): string[] {
  const shown = value === undefined ? '' : optional ? ` [${value}]` : ` <${value}>`;
  const left = `${alias ? `-${alias}, ` : '    '}--${name}${shown}`;
  const text = wrap(help, width - OPTION_COLUMNS - 2).map((line) => `  ${' '.repeat(OPTION_COLUMNS)}${line}`);
  if (columnsOf(left) > OPTION_COLUMNS - 2) return [indent(left), ...text];
  return [indent(padColumns(left, OPTION_COLUMNS) + text[0]!.trimStart()), ...text.slice(1)];
}
