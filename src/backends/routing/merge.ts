/** Several texts of one request as one stream: events of each in their order, and one start. */
import { interleave } from '../../base/interleave.js';
import type { TextEvent } from '../../chat/events.js';

type Batches = AsyncGenerator<readonly TextEvent[], void>;

/**
 * Runs all side by side; when one fails, the others are ended.
 * @throws what the first of them throws
 */
export async function* mergeTexts(texts: readonly Batches[]): Batches {
  const [only] = texts;
  if (texts.length === 1 && only !== undefined) {
    yield* only;
    return;
  }
  let started = false;
  for await (const [, events] of interleave(texts.map((text) => () => text))) {
    const batch: readonly TextEvent[] = started
      ? events.filter(({ type }) => type !== 'start')
      : events;
    started ||= batch.some(({ type }) => type === 'start');
    if (batch.length > 0) yield batch;
  }
}
