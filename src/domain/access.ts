/** Who may do what, decided from a token's claims and an image's row alone. */
import type { Scope } from '../contract/operation.ts';
import type { Visibility } from '../contract/policies.ts';
import { Problem } from '../problem.ts';

/** Who is asking, as a valid token says. */
export interface Principal {
  /** The token's `sub`; what it uploads belongs to it. */
  subject: string;
  /** With those that they imply: `write` brings `read`, `admin` brings both. */
  scopes: ReadonlySet<Scope>;
  /** The only buckets that the token is for; all of them when absent. */
  buckets?: ReadonlySet<string>;
}

/** What of an image decides about access. */
export interface Owned {
  owner: string;
  bucket: string;
}

/** @throws Problem `forbidden` */
export function requireScope(principal: Principal, scope: Scope): void {
  if (principal.scopes.has(scope)) return;
  throw new Problem('forbidden', { detail: `This needs a token with the scope ${scope}.` });
}

/** An admin's token that names buckets is held to them as well. @throws Problem `forbidden` */
export function requireBucket(principal: Principal, bucket: string): void {
  if (mayUse(principal, bucket)) return;
  throw new Problem('forbidden', { detail: `The token is not for the bucket ${bucket}.` });
}

/** @throws Problem `forbidden` where the image is somebody else's and the principal no admin, or of another bucket */
export function requireOwner(principal: Principal, image: Owned): void {
  requireBucket(principal, image.bucket);
  if (owns(principal, image)) return;
  throw new Problem('forbidden', { detail: 'The image belongs to somebody else.' });
}

/** Whether an image may be looked at: a public one by anybody, a private one by its owner and by admins. */
export function canSee(principal: Principal | undefined, image: Owned & { visibility: Visibility }): boolean {
  if (image.visibility === 'public') return true;
  if (!principal?.scopes.has('read')) return false;
  return mayUse(principal, image.bucket) && owns(principal, image);
}

const mayUse = ({ buckets }: Principal, bucket: string): boolean => buckets?.has(bucket) ?? true;

const owns = ({ subject, scopes }: Principal, { owner }: Owned): boolean =>
  scopes.has('admin') || subject === owner;
