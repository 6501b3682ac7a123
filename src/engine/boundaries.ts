/**
 * The places of a prompt that later texts are likely to come back to: where messages end, and the end of
 * the prompt itself. State that cannot go back everywhere is kept there.
 */

/** Messages that are shorter share the place of the one before: computing them again takes no time. */
const shortestMessage = 16;

/**
 * Where messages of a prompt end. Every chat format has control tokens around its messages, so a
 * message ends where a control token comes behind text, whatever its template looks like.
 */
export function messageEnds(
  prompt: ArrayLike<number>,
  isControl: (token: number) => boolean,
): number[] {
  const ends: number[] = [];
  for (let at = 1; at < prompt.length; at++) {
    if (!isControl(prompt[at] as number) || isControl(prompt[at - 1] as number)) continue;
    if (at - (ends.at(-1) ?? 0) >= shortestMessage) ends.push(at);
  }
  return ends;
}

/** Places in a text, of a prompt and of what is said after it. */
export class Boundaries {
  /** In order. */
  readonly #places: readonly number[];
  readonly #every: number;

  /** @param every places besides, so many positions apart. */
  constructor(
    readonly promptLength: number,
    ends: readonly number[],
    every: number,
  ) {
    this.#every = every;
    // Whoever asks for the same prompt again needs its last token's logits.
    const last = promptLength - 1;
    this.#places = [...ends.filter((at) => at < last), last].filter((at) => at > 0);
  }

  /** The first place behind `position`. */
  next(position: number): number {
    const regular = (Math.floor(position / this.#every) + 1) * this.#every;
    return Math.min(this.#places.find((at) => at > position) ?? regular, regular);
  }

  /** The places in (from, end]. */
  between(from: number, end: number): number[] {
    const found: number[] = [];
    for (let at = this.next(from); at <= end; at = this.next(at)) found.push(at);
    return found;
  }

  /** Whether a message or the prompt ends there. */
  isEnd(position: number): boolean {
    return this.#places.includes(position);
  }
}
