/** Several texts of one request as one stream: events of each in their order, and one start. */
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
  const pending = new Map(texts.map((text, index) => [index, advance(text, index)] as const));
  let started = false;
  try {
    while (pending.size > 0) {
      const { index, next } = await Promise.race(pending.values());
      if (next.done === true) {
        pending.delete(index);
        continue;
      }
      pending.set(index, advance(texts[index] as Batches, index));
      const batch: readonly TextEvent[] = started
        ? next.value.filter(({ type }) => type !== 'start')
        : next.value;
      started ||= batch.some(({ type }) => type === 'start');
      if (batch.length > 0) yield batch;
    }
  } finally {
    // Whoever was not waited for must not fail unheard.
    for (const late of pending.values()) late.catch(() => {});
    for (const text of texts) void text.return().catch(() => {});
  }
}

async function advance(text: Batches, index: number) {
  return { index, next: await text.next() };
}
