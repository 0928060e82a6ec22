/** The vocabulary that the operation table is written in. */
import type { z } from 'zod';
import type { ProblemCode } from '../problem.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export const SCOPES = ['read', 'write', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** A JSON body, parsed and validated before the handler runs. */
export interface JsonBody {
  kind: 'json';
  description?: string;
  schema: z.ZodType;
  /** Where a Plan stands in it, `''` for the body itself: what is wrong there alone is `invalid_plan`. */
  planAt?: string;
  /** Larger bodies are `upload_too_large`; 1 MiB when absent. */
  maxBytes?: number;
}

/** A body that the handler streams: the server parses nothing and buffers nothing. */
export interface StreamedBody {
  kind: 'stream';
  description?: string;
  /** Multipart parts that carry files, by field name; where there are none, the body is always bare. `most`: a list. */
  files: Record<string, { description: string; required: boolean; most?: number }>;
  /** The other multipart fields. */
  fields?: z.ZodObject;
  /** Media types whose body may stand for the first file without any multipart around it. */
  bare?: readonly string[];
}

export interface HeaderSpec {
  description: string;
  schema: z.ZodType;
}

/** One of `schema` (JSON), `content` (any other media types) or neither (no body). */
export interface ResponseSpec {
  description: string;
  schema?: z.ZodType;
  content?: readonly string[];
  headers?: Readonly<Record<string, HeaderSpec>>;
  /** Of a JSON body. */
  example?: unknown;
}

export interface Operation {
  method: Method;
  /** OpenAPI's spelling: `/images/{image_id}`. */
  path: string;
  summary: string;
  /** CommonMark. */
  description?: string;
  tags: readonly string[];
  /**
   * `none`, or a bearer token that carries every one of the scopes. Where it is optional, a request without a token is
   * let in and a token that is given must be valid all the same: for what is public in part.
   */
  auth: 'none' | { scopes: readonly Scope[]; optional?: true };
  params?: z.ZodObject;
  /** Strict: an unknown or repeated parameter is `invalid_field`. Without a query schema, and without `plan`, the query is not looked at. */
  query?: z.ZodObject;
  /** Headers that decide something; the handler reads them. */
  requestHeaders?: Readonly<Record<string, HeaderSpec>>;
  /** The query spells a Plan as well, beside what `query` names. */
  plan?: true;
  body?: JsonBody | StreamedBody;
  responses: Readonly<Record<number, ResponseSpec>>;
  /** What it may answer beyond `COMMON_PROBLEMS`. */
  problems: readonly ProblemCode[];
  /** Still answered while the server drains. */
  whileDraining?: true;
  /** Shell example, with `$URL` for the service's address. */
  example?: string;
}

/** What any operation may answer. */
export const COMMON_PROBLEMS = [
  'malformed_request',
  'internal',
  'shutting_down',
] as const satisfies ProblemCode[];
