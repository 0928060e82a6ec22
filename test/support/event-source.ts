/** Reads server-sent events as a browser does. */
export interface Received {
  /** Undefined where the event had none. */
  id: number | undefined;
  event: string;
  data: Record<string, unknown>;
}

/** The events of an answer as they come; ends with it. */
export async function* eventsIn(response: Response): AsyncGenerator<Received, void, void> {
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = new Map(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
      );
      text = text.slice(end + 2);
      const data = fields.get('data');
      if (data === undefined) continue;
      const id = fields.get('id');
      yield {
        id: id === undefined ? undefined : Number(id),
        event: fields.get('event') ?? 'message',
        data: JSON.parse(data),
      };
    }
  }
}

/** All of them, once the stream has ended. */
export async function allEvents(response: Response): Promise<Received[]> {
  const late = setTimeout(() => response.body!.cancel(new Error('the stream does not end')), 20_000);
  const received: Received[] = [];
  for await (const one of eventsIn(response)) received.push(one);
  clearTimeout(late);
  return received;
}

/** The next one that the test asks for; what comes before it is passed over. */
export async function nextEvent(
  events: AsyncGenerator<Received, void, void>,
  is: (received: Received) => boolean,
): Promise<Received> {
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error('the stream ended before that');
    if (is(value)) return value;
  }
}
