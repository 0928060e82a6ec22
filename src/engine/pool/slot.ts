/**
 * A seat of the pool that always has, or is about to have, a child in it. A child that dies is replaced; one
 * that has grown old is replaced by a successor, which is started while the old one still works.
 */
import type { Exit, Member, MemberHooks } from './member.ts';

const FIRST_BACK_OFF_MS = 50;
const MAX_BACK_OFF_MS = 30_000;
/** So many children in a row that died before they began a task: the installation is at fault, not an image. */
export const MAX_START_FAILURES = 5;

/** Failures in a row, of all the seats together: what keeps one child from starting keeps them all. */
export class StartRecord {
  failures = 0;
  /** How the last one died, for the log. */
  last: Exit | undefined;

  get backOffMs(): number {
    return this.failures === 0 ? 0 : Math.min(FIRST_BACK_OFF_MS * 2 ** (this.failures - 1), MAX_BACK_OFF_MS);
  }
}

export interface SlotHooks {
  /** @throws where not even its folder can be made */
  spawn(hooks: MemberHooks): Member;
  /** The seat's child can take a task. */
  idle(slot: Slot): void;
  /** A child has ended. */
  exit(exit: Exit): void;
}

export class Slot {
  /** The child that tasks go to; it may be starting still. */
  member: Member | undefined;
  #successor: Member | undefined;
  /** All that live, those included that have been replaced and are about to end. */
  readonly members = new Set<Member>();
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #emptied = () => {};
  readonly #starts: StartRecord;
  readonly #hooks: SlotHooks;

  constructor(starts: StartRecord, hooks: SlotHooks) {
    this.#starts = starts;
    this.#hooks = hooks;
  }

  /** Has a child that has come up. */
  get ready(): boolean {
    return this.member?.ready ?? false;
  }

  start(): void {
    this.member ??= this.#spawn();
  }

  /** Starts a successor; the present child serves on until that one is ready. */
  renew(): void {
    if (!this.#closed && this.member) this.#successor ??= this.#spawn();
  }

  /** Kills what it has; resolves when that is gone. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    if (this.members.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#emptied = resolve;
    for (const member of this.members) member.kill('retired');
    await promise;
  }

  #spawn(): Member | undefined {
    try {
      const member = this.#hooks.spawn({
        idle: () => this.#idle(),
        exit: (exit) => this.#exited(member, exit),
      });
      this.members.add(member);
      return member;
    } catch (error) {
      const exit: Exit = { code: null, signal: null, stderr: String(error) };
      this.#startFailed(exit);
      this.#hooks.exit(exit);
      return undefined;
    }
  }

  #idle(): void {
    if (this.#closed) return;
    if (this.#successor?.state === 'idle' && this.member?.state !== 'busy') {
      const old = this.member;
      this.member = this.#successor;
      this.#successor = undefined;
      old?.kill('retired');
    }
    if (this.member?.state !== 'idle') return;
    if (this.member.taskCount > 0) this.#starts.failures = 0;
    this.#hooks.idle(this);
  }

  #exited(member: Member, exit: Exit): void {
    this.members.delete(member);
    const diedUnasked = exit.reason === undefined || exit.reason === 'unresponsive';
    if (member === this.#successor) this.#successor = undefined;
    else if (member === this.member) {
      this.member = this.#successor;
      this.#successor = undefined;
    }
    if (this.#closed) {
      this.#hooks.exit(exit);
      if (this.members.size === 0) this.#emptied();
      return;
    }
    if (diedUnasked && member.taskCount === 0) this.#startFailed(exit);
    else if (!this.member) this.start();
    this.#hooks.exit(exit);
    this.#idle();
  }

  #startFailed(exit: Exit): void {
    this.#starts.failures += 1;
    this.#starts.last = exit;
    if (this.member || this.#closed) return; // it was a successor: asked for again when a task ends
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.start(), this.#starts.backOffMs);
    // Nothing can be waiting for a pool that is down, so that it keeps no process from ending.
    if (this.#starts.failures >= MAX_START_FAILURES) this.#retry.unref();
  }
}
