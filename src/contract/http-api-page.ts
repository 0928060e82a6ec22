/** `docs/http-api.md`: the operation table as a page to read. */
import { PROBLEMS } from '../problem.ts';
import { codesByStatus, openApiDocument, problemCodes } from './openapi.ts';
import type { HeaderSpec, Operation, ResponseSpec } from './operation.ts';

interface Parameter {
  name: string;
  in: string;
  required: boolean;
  description?: string;
  schema: Record<string, unknown>;
}

const HEAD = `# HTTP interface

<!-- Generated from src/contract/operations.ts by scripts/gen-docs.ts; edit there. -->

The same as a document for programs: [openapi.json](openapi.json), which a running server gives at \`/openapi.json\` and
shows at \`/docs\`. In the examples \`$URL\` is the server's address, \`http://127.0.0.1:8000\` by default.

## Problems

Whatever cannot be done is answered with a problem document, \`application/problem+json\` (RFC 9457):

\`\`\`json
{
  "type": "/problems/invalid_plan",
  "title": "The plan is invalid",
  "status": 422,
  "detail": "quality: expected a whole number of at most 100, got 101",
  "code": "invalid_plan",
  "instance": "/convert",
  "request_id": "5f0c1c0e-4f6c-4a53-9a0a-0d3c5f9f5a43",
  "errors": [{ "path": "quality", "message": "expected a whole number of at most 100, got 101" }]
}
\`\`\`

\`code\` is stable and the member to decide on; \`detail\` and \`errors\` are for people. \`Retry-After\` says when trying again
may help. \`X-Request-Id\` stands on every answer and in the log; a sane one that the request brings is used.
`;

/** CommonMark with tables. */
export function httpApiPage(operations: Readonly<Record<string, Operation>>): string {
  const { paths } = openApiDocument(operations, { version: '' });
  const sections = Object.values(operations).map((operation) => {
    const described = paths[operation.path]?.[operation.method.toLowerCase()];
    return section(operation, (described?.parameters ?? []) as Parameter[]);
  });
  return `${[HEAD, ...sections, problemTable()].join('\n')}`;
}

function section(operation: Operation, parameters: Parameter[]): string {
  const { method, path, summary, description, auth, body, responses, example } = operation;
  return [
    `## ${method} ${path}`,
    `${summary}.${description ? ` ${description}` : ''}`,
    tokenSentence(auth),
    body?.description ? `**Body.** ${body.description}` : '',
    parameterTable(parameters),
    Object.entries(responses)
      .map(([status, spec]) => answer(status, spec))
      .join('\n\n'),
    `**Problems.** ${codesByStatus(problemCodes(operation))
      .map(([status, codes]) => `${status} ${codes.map((code) => `\`${code}\``).join(', ')}`)
      .join(' · ')}`,
    example ? `\`\`\`sh\n${example}\n\`\`\`` : '',
  ]
    .filter(Boolean)
    .join('\n\n')
    .concat('\n');
}

function tokenSentence(auth: Operation['auth']): string {
  if (auth === 'none') return '';
  const scopes = auth.scopes.map((scope) => `\`${scope}\``).join(', ');
  return auth.optional
    ? `Takes a token with the scope ${scopes}; without one only what is public is given.`
    : `Needs a token with the scope ${scopes}.`;
}

function parameterTable(parameters: Parameter[]): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map((parameter) => {
    const name = `\`${parameter.name}\`${parameter.in === 'path' ? ' (path)' : ''}`;
    return row(name, expectedValue(parameter.schema), parameter.description ?? '');
  });
  return ['| Parameter | Value | What it does |', '|---|---|---|', ...rows].join('\n');
}

/** A JSON Schema in a few words. */
function expectedValue(schema: Record<string, unknown>): string {
  const { type, minimum, maximum, description } = schema;
  if ('const' in schema) return `\`${schema.const}\``;
  if (Array.isArray(schema.enum)) {
    return schema.enum.length > 12
      ? 'a code of the table below'
      : schema.enum.map((v) => `\`${v}\``).join(', ');
  }
  if (minimum !== undefined && maximum !== undefined) return `${type}, ${minimum} to ${maximum}`;
  return typeof description === 'string' ? `\`${description}\`` : String(type);
}

function answer(status: string, spec: ResponseSpec): string {
  const what = spec.schema ? 'JSON' : spec.content?.map((type) => `\`${type}\``).join(', ');
  const headers = Object.entries<HeaderSpec>(spec.headers ?? {}).map(
    ([name, { description }]) => `- \`${name}\`: ${description}`,
  );
  const { example } = spec;
  return [
    `**${status}** ${spec.description}${what ? ` (${what})` : ''}`,
    headers.join('\n'),
    example === undefined ? '' : `\`\`\`json\n${JSON.stringify(example, null, 2)}\n\`\`\``,
  ]
    .filter(Boolean)
    .join('\n\n');
}

function problemTable(): string {
  const rows = Object.entries(PROBLEMS).map(([code, { status, title, retryable }]) =>
    row(`\`${code}\``, String(status), title, retryable ? 'yes' : 'no'),
  );
  return [
    '## Problem codes',
    '',
    '| Code | Status | Meaning | Trying again may help |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

const row = (...cells: string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
