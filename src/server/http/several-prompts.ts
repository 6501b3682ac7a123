/**
 * Several prompts of one request: each runs as a request of its own, a few side by side, and their
 * events come as those of one text with all choices. One that fails takes the others with it.
 */
import { interleave } from '../../base/interleave.js';
import type { TextEvent } from '../../chat/events.js';
import { slotsOf, type TextRequest } from '../../chat/request.js';
import type { TextSource } from './text-source.js';

/** So many run at once; they share slots and the queue with everybody. */
const sideBySide = 4;

type Source = AsyncGenerator<readonly TextEvent[], void>;

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
  const firstChoices = requests.map((request) => {
    const first = nextChoice;
    nextChoice += slotsOf(request);
    return first;
  });
  const begun: Source[] = [];
  const begins = requests.map((request) => () => {
    const batches = source.run(request, options);
    begun.push(batches);
    return batches;
  });
  try {
    for await (const [place, events] of interleave(begins, sideBySide)) {
      yield events.map((event) => behind(event, firstChoices[place] as number));
    }
  } finally {
    group.abort();
    await Promise.allSettled(begun.map((batches) => batches.return()));
  }
}

function behind(event: TextEvent, firstChoice: number): TextEvent {
  return { ...event, choice: (event.choice ?? 0) + firstChoice };
}
