/**
 * The rows of layers that look back on a window only. Each lies at its own position's place, and what
 * is no longer needed is given back (see `ggml/window-rows.ts`): at the end of the text a window and
 * some spare rows stay, so that it may go back a little, and the window before each checkpoint.
 */
import {
  checkpointRows,
  keptPositions,
  releasedAtOnce,
  spareRows,
  windowStart,
} from '../ggml/window-rows.js';
import { leastUseful } from './checkpoints.js';
import { count, covers, difference, intersection, type Range, union } from './ranges.js';
import { RowMemory, type RowMemoryOptions } from './row-memory.js';

export interface WindowedRowsOptions extends RowMemoryOptions {
  /** The longest of the layers' windows. */
  readonly window: number;
  /** Hears which positions are lost, before their memory is given back; for tests. */
  readonly onLost?: ((memory: RowMemory, lost: Range) => void) | undefined;
}

/** Checkpoints of a text, however short the window is. */
const mostCheckpoints = 32;

export class WindowedRows implements Disposable {
  readonly memory: RowMemory;
  readonly #options: WindowedRowsOptions;
  /** Positions whose rows are there. */
  #kept: readonly Range[] = [];
  /** Lengths, in order. */
  #checkpoints: readonly number[] = [];
  /** Rows were forgotten whose memory was not given back. */
  #stale = false;

  /** @throws {PacelineError} `memory`; `usage` when rows don't fit the type. */
  constructor(options: WindowedRowsOptions) {
    this.#options = options;
    this.memory = new RowMemory(options);
  }

  /** Most bytes that it ever holds. */
  get bytes(): number {
    const { capacity } = this.#options;
    const kept = this.keptPositions(capacity);
    return kept < capacity ? this.memory.bytesOf(0, kept) : this.memory.bytes;
  }

  /** Most of so many positions that it ever keeps. */
  keptPositions(positions: number): number {
    return this.memory.canRelease ? keptPositions(this.#options.window, positions) : positions;
  }

  /** Call it before every pass behind `length`: gives up rows that nobody needs any more. */
  begin(length: number): void {
    const tail = { from: windowStart(length - spareRows, this.#options.window), end: length };
    this.#thinOut(tail);
    const needed = union([tail, ...this.#checkpoints.map((at) => this.#windowOf(at))]);
    const lost = difference(this.#kept, needed);
    if (count(lost) < releasedAtOnce && !this.#stale) return;
    this.#stale = false;
    this.#kept = intersection(this.#kept, needed);
    // Gaps are given back as a whole: pages that two of their parts share are not missed.
    for (const gap of difference([{ from: 0, end: length }], this.#kept)) {
      this.#options.onLost?.(this.memory, gap);
      this.memory.release(gap.from, gap.end);
    }
  }

  /** Rows have been written behind `length`. */
  commit(length: number, rows: number): void {
    this.#kept = union([...this.#kept, { from: length, end: length + rows }]);
  }

  holds(from: number, end: number): boolean {
    return covers(this.#kept, from, end);
  }

  /** The first position whose rows have to be there for going on at `length`. */
  neededFrom(length: number): number {
    return windowStart(length, this.#options.window);
  }

  /** The largest length up to this one before which the window is there. */
  reachable(length: number): number {
    return this.#kept.reduce((best, { from, end }) => {
      const at = Math.min(end, length);
      return this.neededFrom(at) >= from ? Math.max(best, at) : best;
    }, 0);
  }

  truncate(length: number): void {
    this.#kept = intersection(this.#kept, [{ from: 0, end: length }]);
    this.#checkpoints = this.#checkpoints.filter((at) => at <= length);
  }

  /** Keeps the window before a length, which is reachable. */
  checkpoint(length: number): void {
    if (length === 0 || this.#checkpoints.includes(length)) return;
    if (this.reachable(length) !== length) return;
    const all = [...this.#checkpoints, length].sort((a, b) => a - b);
    if (all.length > mostCheckpoints) all.splice(leastUseful(all), 1);
    this.#checkpoints = all;
  }

  /** What is needed for going on at `length` has been written; everything else is forgotten. */
  restore(length: number): void {
    this.#kept = union([this.#windowOf(length)]);
    this.#checkpoints = [];
    this.#stale = true;
  }

  /** Becomes a copy, once what is returned has settled. */
  copy(other: WindowedRows): () => Promise<void> {
    const kept = other.#kept;
    this.#kept = kept;
    this.#checkpoints = other.#checkpoints;
    return () => this.memory.copyFrom(other.memory, kept);
  }

  dispose(): void {
    this.memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #windowOf(length: number): Range {
    return { from: this.neededFrom(length), end: length };
  }

  /** Gives up checkpoints that keep too many rows besides the last ones of the text. */
  #thinOut(tail: Range): void {
    const most = checkpointRows(this.#options.window);
    const kept = [...this.#checkpoints];
    const extra = () => count(difference(union(kept.map((at) => this.#windowOf(at))), [tail]));
    while (kept.length > 1 && extra() > most) kept.splice(leastUseful(kept), 1);
    this.#checkpoints = kept;
  }
}
