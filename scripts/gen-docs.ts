/**
 * Writes the documents that follow from the code. With `--check` writes nothing, and exits with 1 where a document
 * differs from what would be written.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { VARIABLES, type Variable } from '../src/config.ts';
import { httpApiPage } from '../src/contract/http-api-page.ts';
import { openApiDocument } from '../src/contract/openapi.ts';
import { OPERATIONS } from '../src/contract/operations.ts';

interface GeneratedDocument {
  /** Relative to the project's root. */
  path: string;
  render(): string | Promise<string>;
}

const DOCUMENTS: readonly GeneratedDocument[] = [
  { path: 'docs/configuration.md', render: configurationPage },
  { path: '.env.example', render: envExample },
  { path: 'docs/http-api.md', render: () => httpApiPage(OPERATIONS) },
  { path: 'docs/openapi.json', render: openApiJson },
];

const root = new URL('../', import.meta.url);
const check = process.argv.includes('--check');
const outdated: string[] = [];

for (const { path, render } of DOCUMENTS) {
  const file = fileURLToPath(new URL(path, root));
  const wanted = await render();
  const found = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === wanted) continue;
  outdated.push(path);
  if (!check) await writeFile(file, wanted);
}

if (outdated.length > 0) {
  console.log(`${check ? 'Out of date' : 'Written'}: ${outdated.join(', ')}`);
  if (check) {
    console.log('Run: npm run docs');
    process.exitCode = 1;
  }
}

async function openApiJson(): Promise<string> {
  const { version } = JSON.parse(await readFile(new URL('package.json', root), 'utf8')) as {
    version: string;
  };
  return `${JSON.stringify(openApiDocument(OPERATIONS, { version }), null, 2)}\n`;
}

function configurationPage(): string {
  return `# Configuration

<!-- Generated from src/config.ts by scripts/gen-docs.ts; edit there. -->

Tintype is configured by environment variables. It also reads them from a file named \`.env\` in the folder that it is
started from (\`.env.example\` is one to begin with); a variable of the environment wins over the file. A variable that
is empty counts as absent. At start every variable that is wrong is named, with the form that is expected, and nothing
is started; a name that is only close to one of these gets a warning.

| Variable | Default | Expected | What it does |
|---|---|---|---|
${VARIABLES.map(tableRow).join('\n')}
`;
}

function tableRow(variable: Variable): string {
  const cells = [`\`${variable.name}\``, defaultCell(variable), expectedText(variable), variable.description];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function defaultCell({ default: value }: Variable): string {
  if (typeof value !== 'string') return value.shown;
  return value === '' ? 'none' : `\`${value}\``;
}

function expectedText({ form, unit }: Variable): string {
  return unit === undefined ? form : `${form} (${unit})`;
}

function envExample(): string {
  const blocks = VARIABLES.map((variable) => {
    const { name, description, default: value } = variable;
    const fallback = typeof value === 'string' ? '' : ` Default: ${value.shown}.`;
    return [
      `# ${description.replaceAll('`', '')}`,
      `# Expected: ${expectedText(variable)}.${fallback}`,
      `#${name}=${typeof value === 'string' ? value : ''}`,
    ].join('\n');
  });
  const head =
    '# Copy to .env and uncomment what you change. Generated from src/config.ts; see docs/configuration.md.';
  return `${[head, ...blocks].join('\n\n')}\n`;
}
