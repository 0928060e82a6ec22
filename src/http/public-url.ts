/** The address that clients reach the service by, for URLs in answers that are used elsewhere. */
import type { FastifyRequest } from 'fastify';
import { Problem } from '../problem.ts';

/**
 * PUBLIC_URL, or what this request was sent to. Without a slash at the end.
 * @throws Problem `malformed_request` where the request names no host that a URL could hold
 */
export function baseUrl(request: FastifyRequest, publicUrl: string | undefined): string {
  if (publicUrl !== undefined) return publicUrl;
  const { host, protocol } = request;
  const url = URL.parse(`${protocol}://${host}`);
  // A host with a path, a query or a user in it would lead somewhere else.
  if (!host || url?.href !== `${url?.origin}/`) {
    throw new Problem('malformed_request', { detail: 'The header Host names no host.' });
  }
  return url.origin;
}
