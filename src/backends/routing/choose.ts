/**
 * Which upstream gets a request: the one that served its conversation before, because that one has its
 * prefix, as long as it is not much busier than the others; else the least busy. Pure.
 */

export interface Candidate {
  readonly id: string;
  /** Requests that it works on. */
  readonly outstanding: number;
  /** Requests that it takes at once. */
  readonly slots: number;
}

/** A prefix is worth waiting behind so many more requests. */
const worthWaiting = 2;

/**
 * @param last the upstream that served the conversation before
 * @param turn a number that grows, so that equals take turns
 */
export function chooseUpstream<T extends Candidate>(
  candidates: readonly T[],
  { last, turn }: { readonly last?: string | undefined; readonly turn: number },
): T | undefined {
  const free = candidates.filter(({ outstanding, slots }) => outstanding < slots);
  const least = Math.min(...free.map(({ outstanding }) => outstanding));
  const known = free.find(({ id }) => id === last);
  if (known !== undefined && known.outstanding <= least + worthWaiting) return known;
  const equals = free.filter(({ outstanding }) => outstanding === least);
  return equals[turn % Math.max(1, equals.length)];
}

/** Remembers which upstream served which conversation; the oldest are forgotten. */
export class AffinityMemory {
  readonly #upstreams = new Map<string, string>();
  readonly #limit: number;

  constructor(limit = 10_000) {
    this.#limit = limit;
  }

  find(conversation: string): string | undefined {
    return this.#upstreams.get(conversation);
  }

  remember(conversation: string, upstream: string): void {
    this.#upstreams.delete(conversation);
    this.#upstreams.set(conversation, upstream);
    if (this.#upstreams.size <= this.#limit) return;
    for (const oldest of this.#upstreams.keys()) {
      this.#upstreams.delete(oldest);
      break;
    }
  }
}
