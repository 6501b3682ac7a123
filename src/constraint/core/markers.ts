/**
 * Texts that are looked for while other text goes by (Aho and Corasick, 1975): the states of free
 * text that ends at the first marker. A marker is a sequence of symbols: bytes, and special tokens
 * that a vocabulary has for parts of it. Knows nothing of expressions.
 */
import { OTHER_SPECIAL, SYMBOL_BITS } from './symbols.js';

export interface Marker {
  readonly symbols: readonly number[];
  /** The expression that follows the marker; the empty language where it must not occur. */
  readonly after: number;
}

const SYMBOLS = 1 << SYMBOL_BITS;

export class MarkerSet {
  /** Per state, the next state for each symbol. */
  private readonly next: Int32Array[] = [];
  /** Per state, the marker that ends here, or -1. */
  private readonly ends: number[] = [-1];

  constructor(
    readonly markers: readonly Marker[],
    /** Whether the text may end without a marker. */
    readonly endOk: boolean,
    /** Whether special tokens that belong to no marker may come in between. */
    private readonly specials: boolean,
  ) {
    const children: Map<number, number>[] = [new Map()];
    markers.forEach(({ symbols }, index) => {
      let state = 0;
      for (const symbol of symbols) {
        let child = children[state]?.get(symbol);
        if (child === undefined) {
          child = children.push(new Map()) - 1;
          this.ends.push(-1);
          children[state]?.set(symbol, child);
        }
        state = child;
      }
      if (this.ends[state] === -1) this.ends[state] = index;
    });
    this.link(children);
  }

  private link(children: readonly Map<number, number>[]): void {
    const fallback = new Int32Array(children.length);
    const queue = [0];
    for (let at = 0; at < queue.length; at++) {
      const state = queue[at] as number;
      const behind = state === 0 ? undefined : this.next[fallback[state] as number];
      if (state !== 0 && this.ends[state] === -1) {
        this.ends[state] = this.ends[fallback[state] as number] as number;
      }
      const row = behind ? behind.slice() : new Int32Array(SYMBOLS);
      for (const [symbol, child] of children[state] as Map<number, number>) {
        fallback[child] = behind ? (behind[symbol] as number) : 0;
        row[symbol] = child;
        queue.push(child);
      }
      this.next[state] = row;
    }
  }

  /** The state after a symbol; -1: it may not come. */
  step(state: number, symbol: number): number {
    const next = (this.next[state] as Int32Array)[symbol] as number;
    return next === 0 && symbol >= OTHER_SPECIAL && !this.specials ? -1 : next;
  }

  /** The marker that a state completes, or -1. */
  ending(state: number): number {
    return this.ends[state] as number;
  }
}
