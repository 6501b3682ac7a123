/**
 * Which two neighbouring symbols merge, how early, and into what: a hash table over pairs of
 * integers. A symbol is a token's id, an extra text's id, or a single character (see
 * `SymbolTable`). Knows nothing of text.
 */

const FIELDS = 4;
const EMPTY = -1;
/** A pair that is known not to merge. */
const NEVER = 0x7fffffff;
const UNRESOLVED = -2;
/** Pairs remembered by a lazy table before it starts afresh: 32 MiB. */
const LAZY_LIMIT = 1 << 20;

/** Called for a pair that a lazy table has not seen: `[rank, result]`, or undefined. */
export type PairResolver = (left: number, right: number) => readonly [number, number] | undefined;

export class PairTable {
  private entries: Int32Array;
  private mask: number;
  private count = 0;

  /**
   * @param capacity pairs to make room for
   * @param resolvePair makes the table lazy: asked once for each unknown pair
   * @param resolveResult gives the merged symbol of pairs that were added without one
   */
  constructor(
    capacity: number,
    private readonly resolvePair: PairResolver | undefined,
    private readonly resolveResult: (left: number, right: number) => number,
  ) {
    const size = sizeFor(capacity);
    this.entries = new Int32Array(size * FIELDS).fill(EMPTY);
    this.mask = size - 1;
  }

  /** Adds a pair whose merged symbol is found when first needed. The first rank of a pair stays. */
  add(left: number, right: number, rank: number): void {
    const slot = this.slotOf(left, right);
    if (this.entries[slot] === EMPTY) this.put(slot, left, right, rank, UNRESOLVED);
  }

  /** Rank of the pair, smaller merges earlier; -1 when it does not merge. */
  rank(left: number, right: number): number {
    let slot = this.slotOf(left, right);
    if (this.entries[slot] === EMPTY) {
      if (!this.resolvePair) return -1;
      slot = this.learn(slot, left, right, this.resolvePair(left, right));
    }
    const rank = this.entries[slot + 2] as number;
    return rank === NEVER ? -1 : rank;
  }

  /** The symbol that the pair becomes; only for pairs with a rank. */
  result(left: number, right: number): number {
    let slot = this.slotOf(left, right);
    if (this.entries[slot] === EMPTY && this.resolvePair) {
      slot = this.learn(slot, left, right, this.resolvePair(left, right));
    }
    let result = this.entries[slot + 3] as number;
    if (result === UNRESOLVED) {
      result = this.resolveResult(left, right);
      this.entries[slot + 3] = result;
    }
    return result;
  }

  private learn(
    slot: number,
    left: number,
    right: number,
    found: readonly [number, number] | undefined,
  ): number {
    let target = slot;
    if (this.count >= LAZY_LIMIT) {
      this.entries.fill(EMPTY);
      this.count = 0;
      target = this.slotOf(left, right);
    } else if (this.count * 2 > this.mask) {
      this.grow();
      target = this.slotOf(left, right);
    }
    this.put(target, left, right, found ? found[0] : NEVER, found ? found[1] : 0);
    return target;
  }

  private put(slot: number, left: number, right: number, rank: number, result: number): void {
    this.entries[slot] = left;
    this.entries[slot + 1] = right;
    this.entries[slot + 2] = rank;
    this.entries[slot + 3] = result;
    this.count++;
  }

  private grow(): void {
    const old = this.entries;
    this.entries = new Int32Array(old.length * 2).fill(EMPTY);
    this.mask = this.entries.length / FIELDS - 1;
    for (let from = 0; from < old.length; from += FIELDS) {
      if (old[from] === EMPTY) continue;
      const to = this.slotOf(old[from] as number, old[from + 1] as number);
      for (let field = 0; field < FIELDS; field++) {
        this.entries[to + field] = old[from + field] as number;
      }
    }
  }

  /** Index of the pair's entry, or of the empty one where it belongs. */
  private slotOf(left: number, right: number): number {
    const entries = this.entries;
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = (hash & this.mask) * FIELDS;
    for (;;) {
      const found = entries[slot] as number;
      if (found === EMPTY || (found === left && entries[slot + 1] === right)) return slot;
      slot = (slot + FIELDS) & ((this.mask << 2) | 3);
    }
  }
}

function sizeFor(capacity: number): number {
  let size = 1024;
  while (size < capacity * 2) size *= 2;
  return size;
}
