/**
 * The time of day, so that tests can set it. For what is stored and compared with other machines' times; durations are
 * measured with `performance.now()`, which no clock change disturbs.
 */
export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };
