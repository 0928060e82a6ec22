/** OpenAPI 3.1 from the operation table. https://spec.openapis.org/oas/v3.1.1.html */
import { z } from 'zod';
import { PROBLEMS, type ProblemCode } from '../problem.ts';
import { COMMON_PROBLEMS, type Operation, type ResponseSpec, type StreamedBody } from './operation.ts';
import { planParameters } from './plan-parameters.ts';
import { problemSchema } from './resources.ts';

type Json = Record<string, unknown>;

export interface OpenApiDocument extends Json {
  openapi: string;
  paths: Record<string, Record<string, Json>>;
  components: Record<string, Json>;
}

const DESCRIPTION = `A photo in, the right pictures out.

Errors are problem documents (\`application/problem+json\`, RFC 9457): decide on \`code\`, which is stable.
Every answer carries \`X-Request-Id\`; a sane one that the request brings is used, so that logs can be matched.`;

const BYTES = { type: 'string', format: 'binary', contentMediaType: 'application/octet-stream' } as const;
const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** A document of plain JSON values, made anew each time. */
export function openApiDocument(
  operations: Readonly<Record<string, Operation>>,
  { version }: { version: string },
): OpenApiDocument {
  const schemas = new Components();
  const paths: Record<string, Record<string, Json>> = {};
  for (const [id, operation] of Object.entries(operations)) {
    paths[operation.path] ??= {};
    paths[operation.path]![operation.method.toLowerCase()] = describe(id, operation, schemas);
  }
  const all = Object.values(operations);
  return {
    openapi: '3.1.1',
    info: {
      title: 'Tintype',
      version,
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(all.flatMap(({ tags }) => tags))].map((name) => ({ name })),
    paths,
    components: {
      schemas: schemas.all,
      ...(all.some(({ auth }) => auth !== 'none') && {
        securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      }),
    },
  };
}

/** The codes that an operation may answer, its own first. */
export function problemCodes(operation: Operation): ProblemCode[] {
  const token: ProblemCode[] = operation.auth === 'none' ? [] : ['unauthorized', 'forbidden'];
  const common = COMMON_PROBLEMS.filter((code) => code !== 'shutting_down' || !operation.whileDraining);
  return [...new Set([...operation.problems, ...token, ...common])];
}

/** Codes by the status that they answer with, lowest first. */
export function codesByStatus(codes: readonly ProblemCode[]): [number, ProblemCode[]][] {
  const groups = Map.groupBy(codes, (code) => PROBLEMS[code].status);
  return [...groups].sort(([a], [b]) => a - b);
}

/** Turns schemas into JSON Schema, and moves those that have a name to the document's components. */
class Components {
  readonly all: Record<string, unknown> = {};

  schema(schema: z.ZodType, io: 'input' | 'output'): Json {
    const { $schema: _, $defs, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
    for (const [name, definition] of Object.entries($defs ?? {})) this.all[name] = rebased(definition);
    return rebased(rest) as Json;
  }
}

/** zod points into the schema's own `$defs`; a document keeps its schemas elsewhere. */
function rebased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rebased);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) =>
    key === '$ref' && typeof inner === 'string'
      ? [key, inner.replace('#/$defs/', '#/components/schemas/')]
      : [key, rebased(inner)],
  );
  return Object.fromEntries(entries);
}

function describe(id: string, operation: Operation, schemas: Components): Json {
  const parameters = parametersOf(operation, schemas);
  const { body, auth, example } = operation;
  return {
    operationId: id,
    summary: operation.summary,
    ...(operation.description && { description: operation.description }),
    tags: [...operation.tags],
    ...(auth !== 'none' && { security: [{ token: [...auth.scopes] }, ...(auth.optional ? [{}] : [])] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: {
        ...(body.description && { description: body.description }),
        required: true,
        content:
          body.kind === 'json'
            ? { 'application/json': { schema: schemas.schema(body.schema, 'input') } }
            : streamedContent(body, schemas),
      },
    }),
    responses: responsesOf(operation, schemas),
    ...(example && { 'x-codeSamples': [{ lang: 'Shell', source: example }] }),
  };
}

function parametersOf(operation: Operation, schemas: Components): Json[] {
  const fromObject = (object: z.ZodObject | undefined, where: 'path' | 'query'): Json[] => {
    if (!object) return [];
    const { properties = {}, required = [] } = schemas.schema(object, 'input') as {
      properties?: Record<string, Json>;
      required?: string[];
    };
    return Object.entries(properties).map(([name, { description, ...schema }]) => ({
      name,
      in: where,
      required: where === 'path' || required.includes(name),
      ...(description !== undefined && { description }),
      schema,
    }));
  };
  const ofPlan = operation.plan ? planParameters() : [];
  const headers = Object.entries(operation.requestHeaders ?? {}).map(([name, { description, schema }]) => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: schemas.schema(schema, 'input'),
  }));
  return [
    ...fromObject(operation.params, 'path'),
    ...fromObject(operation.query, 'query'),
    ...headers,
    ...ofPlan.map(({ name, aliases, description, schema }) => ({
      name,
      in: 'query',
      required: false,
      description: aliases.length > 0 ? `${description} Also \`${aliases.join('`, `')}\`.` : description,
      schema,
      ...(schema.type === 'boolean' && { allowEmptyValue: true }),
    })),
  ];
}

function streamedContent(body: StreamedBody, schemas: Components): Json {
  const files = Object.entries(body.files);
  const form = body.fields ? schemas.schema(body.fields, 'input') : {};
  const required = [
    ...files.filter(([, file]) => file.required).map(([name]) => name),
    ...((form.required as string[] | undefined) ?? []),
  ];
  const schema = {
    type: 'object',
    properties: {
      ...Object.fromEntries(files.map(([name, file]) => [name, fileSchema(file)])),
      ...(form.properties as Json | undefined),
    },
    required,
    additionalProperties: false,
  };
  const bare = (body.bare ?? []).map((type) => [type, { schema: BYTES }]);
  return {
    ...(files.length > 0 && { 'multipart/form-data': { schema } }),
    ...Object.fromEntries(bare),
  };
}

const fileSchema = ({ description, most }: StreamedBody['files'][string]): Json =>
  most === undefined
    ? { ...BYTES, description }
    : { type: 'array', items: BYTES, minItems: 1, maxItems: most, description };

function responsesOf(operation: Operation, schemas: Components): Record<string, Json> {
  const responses: Record<string, Json> = {};
  for (const [status, spec] of Object.entries(operation.responses)) {
    responses[status] = response(spec, schemas);
  }
  const problem = schemas.schema(problemSchema, 'output');
  for (const [status, codes] of codesByStatus(problemCodes(operation))) {
    const same = responses[status];
    const retry = codes.some((code) => PROBLEMS[code].retryable) && status !== 500;
    responses[status] = {
      description: [
        ...(same ? [same.description] : []),
        ...codes.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`),
      ].join('\n\n'),
      headers: {
        ...(same?.headers as Json | undefined),
        ...REQUEST_ID,
        ...(retry && {
          'Retry-After': {
            description: 'Seconds to wait before trying again.',
            schema: { type: 'integer', minimum: 0 },
          },
        }),
      },
      content: {
        ...(same?.content as Json | undefined),
        [PROBLEM_MEDIA_TYPE]: {
          schema: { allOf: [problem, { properties: { code: { enum: codes }, status: { const: status } } }] },
        },
      },
    };
  }
  return responses;
}

const REQUEST_ID = {
  'X-Request-Id': { description: 'Names this request in the logs.', schema: { type: 'string' } },
};

function response(spec: ResponseSpec, schemas: Components): Json {
  const headers = Object.entries(spec.headers ?? {}).map(([name, { description, schema }]) => [
    name,
    { description, schema: schemas.schema(schema, 'output') },
  ]);
  const isText = (type: string): boolean => type.startsWith('text/');
  const content = spec.schema
    ? {
        'application/json': {
          schema: schemas.schema(spec.schema, 'output'),
          ...(spec.example !== undefined && { example: spec.example }),
        },
      }
    : spec.content &&
      Object.fromEntries(
        spec.content.map((type) => [type, { schema: isText(type) ? { type: 'string' } : BYTES }]),
      );
  return {
    description: spec.description,
    headers: { ...REQUEST_ID, ...Object.fromEntries(headers) },
    ...(content && { content }),
  };
}
