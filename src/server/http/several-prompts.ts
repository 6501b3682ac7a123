/**
 * Several prompts of one request: each runs as a request of its own, a few side by side, and their
 * events come as those of one text with all choices. One that fails takes the others with it.
 */
import type { TextEvent } from '../../chat/events.js';
import { slotsOf, type TextRequest } from '../../chat/request.js';
import type { TextSource } from './text-source.js';

/** So many run at once; they share slots and the queue with everybody. */
const sideBySide = 4;

type Batch = readonly TextEvent[];
type Source = AsyncGenerator<Batch, void>;

interface Running {
  readonly batches: Source;
  readonly firstChoice: number;
}

/** The events of all requests, with the choices of each behind those before it. @throws as `run` */
export async function* runSeveral(
  source: TextSource,
  requests: readonly TextRequest[],
  { signal, client }: { readonly signal: AbortSignal; readonly client?: string },
): Source {
  const group = new AbortController();
  const options = {
    signal: AbortSignal.any([signal, group.signal]),
    ...(client === undefined ? {} : { client }),
  };
  let nextChoice = 0;
  let nextRequest = 0;
  const pending = new Map<Running, Promise<readonly [Running, IteratorResult<Batch, void>]>>();
  const pull = (running: Running): void => {
    const next = running.batches.next().then((result) => [running, result] as const);
    // Whichever is not waited for when another fails, fails unheard.
    next.catch(() => {});
    pending.set(running, next);
  };
  const begin = (): void => {
    const request = requests[nextRequest++];
    if (request === undefined) return;
    pull({ batches: source.run(request, options), firstChoice: nextChoice });
    nextChoice += slotsOf(request);
  };
  try {
    for (let count = 0; count < sideBySide; count++) begin();
    while (pending.size > 0) {
      const [running, { done, value }] = await Promise.race(pending.values());
      if (done === true) {
        pending.delete(running);
        begin();
      } else {
        pull(running);
        yield value.map((event) => behind(event, running.firstChoice));
      }
    }
  } finally {
    group.abort();
    await Promise.allSettled([...pending.keys()].map(({ batches }) => batches.return()));
  }
}

function behind(event: TextEvent, firstChoice: number): TextEvent {
  return { ...event, choice: (event.choice ?? 0) + firstChoice };
}
