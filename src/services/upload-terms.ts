/** What holds for an upload before anything of it was looked at: may it be, how large, of which types, what is made of it. */

import { shown } from '../contract/field-errors.ts';
import type { BucketPolicy, Policies } from '../contract/policies.ts';
import { type Principal, requireBucket, requireScope } from '../domain/access.ts';
import { expandPreset, type NamedPlan } from '../domain/presets.ts';
import { HEAD_BYTES, type Sniffed, sniff, unsupported } from '../engine/probe.ts';
import { Problem } from '../problem.ts';
import { atMost, type HeadInspection, readableBytes } from './intake.ts';

export interface UploadTerms {
  policy: BucketPolicy;
  preset: string;
  plans: NamedPlan[];
}

/**
 * @param preset as asked for; the bucket's when absent
 * @throws Problem `forbidden`, or `invalid_field` for a preset that is not there
 */
export function uploadTerms(
  principal: Principal,
  bucket: string,
  preset: string | undefined,
  policies: Policies,
): UploadTerms {
  requireScope(principal, 'write');
  requireBucket(principal, bucket);
  const policy = policies.policyFor(bucket);
  const name = preset ?? policy.preset;
  const found = policies.preset(name);
  if (!found) {
    const message = `expected one of ${policies.presetNames.join(', ')}, got ${shown(name)}`;
    const errors = [{ path: 'preset', message }];
    throw new Problem('invalid_field', { detail: `The preset is not known: ${message}.`, errors });
  }
  return { policy, preset: name, plans: expandPreset(found, policy) };
}

/** @throws Problem `upload_too_large` */
export function expectBytes(bytes: number, { maxBytes }: Pick<BucketPolicy, 'maxBytes'>): void {
  if (bytes <= maxBytes) return;
  const detail = `${atMost(maxBytes)}; it has ${readableBytes(bytes)}.`;
  throw new Problem('upload_too_large', { detail });
}

/** @throws Problem `unsupported_media_type` */
export function expectType(mime: string, { allowedMimeTypes }: Pick<BucketPolicy, 'allowedMimeTypes'>): void {
  if (allowedMimeTypes.has(mime)) return;
  const allowed = [...allowedMimeTypes].join(', ');
  const detail = `The file is ${mime}; expected one of ${allowed}.`;
  throw new Problem('unsupported_media_type', { detail });
}

/** Formats that their first bytes name for certain. Others may turn out to be another one of their family: TIFF a RAW. */
const CERTAIN: ReadonlySet<Sniffed['format']> = new Set(['jpeg', 'png', 'gif', 'webp', 'bmp', 'svg']);

/**
 * Refuses what is no image, and what the bucket does not take, by the first bytes.
 * @param policy asked when the bytes are here; undefined where the bucket is not known yet
 */
export function imagesOnly(policy: () => BucketPolicy | undefined): HeadInspection {
  return {
    bytes: HEAD_BYTES,
    look: (head) => {
      const sniffed = sniff(head);
      if (!sniffed) throw unsupported(head);
      const known = policy();
      if (known && CERTAIN.has(sniffed.format)) expectType(sniffed.mime, known);
    },
  };
}
