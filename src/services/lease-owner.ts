/**
 * Whose lease it is: a worker signs with the name of its process, so that the sweeper can tell a dead one's leases, and a
 * part of its own for each lease: what an attempt that was thought lost says later must not count for the next one.
 */
import { randomUUID } from 'node:crypto';
import { ownerIsGone } from '../ports/process-owner.ts';

export { processOwner as leaseOwner } from '../ports/process-owner.ts';

/** @param owner a process, as `leaseOwner` names it */
export const newLease = (owner: string): string => `${owner}/${randomUUID()}`;

/** True only where it is certain that the process of the lease is no more. */
export const isGone = (lease: string): boolean => ownerIsGone(lease.split('/', 1)[0]!);
