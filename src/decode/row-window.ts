/**
 * The target's rows of the last positions, as drafters keep them until they need them: what is older than
 * the window is forgotten. Where they are kept, and how a graph gets them, is the subclass's.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { FeatureRows } from './feature-rows.js';

/** A row for a graph: a position's; zeros; or the one that a graph has left with `keepNext`. */
export type FedRow = number | 'zero' | 'next';

/** Rows that enter a graph, chosen before each time it is computed. */
export interface RowFeed {
  /** F32 [width, rows]. */
  readonly tensor: Tensor;
  /** One for each row; positions must be known. */
  set(rows: readonly FedRow[]): void;
}

export abstract class RowWindow {
  readonly width: number;
  readonly window: number;
  /** Rows of positions [first, end) are known. */
  #first = 0;
  #end = 0;

  constructor(width: number, window: number) {
    this.width = width;
    this.window = window;
  }

  /** The first known position; equals `end` when none is. */
  get first(): number {
    return this.#first;
  }

  /** One past the last observed position. */
  get end(): number {
    return this.#end;
  }

  abstract get bytes(): number;

  /** Takes rows [from, from + count) of `features` for the positions from `position` on, at most `window`. */
  protected abstract put(
    features: FeatureRows,
    from: number,
    count: number,
    position: number,
  ): void;

  /** Numbers of `count` known rows from a position on. */
  protected abstract take(position: number, count: number): Float32Array;

  /** An input of a graph. */
  abstract feed(graph: Graph, count: number): RowFeed;

  /**
   * Has a graph leave a row [width, 1] for `next` of a later one. What is returned is to be called when it
   * has been computed.
   */
  abstract keepNext(graph: Graph, row: Tensor): () => void;

  abstract dispose(): void;

  /** Takes note of `count` positions, of which the last `features.rows` have rows. */
  append(count: number, features: FeatureRows | undefined): void {
    const known = Math.min(features?.rows ?? 0, count, this.window);
    const end = this.#end + count;
    // A gap makes everything before it useless: rows are read in an unbroken run.
    if (known < count) this.#first = end - known;
    if (features !== undefined && known > 0) {
      this.put(features, features.rows - known, known, end - known);
    }
    this.#end = end;
    this.#first = Math.max(this.#first, end - this.window);
  }

  truncate(length: number): void {
    this.#end = Math.min(this.#end, length);
    this.#first = Math.min(this.#first, this.#end);
  }

  /** The known rows, oldest first, as bytes that `restore` takes. */
  snapshot(): Uint8Array {
    const known = this.#end - this.#first;
    const words = new Float64Array(2);
    words.set([this.#first, this.#end]);
    const rows = this.take(this.#first, known);
    const bytes = new Uint8Array(words.byteLength + rows.byteLength);
    bytes.set(new Uint8Array(words.buffer));
    bytes.set(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength), words.byteLength);
    return bytes;
  }

  /** Returns false, and changes nothing, when the bytes are not a snapshot of such rows. */
  restore(bytes: Uint8Array): boolean {
    if (bytes.byteLength < 16) return false;
    const copy = bytes.slice();
    const [first = -1, end = -1] = new Float64Array(copy.buffer, 0, 2);
    const known = end - first;
    const sound = Number.isSafeInteger(first) && Number.isSafeInteger(end) && first >= 0;
    if (!sound || known < 0 || known > this.window) return false;
    if (copy.byteLength !== 16 + known * this.width * 4) return false;
    this.#first = first;
    this.#end = first;
    const data = new Float32Array(copy.buffer, 16, known * this.width);
    this.append(known, { rows: known, width: this.width, data });
    this.#first = first;
    return true;
  }

  /** The runs of places in a ring of `window` that some consecutive positions have. */
  protected runs(position: number, count: number): { place: number; at: number; count: number }[] {
    const place = position % this.window;
    const before = Math.min(count, this.window - place);
    const runs = [{ place, at: 0, count: before }];
    if (before < count) runs.push({ place: 0, at: before, count: count - before });
    return runs;
  }
}
