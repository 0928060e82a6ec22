/** Headers that every answer carries, and cross-origin access. */
import type { FastifyReply, FastifyRequest } from 'fastify';

/** What fits an API: nothing here is to be framed, sniffed or run. */
export const defaultHeaders: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};

/** A picture opened by itself must run nothing, whatever it holds. */
export const IMAGE_CSP = "default-src 'none'; sandbox";

const EXPOSED =
  'Content-Disposition, X-Image-Width, X-Image-Height, X-Request-Id, Retry-After, Server-Timing, Location, ETag, Content-Range, Repr-Digest, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset';
const PREFLIGHT_MAX_AGE_SECONDS = 600;

/**
 * Lets pages of the named origins read the answers; `*` lets any. Credentials are never allowed: tokens travel in
 * a header that the page sets by itself.
 */
export class CrossOrigin {
  readonly #any: boolean;
  readonly #origins: ReadonlySet<string>;

  constructor(origins: readonly string[]) {
    this.#any = origins.includes('*');
    this.#origins = new Set(origins);
  }

  /** Adds what the origin of this request may see. */
  apply(request: FastifyRequest, reply: FastifyReply): void {
    if (!this.#any && this.#origins.size === 0) return;
    const allowed = this.#any ? '*' : this.#allowed(request);
    if (!this.#any) reply.header('vary', 'Origin');
    if (!allowed) return;
    reply.header('access-control-allow-origin', allowed);
    reply.header('access-control-expose-headers', EXPOSED);
  }

  /** Adds the answer to a browser's question before the real request. */
  applyPreflight(request: FastifyRequest, reply: FastifyReply, methods: readonly string[]): void {
    if (reply.getHeader('access-control-allow-origin') === undefined) return;
    const asked = request.headers['access-control-request-headers'];
    reply.header('access-control-allow-methods', methods.join(', '));
    if (asked && /^[\w\-, ]{1,512}$/.test(asked)) reply.header('access-control-allow-headers', asked);
    reply.header('access-control-max-age', PREFLIGHT_MAX_AGE_SECONDS);
  }

  #allowed(request: FastifyRequest): string | undefined {
    const { origin } = request.headers;
    return origin !== undefined && this.#origins.has(origin) ? origin : undefined;
  }
}
