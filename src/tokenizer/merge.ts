/**
 * Byte-pair merging: repeatedly joins the neighbouring pair of lowest rank, the leftmost of equals,
 * until no pair merges. Short sequences by scanning, long ones with a heap, so that the time is
 * n log n for any text. Both give the same result. Knows nothing of text.
 */
import type { PairTable } from './pair-table.js';

/** Up to this many symbols scanning is faster. */
const SHORT = 40;

const shortRanks = new Int32Array(SHORT);
const NONE = 0x7fffffff;

/**
 * Merges `symbols[0, count)` in place.
 * @returns how many symbols are left
 */
export function mergePairs(symbols: Int32Array, count: number, pairs: PairTable): number {
  if (count < 2) return count;
  return count <= SHORT ? mergeShort(symbols, count, pairs) : mergeLong(symbols, count, pairs);
}

function mergeShort(symbols: Int32Array, count: number, pairs: PairTable): number {
  const ranks = shortRanks;
  for (let index = 0; index + 1 < count; index++) {
    ranks[index] = rankAt(symbols, index, pairs);
  }
  let length = count;
  while (length > 1) {
    let best = NONE;
    let at = -1;
    for (let index = 0; index + 1 < length; index++) {
      const rank = ranks[index] as number;
      if (rank < best) {
        best = rank;
        at = index;
      }
    }
    if (at < 0) break;
    symbols[at] = pairs.result(symbols[at] as number, symbols[at + 1] as number);
    for (let index = at + 1; index + 1 < length; index++) {
      symbols[index] = symbols[index + 1] as number;
      ranks[index] = ranks[index + 1] as number;
    }
    length--;
    if (at > 0) ranks[at - 1] = rankAt(symbols, at - 1, pairs);
    if (at + 1 < length) ranks[at] = rankAt(symbols, at, pairs);
  }
  return length;
}

function rankAt(symbols: Int32Array, index: number, pairs: PairTable): number {
  const rank = pairs.rank(symbols[index] as number, symbols[index + 1] as number);
  return rank < 0 ? NONE : rank;
}

/** Positions fit below this factor, ranks above it: together exact in a double. */
const POSITIONS = 2 ** 30;

/** The largest rank that merging long texts can handle. */
export const MAX_RANK = 2 ** 23 - 1;

function mergeLong(symbols: Int32Array, count: number, pairs: PairTable): number {
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  // Rank of the pair that starts at each position now; a heap entry that differs is outdated.
  const ranks = new Int32Array(count).fill(-1);
  for (let index = 0; index < count; index++) {
    next[index] = index + 1 < count ? index + 1 : -1;
    previous[index] = index - 1;
  }
  const heap = new Heap(count);
  for (let index = 0; index + 1 < count; index++) {
    const rank = pairs.rank(symbols[index] as number, symbols[index + 1] as number);
    ranks[index] = rank;
    if (rank >= 0) heap.append(rank * POSITIONS + index);
  }
  heap.order();

  const refresh = (left: number): void => {
    const right = next[left] as number;
    const rank = right < 0 ? -1 : pairs.rank(symbols[left] as number, symbols[right] as number);
    ranks[left] = rank;
    if (rank >= 0) heap.push(rank * POSITIONS + left);
  };

  for (let key = heap.pop(); key >= 0; key = heap.pop()) {
    const rank = Math.floor(key / POSITIONS);
    const left = key - rank * POSITIONS;
    if (ranks[left] !== rank) continue;
    const right = next[left] as number;
    symbols[left] = pairs.result(symbols[left] as number, symbols[right] as number);
    const after = next[right] as number;
    next[left] = after;
    ranks[right] = -1;
    if (after >= 0) previous[after] = left;
    refresh(left);
    const before = previous[left] as number;
    if (before >= 0) refresh(before);
  }

  let length = 0;
  for (let index = 0; index >= 0; index = next[index] as number) {
    symbols[length++] = symbols[index] as number;
  }
  return length;
}

/** A binary min-heap of non-negative numbers. */
class Heap {
  private items: Float64Array;
  private length = 0;

  constructor(capacity: number) {
    this.items = new Float64Array(Math.max(16, capacity));
  }

  /** Adds without ordering; `order` must follow before `pop`. */
  append(item: number): void {
    this.reserve();
    this.items[this.length++] = item;
  }

  order(): void {
    for (let index = (this.length >> 1) - 1; index >= 0; index--) this.sink(index);
  }

  push(item: number): void {
    this.reserve();
    const items = this.items;
    let index = this.length++;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = items[parent] as number;
      if (above <= item) break;
      items[index] = above;
      index = parent;
    }
    items[index] = item;
  }

  /** The smallest item, removed; -1 when empty. */
  pop(): number {
    if (this.length === 0) return -1;
    const top = this.items[0] as number;
    this.items[0] = this.items[--this.length] as number;
    this.sink(0);
    return top;
  }

  private sink(start: number): void {
    const { items, length } = this;
    const item = items[start] as number;
    let index = start;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      if (child + 1 < length && (items[child + 1] as number) < (items[child] as number)) child++;
      const below = items[child] as number;
      if (below >= item) break;
      items[index] = below;
      index = child;
    }
    items[index] = item;
  }

  private reserve(): void {
    if (this.length < this.items.length) return;
    const larger = new Float64Array(this.items.length * 2);
    larger.set(this.items);
    this.items = larger;
  }
}
