/** Checks answers against the OpenAPI document, as a client that was generated from it would. */
import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { openApiDocument } from '../../src/contract/openapi.ts';
import { OPERATIONS, type OperationId } from '../../src/contract/operations.ts';
import { PROBLEMS, type ProblemCode } from '../../src/problem.ts';

export const published = openApiDocument(OPERATIONS, { version: '0.0.0' });

/** Validates against any schema of the document. */
export function createValidator(): Ajv2020 {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  (addFormats as unknown as (ajv: Ajv2020) => void)(ajv);
  // Their content is bytes or a media type's, which JSON Schema only annotates.
  ajv.addFormat('binary', true);
  return ajv.addSchema({ $id: 'openapi', ...published });
}

const ajv = createValidator();

interface MediaType {
  schema: object;
}

/** The answer's status, media type and JSON body are among those that the operation publishes. */
export function assertPublished(id: OperationId, response: Response, body: unknown): void {
  const { path, method } = OPERATIONS[id];
  const operation = published.paths[path]![method.toLowerCase()]!;
  const responses = operation.responses as Record<string, { content?: Record<string, MediaType> }>;
  const described = responses[response.status];
  assert.ok(described, `${id} does not publish status ${response.status}`);
  const type = response.headers.get('content-type')?.split(';')[0];
  if (!described.content) {
    assert.equal(type, undefined);
    return;
  }
  const content = described.content[type ?? ''];
  assert.ok(content, `${id} does not publish ${type} with status ${response.status}`);
  if (!type?.endsWith('json')) return;
  const schema = rebased(content.schema) as object;
  assert.ok(
    ajv.validate(schema, body),
    `${id} ${response.status}: ${ajv.errorsText()} in ${JSON.stringify(body)}`,
  );
}

/** Schemas of the document point into it; by themselves they need its name. */
export function rebased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rebased);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === '$ref' && typeof inner === 'string' ? `openapi${inner}` : rebased(inner),
    ]),
  );
}

/** The answer is the problem that is meant, in full and as published. Returns its document. */
export async function assertProblem(id: OperationId, response: Response, code: ProblemCode) {
  const body = (await response.json()) as Record<string, unknown>;
  assert.equal(body.code, code, JSON.stringify(body));
  assert.equal(response.status, PROBLEMS[code].status);
  assert.equal(response.headers.get('content-type'), 'application/problem+json');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assertPublished(id, response, body);
  assert.deepEqual(
    [body.status, body.title, body.type, body.request_id],
    [response.status, PROBLEMS[code].title, `/problems/${code}`, response.headers.get('x-request-id')],
  );
  assert.doesNotMatch(JSON.stringify(body), /\/tmp\/|\.ts:|node_modules|at \w+ \(/);
  return body;
}
