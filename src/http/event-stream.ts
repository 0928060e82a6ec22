/** Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
import { Readable } from 'node:stream';

export interface ServerEvent {
  /** What a client that comes back names in `Last-Event-ID`; one without an id leaves that as it was. */
  id?: number;
  event: string;
  data: unknown;
}

/** Between the end of a connection and a browser's next one. */
const RECONNECT_MS = 2_000;
const COMMENT = ':\n\n';

/** No proxy is to keep them, nor to wait until there are more. */
export const EVENT_STREAM_HEADERS = {
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const;

/** @param events `'comment'` stands for a line that says nothing, to keep the connection open */
export function eventStream(events: AsyncIterable<ServerEvent | 'comment'>): Readable {
  return Readable.from(linesOf(events));
}

async function* linesOf(events: AsyncIterable<ServerEvent | 'comment'>): AsyncGenerator<string, void, void> {
  yield `retry: ${RECONNECT_MS}\n\n`;
  for await (const one of events) yield one === 'comment' ? COMMENT : frame(one);
}

/** JSON has no line breaks, so that the data is one line. */
const frame = ({ id, event, data }: ServerEvent): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

/** The header of a client that comes back; what is no id of ours counts as none. */
export function lastEventId(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}
