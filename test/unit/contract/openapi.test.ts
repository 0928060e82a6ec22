import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { openApiDocument } from '../../../src/contract/openapi.ts';
import type { Operation } from '../../../src/contract/operation.ts';
import { OPERATIONS } from '../../../src/contract/operations.ts';
import { KEY_BY_NAME } from '../../../src/contract/plan-keys.ts';
import { PROBLEMS } from '../../../src/problem.ts';
import { createValidator, published, rebased } from '../../support/published.ts';

type Json = Record<string, unknown>;

const described = Object.entries(published.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

function* nodes(value: unknown): Generator<Json> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Json;
  for (const inner of Object.values(value)) yield* nodes(inner);
}

describe('the OpenAPI document', () => {
  it('is plain JSON', () => {
    assert.deepEqual(JSON.parse(JSON.stringify(published)), published);
  });

  it('has the members that OpenAPI 3.1 requires', () => {
    assert.match(published.openapi, /^3\.1\.\d+$/);
    assert.ok((published.info as Json).title && (published.info as Json).version);
    const ids = described.map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length);
    const tags = (published.tags as { name: string }[]).map(({ name }) => name);
    for (const { path, method, operation } of described) {
      const label = `${method} ${path}`;
      assert.match(path, /^\//);
      assert.match(method, /^(get|put|post|delete|patch)$/);
      assert.ok(
        (operation.tags as string[]).every((tag) => tags.includes(tag)),
        label,
      );
      const responses = Object.entries(operation.responses as Record<string, Json>);
      assert.ok(
        responses.some(([status]) => /^[23]\d\d$/.test(status)),
        label,
      );
      for (const [status, { description, headers, content }] of responses) {
        assert.match(status, /^[1-5]\d\d$/);
        assert.ok(typeof description === 'string' && description !== '', `${label} ${status}`);
        for (const part of Object.values({ ...(headers as Json), ...(content as Json) })) {
          assert.equal(typeof (part as Json).schema, 'object', `${label} ${status}`);
        }
      }
    }
  });

  it('declares every parameter once, and those of the path as required', () => {
    for (const { path, operation } of described) {
      const parameters = (operation.parameters ?? []) as { name: string; in: string; required: boolean }[];
      const keys = parameters.map((p) => `${p.in} ${p.name}`);
      assert.equal(new Set(keys).size, keys.length);
      const inPath = parameters.filter((p) => p.in === 'path');
      assert.ok(inPath.every(({ required }) => required));
      const inTemplate = Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => name);
      assert.deepEqual(inPath.map(({ name }) => name).sort(), inTemplate.sort());
    }
  });

  it('has only schemas that are valid JSON Schema 2020-12, and no reference into nothing', () => {
    const ajv = createValidator();
    let schemas = 0;
    for (const node of nodes(published)) {
      if (typeof node.schema !== 'object') continue;
      ajv.compile(rebased(node.schema) as object);
      schemas += 1;
    }
    for (const schema of Object.values(published.components.schemas ?? {})) {
      ajv.compile(rebased(schema) as object);
    }
    assert.ok(schemas > 20);
  });

  it('names for each problem status the codes that the operation may answer', () => {
    for (const [id, operation] of Object.entries<Operation>(OPERATIONS)) {
      const { responses } = published.paths[operation.path]![operation.method.toLowerCase()]!;
      for (const code of operation.problems) {
        const response = (responses as Record<string, Json>)[PROBLEMS[code].status];
        const content = (response?.content as Json)?.['application/problem+json'];
        assert.ok(JSON.stringify(content).includes(`"${code}"`), `${id} ${code}`);
      }
    }
  });

  it('gives examples that fit their schemas', () => {
    const ajv = createValidator();
    for (const { schema, example } of nodes(published)) {
      if (example === undefined || typeof schema !== 'object') continue;
      assert.ok(ajv.validate(rebased(schema) as object, example), ajv.errorsText());
    }
    for (const schema of Object.values(published.components.schemas ?? {}) as Json[]) {
      for (const example of (schema.examples ?? []) as unknown[]) {
        assert.ok(ajv.validate(rebased(schema) as object, example), ajv.errorsText());
      }
    }
  });

  it('offers for a conversion every key of a plan', () => {
    const parameters = published.paths['/convert']!.post!.parameters as {
      name: string;
      description: string;
    }[];
    for (const name of KEY_BY_NAME.keys()) {
      assert.ok(
        parameters.some((p) => p.name === name || p.description.includes(`\`${name}\``)),
        name,
      );
    }
  });

  it('describes tokens, form fields and shared schemas of operations that have such', () => {
    const shared = z.strictObject({ id: z.uuid() }).meta({ id: 'Shared' });
    const { paths, components } = openApiDocument(
      {
        upload: {
          method: 'POST',
          path: '/things/{thing_id}',
          summary: 'Upload',
          tags: ['Things'],
          auth: { scopes: ['write'] },
          params: z.strictObject({ thing_id: z.uuid() }),
          query: z.strictObject({ limit: z.coerce.number().int().max(50).optional() }),
          body: {
            kind: 'stream',
            files: { file: { description: 'It.', required: true } },
            fields: z.strictObject({ bucket: z.string(), preset: z.string().optional() }),
          },
          responses: { 202: { description: 'Taken.', schema: z.array(shared) } },
          problems: [],
        },
      },
      { version: '1' },
    );
    const operation = paths['/things/{thing_id}']!.post! as Record<string, Json>;
    assert.deepEqual(operation.security, [{ token: ['write'] }]);
    assert.deepEqual(components.securitySchemes, {
      token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    });
    const content = operation.requestBody!.content as Record<string, { schema: Json }>;
    const form = content['multipart/form-data']!.schema;
    assert.deepEqual(Object.keys(form.properties as Json), ['file', 'bucket', 'preset']);
    assert.deepEqual(form.required, ['file', 'bucket']);
    const accepted = operation.responses!['202'] as { content: Record<string, { schema: Json }> };
    assert.deepEqual(accepted.content['application/json']!.schema, {
      type: 'array',
      items: { $ref: '#/components/schemas/Shared' },
    });
    assert.ok((components.schemas as Json).Shared);
    assert.match(JSON.stringify(operation.responses), /unauthorized.*forbidden/);
  });

  it('says where a token may be left out', () => {
    const { paths } = openApiDocument(
      {
        look: {
          method: 'GET',
          path: '/things',
          summary: 'Look',
          tags: ['Things'],
          auth: { scopes: ['read'], optional: true },
          responses: { 200: { description: 'Seen.' } },
          problems: [],
        },
      },
      { version: '1' },
    );
    assert.deepEqual(paths['/things']!.get!.security, [{ token: ['read'] }, {}]);
  });
});
