/**
 * Rows from inside the target as drafters are shown them: numbers, or tensors of the pass that has just
 * been computed, which whoever keeps rows on the same device copies there.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';

/** Rows of hidden states for the last `rows` tokens of an observation. */
export interface FeatureRows {
  readonly rows: number;
  /** Floats in a row: the hidden size, or that times the number of taps. */
  readonly width: number;
  /** Row after row; only valid during the call of `observe`. */
  readonly data: Float32Array;
  /** Where they are, if that is a device: columns side by side. Valid as long as `data`. */
  readonly parts?: readonly FeaturePart[];
}

/** Columns of rows on a device. */
export interface FeaturePart {
  /** F32 [columns, rows]. */
  readonly tensor: Tensor;
  /** The first of the rows. */
  readonly from: number;
}

/** Rows of a computed graph, which are read when somebody asks for the numbers. */
export class TensorRows implements FeatureRows {
  readonly rows: number;
  readonly width: number;
  readonly #graph: Graph;
  #data: Float32Array | undefined;

  constructor(
    graph: Graph,
    readonly parts: readonly FeaturePart[],
    rows: number,
  ) {
    this.#graph = graph;
    this.rows = rows;
    this.width = parts.reduce((sum, { tensor }) => sum + tensor.shape[0], 0);
  }

  get data(): Float32Array {
    this.#data ??= this.#read();
    return this.#data;
  }

  #read(): Float32Array {
    const { rows } = this;
    const read = this.parts.map(({ tensor, from }) => {
      const size = tensor.shape[0];
      return { size, part: this.#graph.read(tensor, from * size, rows * size) };
    });
    const [only] = read;
    if (read.length === 1 && only !== undefined) return only.part;
    const data = new Float32Array(rows * this.width);
    let column = 0;
    for (const { size, part } of read) {
      for (let row = 0; row < rows; row++) {
        data.set(part.subarray(row * size, (row + 1) * size), row * this.width + column);
      }
      column += size;
    }
    return data;
  }

  first(rows: number): TensorRows {
    return new TensorRows(this.#graph, this.parts, rows);
  }

  columns(which: readonly number[]): TensorRows {
    const parts = which.map((at) => this.parts[at] as FeaturePart);
    return new TensorRows(this.#graph, parts, this.rows);
  }
}

/** The first of some rows, where there are more. */
export function firstRows(features: FeatureRows, rows: number): FeatureRows {
  if (features.rows <= rows) return features;
  return features instanceof TensorRows ? features.first(rows) : { ...features, rows };
}

/** Some of the `of` equally wide columns of rows. */
export function columnsOf(
  features: FeatureRows,
  which: readonly number[],
  of: number,
): FeatureRows {
  if (features instanceof TensorRows) return features.columns(which);
  const size = features.width / of;
  const width = size * which.length;
  const data = new Float32Array(features.rows * width);
  for (let row = 0; row < features.rows; row++) {
    for (const [at, column] of which.entries()) {
      const from = row * features.width + column * size;
      data.set(features.data.subarray(from, from + size), row * width + at * size);
    }
  }
  return { rows: features.rows, width, data };
}
