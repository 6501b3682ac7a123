/**
 * Memory for rows that stand for blocks of positions each: for every length of a block, one row for so many
 * positions. Only complete blocks have a row; those behind the text are garbage that is written again, as in
 * `RowMemory`, which holds them.
 */
import type { Backend } from '../ggml/backend.js';
import type { Tensor } from '../ggml/tensor.js';
import type { GgmlType } from '../ggml/types.js';
import { blockRows, type LayerState } from '../models/layer-state.js';
import type { Range } from './ranges.js';
import { allDone, RowMemory } from './row-memory.js';

export interface BlockMemoryOptions {
  readonly backend: Backend;
  /** All layers, whatever they keep. */
  readonly layers: readonly LayerState[];
  /** Positions that fit. */
  readonly capacity: number;
  readonly type: GgmlType;
}

interface Part {
  readonly ratio: number;
  readonly memory: RowMemory;
}

export class BlockMemory implements Disposable {
  readonly #parts: Part[] = [];
  /** For each layer its rows, if it has any. */
  readonly #layers: readonly (readonly Tensor[] | undefined)[];
  readonly #capacity: number;

  /** @throws {PacelineError} `memory`; `usage` when rows don't fit the type. */
  constructor({ backend, layers, capacity, type }: BlockMemoryOptions) {
    this.#capacity = capacity;
    try {
      for (const { ratio, layout } of blockRows(layers)) {
        const rows = Math.max(1, Math.floor(capacity / ratio));
        const memory = new RowMemory({ backend, layout, capacity: rows, type });
        this.#parts.push({ ratio, memory });
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
    const used = new Map<number, number>();
    this.#layers = layers.map((state) => {
      if (state.kind !== 'compressed') return undefined;
      const { ratio, blocks } = state;
      const first = used.get(ratio) ?? 0;
      used.set(ratio, first + blocks.length);
      const memory = this.#parts.find((part) => part.ratio === ratio)?.memory;
      return blocks.map((_, at) => memory?.layer(first + at).k as Tensor);
    });
  }

  get bytes(): number {
    return this.#parts.reduce((sum, { memory }) => sum + memory.bytes, 0);
  }

  /** A layer's rows, a tensor for each of its kinds; undefined where it has none. */
  layer(index: number): readonly Tensor[] | undefined {
    return this.#layers[index];
  }

  /** Bytes of the blocks that are complete within the positions [from, end), from where one begins. */
  bytesOf(from: number, end: number): number {
    return this.#sum(from, end, (memory, first, last) => memory.bytesOf(first, last));
  }

  /** Bytes that `read` copies. */
  savedBytes(from: number, end: number): number {
    return this.#sum(from, end, (memory, first, last) => memory.savedBytes(first, last));
  }

  /** Copies the rows of these blocks, one length of blocks after the other. */
  read(from: number, end: number, into: Uint8Array): void {
    let at = 0;
    this.#sum(from, end, (memory, first, last) => {
      const count = memory.savedBytes(first, last);
      memory.read(first, last, into.subarray(at, at + count));
      at += count;
      return count;
    });
  }

  /** Takes back what `read` copied. */
  write(from: number, end: number, bytes: Uint8Array): void {
    let at = 0;
    this.#sum(from, end, (memory, first, last) => {
      const count = memory.savedBytes(first, last);
      memory.write(first, last, bytes.subarray(at, at + count));
      at += count;
      return count;
    });
  }

  /** The memory of what `read` copies; undefined where it is not the host's. */
  views(from: number, end: number): readonly Uint8Array[] | undefined {
    const all: Uint8Array[] = [];
    for (const { ratio, memory } of this.#parts) {
      const views = memory.views(Math.floor(from / ratio), Math.floor(end / ratio));
      if (views === undefined) return undefined;
      all.push(...views);
    }
    return all;
  }

  /** Copies the rows of blocks within these positions, which nothing may write meanwhile. */
  async copyFrom(other: BlockMemory, { from, end }: Range): Promise<void> {
    const works = other.#parts.map(async ({ ratio, memory }, index) => {
      const rows = { from: Math.floor(from / ratio), end: Math.floor(end / ratio) };
      await this.#parts[index]?.memory.copyFrom(memory, [rows]);
    });
    await allDone(works);
  }

  /** Gives the memory of rows behind `length` positions back to the system. */
  release(length: number): void {
    for (const { ratio, memory } of this.#parts) {
      memory.release(Math.floor(length / ratio), Math.floor(this.#capacity / ratio));
    }
  }

  dispose(): void {
    for (const { memory } of this.#parts) memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Adds up what a function says of the rows of each length of blocks. */
  #sum(
    from: number,
    end: number,
    visit: (memory: RowMemory, first: number, last: number) => number,
  ): number {
    return this.#parts.reduce((sum, { ratio, memory }) => {
      const [first, last] = [Math.floor(from / ratio), Math.floor(end / ratio)];
      return sum + (last > first ? visit(memory, first, last) : 0);
    }, 0);
  }
}
