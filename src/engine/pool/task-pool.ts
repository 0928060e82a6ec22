/**
 * Runs tasks of a task module in child processes, one task a child at a time. Whatever a task does to its child
 * – crash, hang, grow – costs that child and that task; the rest go on and the child is replaced.
 *
 * ```
 * run() → waiting ──→ a child takes it ──→ started ──→ done → idle → next
 *            │ abort        │ child gone: back to the front, once
 *            ▼              ▼ deadline, memory, crash, abort: the child's group is killed
 *         cancelled      processing_timeout · memory_exceeded · decoder_crashed · cancelled
 * ```
 */
import { availableParallelism } from 'node:os';
import { Problem } from '../../problem.ts';
import type { Limits } from '../limits.ts';
import type { PoolEvent, PoolStats } from './events.ts';
import { ChildExit, Member, type MemberHooks, NotStarted } from './member.ts';
import type { EventOf, InputOf, OutputOf, TaskTable } from './protocol.ts';
import { SAMPLE_EVERY_MS, sampleResidentBytes } from './rss.ts';
import { type Scratch, sweep, Workspace } from './scratch.ts';
import { MAX_START_FAILURES, Slot, StartRecord } from './slot.ts';
import { WaitingList } from './waiting.ts';

export interface PoolOptions {
  /** Children that work at the same time; one for each core that this process may use when absent. */
  size?: number;
  /** Folder for temporary files; made if it is missing. May be shared by several processes. */
  workDir: string;
  /** Tasks that may wait before further ones are refused as `overloaded`; no bound when absent. */
  maxWaiting?: number;
  /** A child is replaced after so many tasks. */
  maxTasksPerChild?: number;
  /** A child that holds more than this after a task is replaced. */
  maxIdleRssBytes?: number;
  /** A child that is not ready after this long is replaced. */
  startTimeoutMs?: number;
  /** For logs and metrics; must not throw. */
  onEvent?: (event: PoolEvent) => void;
}

export interface RunOptions<Event = never> {
  limits: Pick<Limits, 'timeoutMs' | 'maxMemoryBytes'>;
  signal?: AbortSignal | undefined;
  /** Called with each event of the task, before its result arrives. What it throws fails the task. */
  report?: ((event: Event) => void) | undefined;
  /** Higher goes first among the waiting; 0 when absent. */
  priority?: number | undefined;
  /** Waits however many do: for whoever bounds by other means how much is asked for. */
  patient?: boolean | undefined;
}

interface Pending {
  kind: string;
  input: unknown;
  limits: RunOptions['limits'];
  priority: number;
  report: ((event: unknown) => void) | undefined;
  queuedAt: number;
  startedAt: number;
  member: Member | undefined;
  wasPutBack: boolean;
  settle: (outcome: { value: unknown; peakRssBytes: number } | Problem) => void;
}

const DEFAULT_GRACE_MS = 10_000;
/** At idle children. */
const LOOK_EVERY_MS = 500;

export class TaskPool<T extends TaskTable> implements AsyncDisposable {
  readonly size: number;
  readonly #taskModule: URL;
  readonly #options: PoolOptions;
  readonly #slots: Slot[];
  readonly #starts = new StartRecord();
  readonly #waiting = new WaitingList<Pending>();
  readonly #running = new Set<Pending>();
  readonly #warm = Promise.withResolvers<void>();
  readonly #graceOver = Promise.withResolvers<void>();
  #opening: Promise<Workspace> | undefined;
  #workspace: Workspace | undefined;
  #closing: Promise<void> | undefined;
  #drained = () => {};
  #sampler: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  #meanRunMs = 1_000;
  #counts = { restarts: 0, recycled: 0, completed: 0, failed: 0 };
  #peakRssBytes = 0;

  /** @param taskModule exports `tasks` and, if it likes, `warmUp`; loaded by the children only */
  constructor(taskModule: URL, options: PoolOptions) {
    this.#taskModule = taskModule;
    this.#options = options;
    this.size = options.size ?? availableParallelism();
    this.#slots = Array.from(
      { length: this.size },
      () =>
        new Slot(this.#starts, {
          spawn: (hooks) => this.#spawn(hooks),
          idle: (slot) => this.#slotIdle(slot),
          exit: () => this.#slotLost(),
        }),
    );
    this.#warm.promise.catch(() => {}); // heard by those who call start()
  }

  /**
   * Starts the children and removes what dead processes left in the work folder. `run` does it as well, so this
   * is for those who want the first task to be quick. Resolves when the children are ready.
   * @throws Problem `dependency_down` where no child comes up
   */
  async start(): Promise<void> {
    if (this.#closing) throw new Problem('shutting_down');
    await this.#open();
    await this.#warm.promise;
  }

  /**
   * @throws Problem: what the task threw; `processing_timeout`, `memory_exceeded`, `decoder_crashed`, `cancelled`;
   * `overloaded`, `dependency_down` and `shutting_down` where it was not begun
   */
  async run<K extends keyof T & string>(
    kind: K,
    input: InputOf<T[K]>,
    { limits, signal, report, priority = 0, patient = false }: RunOptions<EventOf<T[K]>>,
  ): Promise<OutputOf<T[K]>> {
    if (this.#closing) throw new Problem('shutting_down');
    if (signal?.aborted) throw new Problem('cancelled', { cause: signal.reason });
    if (this.#down) throw this.#downProblem();
    const { maxWaiting = Number.POSITIVE_INFINITY } = this.#options;
    if (!patient && this.#waiting.length >= maxWaiting && this.#idleSlots().length === 0) {
      throw this.#overloadedProblem();
    }

    const { promise, resolve, reject } = Promise.withResolvers<OutputOf<T[K]>>();
    const task: Pending = {
      kind,
      input,
      limits,
      priority,
      report: report && ((event) => report(event as EventOf<T[K]>)),
      queuedAt: performance.now(),
      startedAt: 0,
      member: undefined,
      wasPutBack: false,
      settle: (outcome) => {
        signal?.removeEventListener('abort', abort);
        this.#settled(task, outcome);
        if (outcome instanceof Problem) reject(outcome);
        else resolve(outcome.value as OutputOf<T[K]>);
      },
    };
    const abort = () => {
      const cancelled = new Problem('cancelled', { cause: signal?.reason });
      if (this.#waiting.remove(task)) task.settle(cancelled);
      else task.member?.kill(cancelled);
    };
    signal?.addEventListener('abort', abort, { once: true });
    this.#waiting.add(task);
    this.#open().catch((error) => this.#failWaiting(Problem.from(error)));
    this.#dispatch();
    return promise;
  }

  /**
   * A temporary folder of the caller's own, in the work folder.
   * @throws Problem `storage_full`, `dependency_down`, `shutting_down`
   */
  async scratch(): Promise<Scratch> {
    if (this.#closing) throw new Problem('shutting_down');
    return (await this.#open()).folder('task');
  }

  stats(): PoolStats {
    const members = this.#members();
    return {
      size: this.size,
      busy: members.filter(({ state }) => state === 'busy').length,
      idle: this.#idleSlots().length,
      waiting: this.#waiting.length,
      down: this.#down,
      ...this.#counts,
      rssBytes: Object.fromEntries(members.map(({ pid, rssBytes }) => [pid ?? 0, rssBytes])),
      peakRssBytes: this.#peakRssBytes,
    };
  }

  /**
   * Takes no further tasks, lets those that run or wait finish, and kills what is left after `graceMs`; calling
   * again with less shortens it. Scratch folders that are still held are their holders' to remove.
   */
  close({ graceMs = DEFAULT_GRACE_MS }: { graceMs?: number } = {}): Promise<void> {
    const timer = setTimeout(this.#graceOver.resolve, graceMs);
    this.#closing ??= this.#close();
    return this.#closing.finally(() => clearTimeout(timer));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(): Promise<Workspace> {
    this.#opening ??= (async () => {
      const workspace = await Workspace.open(this.#options.workDir);
      this.#workspace = workspace;
      for (const slot of this.#slots) slot.start();
      for (const failure of await sweep(this.#options.workDir))
        this.#emit({ type: 'sweep_failed', ...failure });
      return workspace;
    })().catch((error) => {
      this.#opening = undefined; // the next task tries again
      throw error;
    });
    return this.#opening;
  }

  #spawn(hooks: MemberHooks): Member {
    const workspace = this.#workspace;
    if (!workspace) throw new Error('the pool has no work folder');
    const begun = performance.now();
    let announced = false;
    const member: Member = new Member(this.#taskModule, workspace, this.#options.startTimeoutMs ?? 30_000, {
      idle: () => {
        if (!announced)
          this.#emit({ type: 'child_started', pid: member.pid ?? 0, startMs: performance.now() - begun });
        announced = true;
        hooks.idle();
      },
      exit: (exit) => {
        this.#counts[exit.reason === 'retired' ? 'recycled' : 'restarts'] += this.#closing ? 0 : 1;
        this.#emit({ type: 'child_exited', pid: member.pid, ...exit });
        hooks.exit(exit);
      },
    });
    return member;
  }

  #slotIdle(slot: Slot): void {
    this.#settleWarm();
    this.#look([slot]);
    this.#dispatch();
  }

  /**
   * At what children hold between two tasks, their descendants included, and at their age. Of short tasks that follow each
   * other not after each, but always after the last: a look costs what a hundred lines of a log do.
   */
  #look(slots: Slot[]): void {
    const members = slots.flatMap(({ member }) => (member ? [member] : []));
    const renew = () => {
      for (const slot of slots) if (slot.member && this.#isOld(slot.member)) slot.renew();
    };
    if (this.#looking) {
      renew();
      return;
    }
    this.#looking = setTimeout(() => {
      this.#looking = undefined;
      const unseen = this.#idleSlots().filter(({ member }) => member?.isUnseen);
      if (unseen.length > 0) this.#look(unseen);
    }, LOOK_EVERY_MS).unref();
    void this.#sample(members).then(renew);
  }

  #slotLost(): void {
    this.#settleWarm();
    if (this.#down) this.#failWaiting(this.#downProblem());
  }

  #settleWarm(): void {
    if (this.#slots.every(({ ready }) => ready)) this.#warm.resolve();
    else if (this.#down) this.#warm.reject(this.#downProblem());
    else if (this.#starts.failures >= MAX_START_FAILURES) this.#warm.resolve(); // fewer, but at work
  }

  #isOld({ state, taskCount, rssBytes }: Member): boolean {
    const { maxTasksPerChild = 500, maxIdleRssBytes = 600 * 1024 * 1024 } = this.#options;
    return state !== 'dead' && (taskCount >= maxTasksPerChild || rssBytes > maxIdleRssBytes);
  }

  #dispatch(): void {
    for (const { member } of this.#idleSlots()) {
      const task = this.#waiting.take();
      if (!task || !member) return;
      void this.#execute(member, task);
    }
  }

  async #execute(member: Member, task: Pending): Promise<void> {
    task.member = member;
    task.startedAt = performance.now();
    this.#running.add(task);
    this.#sampler ??= setInterval(() => void this.#sample(this.#busyMembers()), SAMPLE_EVERY_MS);
    const { kind, input, report, limits } = task;
    try {
      task.settle(await member.run({ kind, input, report, ...limits }));
    } catch (error) {
      if (!(error instanceof NotStarted) || task.wasPutBack) {
        // An input that twice ended a child before it could begin is what ends it.
        task.settle(error instanceof Problem ? error : new Problem('decoder_crashed', { cause: error }));
        return;
      }
      this.#running.delete(task);
      task.member = undefined;
      task.wasPutBack = true;
      this.#waiting.putBack(task);
      if (this.#down) this.#failWaiting(this.#downProblem());
      this.#dispatch();
    }
  }

  #settled(task: Pending, outcome: { peakRssBytes: number } | Problem): void {
    this.#running.delete(task);
    task.member = undefined;
    const now = performance.now();
    const ranMs = task.startedAt === 0 ? 0 : now - task.startedAt;
    const failed = outcome instanceof Problem;
    this.#counts[failed ? 'failed' : 'completed'] += 1;
    if (!failed) this.#meanRunMs += (ranMs - this.#meanRunMs) / 10;
    this.#emit({
      type: 'task_finished',
      kind: task.kind,
      ...(failed && { problem: outcome.code }),
      waitedMs: (task.startedAt || now) - task.queuedAt,
      ranMs,
      peakRssBytes: failed ? 0 : outcome.peakRssBytes,
    });
    if (this.#running.size > 0) return;
    clearInterval(this.#sampler);
    this.#sampler = undefined;
    if (this.#waiting.length === 0) this.#drained();
  }

  async #sample(members: Member[]): Promise<void> {
    const found = await sampleResidentBytes(members.map(({ pid }) => pid ?? 0)).catch((error) => {
      // A bound that cannot be watched is not to be taken for kept.
      for (const task of this.#running) task.member?.kill(new Problem('internal', { cause: error }));
      return new Map<number, number>();
    });
    for (const member of members) {
      const bytes = found.get(member.pid ?? 0);
      if (bytes !== undefined) member.sampled(bytes);
    }
    const sum = this.#members().reduce((total, { rssBytes }) => total + rssBytes, 0);
    this.#peakRssBytes = Math.max(this.#peakRssBytes, sum);
  }

  async #close(): Promise<void> {
    await this.#opening?.catch(() => {});
    if (this.#running.size + this.#waiting.length > 0) {
      const drained = new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
      await Promise.race([drained, this.#graceOver.promise]);
    }
    this.#failWaiting(new Problem('shutting_down'));
    for (const { member } of this.#running) member?.kill(new Problem('shutting_down'));
    await Promise.all(this.#slots.map((slot) => slot.close()));
    this.#warm.reject(new Problem('shutting_down'));
    await this.#workspace?.close();
  }

  #failWaiting(problem: Problem): void {
    for (const task of this.#waiting.takeAll()) task.settle(problem);
  }

  get #down(): boolean {
    return this.#starts.failures >= MAX_START_FAILURES && !this.#slots.some(({ ready }) => ready);
  }

  #downProblem(): Problem {
    return new Problem('dependency_down', {
      detail: 'The image engine cannot be started.',
      cause: this.#starts.last && new ChildExit(this.#starts.last),
      retryAfterSeconds: Math.ceil(this.#starts.backOffMs / 1000),
    });
  }

  #overloadedProblem(): Problem {
    const untilFreeMs = ((this.#waiting.length + 1) * this.#meanRunMs) / this.size;
    return new Problem('overloaded', {
      detail: 'Too many images are waiting already.',
      retryAfterSeconds: Math.min(Math.max(Math.ceil(untilFreeMs / 1000), 1), 60),
    });
  }

  #idleSlots(): Slot[] {
    return this.#slots.filter(({ member }) => member?.state === 'idle');
  }

  #busyMembers(): Member[] {
    return this.#members().filter(({ state }) => state === 'busy');
  }

  #members(): Member[] {
    return this.#slots.flatMap(({ members }) => [...members]);
  }

  #emit(event: PoolEvent): void {
    this.#options.onEvent?.(event);
  }
}
