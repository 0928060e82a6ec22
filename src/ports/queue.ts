/**
 * Wakes workers. A delivery says "the catalog has something to do", and names the job that gave the reason; it carries
 * no work. The worker asks the catalog, which alone decides what is due, fair, leased, retried or dead:
 *
 *   for (;;) {
 *     while ((job = await catalog.leaseNext(…))) work(job);     // until nothing is due
 *     delivery = await queue.receive(pollMs, signal);           // undefined: time to look anyhow
 *     …lease as above, then delivery.ack(), or nack where the catalog did not answer
 *   }
 *
 * So a queue may lose, repeat, delay and reorder, and nobody notices more than a delay of `pollMs`: the outbox brings
 * back what was never announced, the poll what was lost after. That is all that Redis, SQS and a list in memory have in
 * common, and why attempts, back-off, priorities and dead letters are no concern of this port.
 *
 * What is taken is acknowledged after the catalog has leased, not after the job: a broker that counts deliveries must
 * not take a long job for a dead worker, and the lease with its heartbeat already watches over it. Drivers: SQS maps
 * receive to a long poll, ack to DeleteMessage, nack to ChangeMessageVisibility; BullMQ to getNextJob, moveToCompleted
 * and moveToDelayed, the job id being the broker's too, so that a repeated announcement is no second message.
 */
export interface Delivery {
  readonly jobId: string;
  /** The catalog was asked. Again, or late: nothing happens. */
  ack(): Promise<void>;
  /** The catalog could not be asked: deliver it again, to anyone, when `delayMs` are over. */
  nack(delayMs: number): Promise<void>;
}

export interface Queue {
  /**
   * Hands job ids over. What was announced and not yet received need not be delivered twice.
   * @throws Problem dependency_down; some may have been taken: announce all again
   */
  announce(jobIds: readonly string[]): Promise<void>;
  /**
   * The next delivery, to one receiver only; undefined when `timeoutMs` are over, the signal aborts or the queue closes.
   * @throws Problem dependency_down
   */
  receive(timeoutMs: number, signal?: AbortSignal): Promise<Delivery | undefined>;
  /** @throws Problem dependency_down */
  check(): Promise<void>;
  /** Ends those that wait. Afterwards `announce` is Problem `shutting_down`. */
  close(): Promise<void>;
}
