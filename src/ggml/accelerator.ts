/**
 * An opened graphics card: where tensors can be put and graphs computed besides the CPU. A `Backend`
 * owns the ones that it was opened with.
 */
import { PacelineError } from '../base/errors.js';
import type { Card } from './devices.js';
import type { Ggml } from './library.js';
import { contiguousStrides, fourOf, Tensor } from './tensor.js';
import type { GgmlType } from './types.js';

/** Tensor headers of a question whether an operation can be computed. */
const questionHeaders = 16;

export class Accelerator implements Disposable {
  readonly ggml: Ggml;
  /** ggml's name: `Vulkan0`. */
  readonly name: string;
  readonly description: string;
  /** The build of the library: `cuda`, `vulkan`, `metal`. */
  readonly variant: string;
  /** Address of the `ggml_backend`. */
  readonly address: number;
  /** Address of the buffer type of its memory. */
  readonly bufferType: number;
  /** Address of the `ggml_backend_device`. */
  readonly #device: number;
  /** Bytes of the buffers that were taken here and not given back. */
  #taken = 0;
  #disposed = false;

  /** Opens a card. @throws {PacelineError} `platform` when its driver refuses. */
  constructor(ggml: Ggml, card: Card) {
    this.ggml = ggml;
    this.name = card.name;
    this.description = card.description;
    this.variant = card.variant;
    this.#device = card.address;
    this.address = ggml.base.ggml_backend_dev_init(card.address, null);
    if (this.address === 0) {
      throw new PacelineError('platform', `${card.name} (${card.description}) cannot be opened`, {
        hint: 'Use another device, or --device cpu; `paceline devices` lists them.',
        details: { device: card.name },
      });
    }
    this.bufferType = ggml.base.ggml_backend_get_default_buffer_type(this.address);
  }

  /** Address of a buffer type of the host whose memory it copies fastest; 0 where there is none. */
  get hostBufferType(): number {
    return this.ggml.base.ggml_backend_dev_host_buffer_type(this.#device);
  }

  /**
   * Bytes. Not every driver says what other programs use; what this one uses is always counted.
   */
  get memory(): { readonly free: number; readonly total: number } {
    const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
    this.ggml.base.ggml_backend_dev_memory(this.#device, free, total);
    const all = Number(total[0]);
    return { free: Math.max(0, Math.min(Number(free[0]), all - this.#taken)), total: all };
  }

  /**
   * Counts a buffer that is about to be taken.
   * @throws {PacelineError} `memory` when there is less: some drivers would take it from the host.
   */
  reserve(bytes: number, what: string): void {
    const { free } = this.memory;
    if (bytes > free) throw this.outOfMemory(bytes, what);
    this.#taken += bytes;
  }

  /** Counts a buffer that was given back. */
  release(bytes: number): void {
    this.#taken -= bytes;
  }

  outOfMemory(bytes: number, what: string): PacelineError {
    const mebibytes = (count: number) => Math.ceil(count / 2 ** 20);
    const { free } = this.memory;
    return new PacelineError(
      'memory',
      `${this.name} has ${mebibytes(free)} MiB free, and ${what} take ${mebibytes(bytes)} MiB`,
      {
        hint: 'Use a smaller context, fewer texts at once, fewer layers there (--gpu-layers) or --device cpu.',
        details: { device: this.name, bytes, free },
      },
    );
  }

  /**
   * Whether it computes an operation, which `make` adds to a context of no data, given a maker of
   * tensors; `make` returns the operation's address.
   */
  computes(
    make: (context: number, tensor: (type: GgmlType, shape: readonly number[]) => Tensor) => number,
  ): boolean {
    const { base, init, free } = this.ggml;
    const context = init(questionHeaders * base.ggml_tensor_overhead());
    try {
      const tensor = (type: GgmlType, shape: readonly number[]) => {
        const four = fourOf(shape);
        const address = base.ggml_new_tensor_4d(context, type, ...four);
        return new Tensor(address, type, four, contiguousStrides(type, four), 'question');
      };
      return base.ggml_backend_dev_supports_op(this.#device, make(context, tensor));
    } finally {
      free(context);
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.ggml.base.ggml_backend_free(this.address);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
