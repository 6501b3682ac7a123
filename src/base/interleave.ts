/** Several generators as one. */

/**
 * The values of all, as they come, each with the place of its generator. When one fails, or the reader leaves, the
 * others are told to end, and not waited for.
 * @param begins what starts them, in order.
 * @param most so many run at once. Default: all.
 * @throws what the first of them throws
 */
export async function* interleave<T>(
  begins: readonly (() => AsyncGenerator<T, void>)[],
  most: number = begins.length,
): AsyncGenerator<readonly [place: number, value: T], void> {
  const running = new Map<number, AsyncGenerator<T, void>>();
  const pending = new Map<number, Promise<readonly [number, IteratorResult<T, void>]>>();
  const pull = (place: number, generator: AsyncGenerator<T, void>): void => {
    const next = generator.next().then((result) => [place, result] as const);
    // Whichever is not waited for when another fails, fails unheard.
    next.catch(() => {});
    pending.set(place, next);
  };
  let begun = 0;
  const begin = (): void => {
    const start = begins[begun];
    if (start === undefined) return;
    const generator = start();
    running.set(begun, generator);
    pull(begun++, generator);
  };
  try {
    for (let count = 0; count < most; count++) begin();
    while (pending.size > 0) {
      const [place, { done, value }] = await Promise.race(pending.values());
      if (done === true) {
        running.delete(place);
        pending.delete(place);
        begin();
      } else {
        pull(place, running.get(place) as AsyncGenerator<T, void>);
        yield [place, value];
      }
    }
  } finally {
    for (const generator of running.values()) void generator.return().catch(() => {});
  }
}
