/** The header that names a request, so that it can be sent again: draft-ietf-httpapi-idempotency-key-header. */
import type { FastifyRequest } from 'fastify';
import { Problem } from '../problem.ts';

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/** @throws Problem `invalid_field` */
export function idempotencyKeyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && IDEMPOTENCY_KEY.test(key)) return key;
  const message = 'expected 1 to 255 visible ASCII characters';
  const errors = [{ path: 'Idempotency-Key', message }];
  throw new Problem('invalid_field', { detail: `The header Idempotency-Key is wrong: ${message}.`, errors });
}
