/** Copies rows between tensors that have their memory, on their device if both are on one. */
import type { Backend } from './backend.js';
import { fail, requireContiguous } from './graph-core.js';
import type { Tensor } from './tensor.js';

/** Two views at a time, and ggml's own. */
const headers = 4;

/** Some consecutive rows of a matrix [n, rows]. */
export interface RowPlace {
  readonly tensor: Tensor;
  readonly row: number;
}

export class RowCopier implements Disposable {
  readonly #backend: Backend;
  readonly #context: number;

  /** @throws {PacelineError} `memory`. */
  constructor(backend: Backend) {
    this.#backend = backend;
    const { base, init } = backend.ggml;
    this.#context = init(headers * base.ggml_tensor_overhead());
  }

  /**
   * Copies `count` rows. Nothing may compute that writes to either.
   * @throws {PacelineError} `graph` when they do not fit.
   */
  copy(from: RowPlace, to: RowPlace, count: number): void {
    if (count === 0) return;
    const { base } = this.#backend.ggml;
    const [width] = from.tensor.shape;
    if (width !== to.tensor.shape[0] || from.tensor.type !== to.tensor.type) {
      fail('copy rows', 'the rows differ', from.tensor, to.tensor);
    }
    base.ggml_reset(this.#context);
    const [source, target] = [from, to].map(({ tensor, row }) => {
      requireContiguous('copy rows', tensor);
      if (row < 0 || row + count > tensor.shape[1]) fail('copy rows', `${row} + ${count}`, tensor);
      const step = tensor.strides[1];
      const [bytes, offset] = [step * count, step * row];
      const view = base.ggml_view_4d(
        ...([
          this.#context,
          tensor.address,
          width,
          count,
          1,
          1,
          step,
          bytes,
          bytes,
          offset,
        ] as const),
      );
      if (base.ggml_backend_view_init(view) !== 0) fail('copy rows', 'no view', tensor);
      return view;
    });
    base.ggml_backend_tensor_copy(source as number, target as number);
  }

  dispose(): void {
    this.#backend.ggml.free(this.#context);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
