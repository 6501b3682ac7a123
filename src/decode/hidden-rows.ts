/** The target's rows of the last positions in JavaScript's memory: copied in, and into graphs. */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import type { FeatureRows } from './feature-rows.js';
import { type FedRow, type RowFeed, RowWindow } from './row-window.js';

export class HiddenRows extends RowWindow {
  readonly #rows: Float32Array;
  #next = new Float32Array(0);

  constructor(width: number, window: number) {
    super(width, window);
    this.#rows = new Float32Array(width * window);
  }

  get bytes(): number {
    return this.#rows.byteLength;
  }

  protected put(features: FeatureRows, from: number, count: number, position: number): void {
    for (const { place, at, count: some } of this.runs(position, count)) {
      const [start, end] = [(from + at) * this.width, (from + at + some) * this.width];
      this.#rows.set(features.data.subarray(start, end), place * this.width);
    }
  }

  protected take(position: number, count: number): Float32Array {
    const rows = new Float32Array(count * this.width);
    for (let at = 0; at < count; at++) this.copy(position + at, rows, at * this.width);
    return rows;
  }

  /** Copies the row of a known position into `target`. */
  copy(position: number, target: Float32Array, at: number): void {
    const from = (position % this.window) * this.width;
    target.set(this.#rows.subarray(from, from + this.width), at);
  }

  feed(graph: Graph, count: number): RowFeed {
    const tensor = graph.input('hidden rows', GgmlType.F32, [this.width, count]);
    const set = (rows: readonly FedRow[]) => {
      const data = new Float32Array(count * this.width);
      for (const [index, row] of rows.entries()) {
        if (row === 'next') data.set(this.#next, index * this.width);
        else if (row !== 'zero') this.copy(row, data, index * this.width);
      }
      graph.write(tensor, data);
    };
    return { tensor, set };
  }

  keepNext(graph: Graph, row: Tensor): () => void {
    graph.output(row);
    return () => {
      this.#next = new Float32Array(graph.read(row));
    };
  }

  dispose(): void {}
}
