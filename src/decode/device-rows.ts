/**
 * The target's rows of the last positions in tensors that drafters' graphs read, on the card that computes
 * both: what a pass of the target leaves there is copied there, and row numbers are all that goes up.
 */
import type { Accelerator } from '../ggml/accelerator.js';
import { Allocation, readTensorBytes, writeTensor } from '../ggml/allocation.js';
import type { Backend } from '../ggml/backend.js';
import type { Graph } from '../ggml/graph.js';
import { RowCopier } from '../ggml/row-copy.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import type { FeatureRows } from './feature-rows.js';
import { type FedRow, type RowFeed, RowWindow } from './row-window.js';

export interface DeviceRowsOptions {
  readonly backend: Backend;
  /** Where they are; undefined: the host's memory. */
  readonly place: Accelerator | undefined;
  /** Floats of a row. */
  readonly width: number;
  /** Tensors of which a row has equally many columns: taps. */
  readonly parts: number;
  /** Rows that are kept. */
  readonly count: number;
}

export class DeviceRows extends RowWindow {
  readonly #backend: Backend;
  readonly #allocation: Allocation;
  readonly #copier: RowCopier;

  /** @throws {PacelineError} `memory`. */
  constructor({ backend, place, width, parts, count }: DeviceRowsOptions) {
    super(width, count);
    this.#backend = backend;
    // Behind the ring are a row of zeros, and the one that a graph leaves for the next.
    const shape = [width / parts, count + 2];
    const specs = Array.from({ length: parts }, (_, part) => ({
      ...{ name: `rows.${part}`, type: GgmlType.F32, shape },
    }));
    this.#copier = new RowCopier(backend);
    try {
      this.#allocation = new Allocation(backend, specs, { place, what: 'rows for drafters' });
    } catch (error) {
      this.#copier.dispose();
      throw error;
    }
    this.#allocation.clear();
  }

  get bytes(): number {
    return this.#allocation.bytes;
  }

  get #rings(): readonly Tensor[] {
    return this.#allocation.tensors;
  }

  protected put(features: FeatureRows, from: number, count: number, position: number): void {
    const { parts } = features;
    if (parts?.length !== this.#rings.length) {
      this.#write(features, from, count, position);
      return;
    }
    for (const { place, at, count: some } of this.runs(position, count)) {
      for (const [index, tensor] of this.#rings.entries()) {
        const source = parts[index] as (typeof parts)[number];
        const first = { tensor: source.tensor, row: source.from + from + at };
        this.#copier.copy(first, { tensor, row: place }, some);
      }
    }
  }

  /** Takes rows that are numbers, as of a snapshot. */
  #write({ data }: FeatureRows, from: number, count: number, position: number): void {
    for (const { place, at, count: some } of this.runs(position, count)) {
      for (const [index, tensor] of this.#rings.entries()) {
        const [size] = tensor.shape;
        const columns = new Float32Array(some * size);
        for (let row = 0; row < some; row++) {
          const start = (from + at + row) * this.width + index * size;
          columns.set(data.subarray(start, start + size), row * size);
        }
        writeTensor(this.#backend, tensor, columns, place * tensor.strides[1]);
      }
    }
  }

  protected take(position: number, count: number): Float32Array {
    const rows = new Float32Array(count * this.width);
    for (const { place, at, count: some } of this.runs(position, count)) {
      for (const [index, tensor] of this.#rings.entries()) {
        const [size] = tensor.shape;
        const columns = new Float32Array(some * size);
        readTensorBytes(this.#backend, tensor, columns, place * tensor.strides[1]);
        for (let row = 0; row < some; row++) {
          const start = (at + row) * this.width + index * size;
          rows.set(columns.subarray(row * size, (row + 1) * size), start);
        }
      }
    }
    return rows;
  }

  feed(graph: Graph, count: number): RowFeed {
    const numbers = graph.input('row numbers', GgmlType.I32, [count]);
    const tensor = this.#rings
      .map((ring) => graph.getRows(ring, numbers))
      .reduce((left, right) => graph.concat(left, right, 0));
    const place = (row: FedRow) =>
      row === 'zero' ? this.window : row === 'next' ? this.window + 1 : row % this.window;
    return { tensor, set: (rows) => graph.write(numbers, Int32Array.from(rows, place)) };
  }

  keepNext(graph: Graph, row: Tensor): () => void {
    const [ring] = this.#rings as readonly [Tensor];
    graph.expand(graph.copy(row, graph.rowRange(ring, this.window + 1, 1)));
    return () => {};
  }

  dispose(): void {
    this.#copier.dispose();
    this.#allocation.dispose();
  }
}
