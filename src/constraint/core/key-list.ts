/**
 * A sorted list of byte strings of which one is to be matched: enums and the keys of an object. A
 * position is a range of the list and the number of bytes matched, so that 100,000 values cost
 * nothing until they are walked. Which values are allowed, and what follows one, is asked of an
 * owner, since the keys of an object may come only once. Knows nothing of expressions.
 */
import { work } from './budget.js';
import { compareBytes } from './symbols.js';

/** Who decides about a list's values: all of them, or what an object has left. */
export interface KeyOwner {
  readonly list: KeyList;
  /** Whether the value may be chosen. */
  allowed(index: number): boolean;
  /** The expression that follows the value. */
  after(index: number): number;
  /** How deep what follows the value nests at least; default 0. */
  need?(index: number): number;
}

export class KeyList {
  /** In the order of bytes, each once. */
  readonly values: readonly Uint8Array[];
  /** For each value, its index in the list that was given. */
  readonly origin: readonly number[];

  constructor(values: readonly Uint8Array[]) {
    // A sort compares each some ten times.
    work(values.length / 2);
    const order = values.map((_, index) => index);
    order.sort((a, b) => compareBytes(values[a] as Uint8Array, values[b] as Uint8Array) || a - b);
    const origin = order.filter(
      (index, at) =>
        at === 0 ||
        compareBytes(values[index] as Uint8Array, values[order[at - 1] as number] as Uint8Array) !==
          0,
    );
    this.origin = origin;
    this.values = origin.map((index) => values[index] as Uint8Array);
  }

  /** The sub-range of [low, high) whose byte at `depth` is `byte`; empty where low = high. */
  narrow(low: number, high: number, depth: number, byte: number): [number, number] {
    return [this.bound(low, high, depth, byte), this.bound(low, high, depth, byte + 1)];
  }

  /** The first of [low, high) whose byte at `depth` is at least `byte`. */
  private bound(low: number, high: number, depth: number, byte: number): number {
    let [from, to] = [low, high];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (((this.values[middle] as Uint8Array)[depth] ?? -1) < byte) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
