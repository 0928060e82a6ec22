/** Asks the service as its clients do, and holds every answer against the published OpenAPI document. */
import assert from 'node:assert/strict';
import { OPERATIONS, type OperationId } from '../../src/contract/operations.ts';
import { assertPublished } from './published.ts';
import { type Accepted, formOf, type Part } from './uploads.ts';

const REQUEST_TIMEOUT_MS = 60_000;

export interface Ask {
  /** For the path. */
  params?: Record<string, string>;
  query?: Record<string, string>;
  headers?: Record<string, string>;
}

export interface Answer<T> {
  status: number;
  /** JSON where it is; bytes otherwise. */
  body: T;
}

export class ApiClient {
  readonly #address: string;
  readonly #headers: Record<string, string>;

  /** @param token nobody's when absent */
  constructor(address: string, token?: string) {
    this.#address = address;
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  async ask<T = Record<string, unknown>>(id: OperationId, ask: Ask = {}): Promise<Answer<T>> {
    const response = await this.open(id, ask);
    return read<T>(id, response);
  }

  /** The answer as it begins, for a stream. */
  open(id: OperationId, { params = {}, query = {}, headers = {} }: Ask = {}): Promise<Response> {
    const { method, path } = OPERATIONS[id];
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name]!));
    const url = new URL(filled, this.#address);
    url.search = new URLSearchParams(query).toString();
    return fetch(url, {
      method,
      headers: { ...this.#headers, ...headers },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
  }

  async upload<T = Accepted>(parts: readonly Part[]): Promise<Answer<T>> {
    const { method, path } = OPERATIONS.upload_images;
    const response = await fetch(this.#address + path, {
      method,
      body: formOf(parts),
      headers: this.#headers,
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    return read<T>('upload_images', response);
  }

  /** @param url that the service gave, of a picture */
  async bytesOf(url: string, accept: string): Promise<Buffer> {
    const response = await fetch(url, {
      headers: { ...this.#headers, accept },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    assertPublished('read_image', response, undefined);
    assert.equal(response.status, 200, url);
    return Buffer.from(await response.arrayBuffer());
  }
}

async function read<T>(id: OperationId, response: Response): Promise<Answer<T>> {
  const isJson = /json$/.test(response.headers.get('content-type')?.split(';')[0] ?? '');
  const body = isJson ? await response.json() : Buffer.from(await response.arrayBuffer());
  assertPublished(id, response, body);
  return { status: response.status, body: body as T };
}

/** Works on all of them, so many at a time; the results are in their order. */
export async function eachOf<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const waiting = items.entries();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const [i, item] of waiting) results[i] = await work(item, i);
    }),
  );
  return results;
}
