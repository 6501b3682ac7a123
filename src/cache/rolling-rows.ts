/**
 * Keys and values that are always near the end of a text: rows are appended, cut off at the end and
 * dropped at the front. What drafters with a cache of their own keep.
 */
import { PacelineError } from '../base/errors.js';
import type { LayerTensors, SequenceTensors } from '../models/model.js';
import { contextOverflow } from './overflow.js';
import { RowMemory, type RowMemoryOptions } from './row-memory.js';

export class RollingRows implements SequenceTensors, Disposable {
  readonly #memory: RowMemory;
  #length = 0;

  /** @throws {PacelineError} `memory`; `usage` when rows don't fit the type. */
  constructor(options: RowMemoryOptions) {
    this.#memory = new RowMemory(options);
  }

  get length(): number {
    return this.#length;
  }

  get capacity(): number {
    return this.#memory.options.capacity;
  }

  get bytes(): number {
    return this.#memory.bytes;
  }

  layer(index: number): LayerTensors {
    return this.#memory.layer(index);
  }

  /** Makes room for `count` more rows. @throws {PacelineError} `context-overflow`. */
  reserve(count: number): void {
    if (this.#length + count > this.capacity) {
      throw contextOverflow(this.#length + count, this.capacity);
    }
  }

  /** Counts `count` rows, which a graph has just written. @throws as `reserve`. */
  append(count: number): void {
    this.reserve(count);
    this.#length += count;
  }

  /** Cuts off the rows from `length` on; does nothing where there are none. */
  truncate(length: number): void {
    this.#length = Math.max(0, Math.min(this.#length, length));
  }

  /**
   * Forgets the first `count` rows: the ones behind them move to the front.
   * @throws {PacelineError} `internal` when there are fewer, or when rows lie in blocks and these are no
   *   whole ones.
   */
  dropFirst(count: number): void {
    if (count < 0 || count > this.#length) {
      throw new PacelineError('internal', `${count} of ${this.#length} rows cannot be dropped`);
    }
    this.#memory.moveToFront(count, this.#length - count);
    this.#length -= count;
  }

  dispose(): void {
    this.#memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
