/**
 * Tensors that outlive a graph: weights and caches. A set is allocated at once in one buffer of a
 * backend and freed as a whole.
 */
import { PacelineError } from '../base/errors.js';
import type { Accelerator } from './accelerator.js';
import type { Backend } from './backend.js';
import { outOfMemory, requireRoom } from './library.js';
import { contiguousStrides, fourOf, Tensor } from './tensor.js';
import { type GgmlType, tensorBytes } from './types.js';

export interface TensorSpec {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
}

export interface AllocationOptions {
  /** `weights`: never written by graphs, which run where these are. */
  readonly usage?: 'weights' | undefined;
  /** The card to put them on; default: the host's memory. */
  readonly place?: Accelerator | undefined;
  /** What they are, for messages. */
  readonly what?: string | undefined;
}

export class Allocation implements Disposable {
  readonly tensors: readonly Tensor[];
  /** Bytes of the buffer, padding included. */
  readonly bytes: number;
  readonly #backend: Backend;
  readonly #context: number;
  readonly #buffer: number;
  readonly #place: Accelerator | undefined;
  readonly #reserved: number;
  #disposed = false;

  /**
   * Allocates `specs`, uninitialised.
   * @throws {PacelineError} `memory` when the device refuses.
   */
  constructor(backend: Backend, specs: readonly TensorSpec[], options: AllocationOptions = {}) {
    const { base, init, free } = backend.ggml;
    const { usage, place, what = 'tensors' } = options;
    const wanted = specs.reduce((sum, { type, shape }) => sum + tensorBytes(type, shape), 0);
    if (place === undefined) requireRoom(backend.ggml, wanted, what);
    else place.reserve(wanted, what);
    this.#backend = backend;
    this.#place = place;
    this.#reserved = wanted;
    try {
      this.#context = init((specs.length + 1) * base.ggml_tensor_overhead());
    } catch (error) {
      place?.release(wanted);
      throw error;
    }
    this.tensors = specs.map(({ name, type, shape }) => {
      const four = fourOf(shape);
      const address = base.ggml_new_tensor_4d(this.#context, type, ...four);
      const strides = contiguousStrides(type, four);
      return new Tensor(address, type, four, strides, 'stored', [], false, place).named(name);
    });
    this.#buffer =
      wanted === 0
        ? 0
        : base.ggml_backend_alloc_ctx_tensors_from_buft(
            this.#context,
            (place ?? backend).bufferType,
          );
    if (this.#buffer === 0 && wanted > 0) {
      free(this.#context);
      place?.release(wanted);
      throw place?.outOfMemory(wanted, what) ?? outOfMemory(wanted, what);
    }
    this.bytes = this.#buffer === 0 ? 0 : base.ggml_backend_buffer_get_size(this.#buffer);
    if (this.#buffer !== 0 && usage === 'weights') {
      base.ggml_backend_buffer_set_usage(this.#buffer, 1);
    }
  }

  /** Sets every byte to zero. */
  clear(): void {
    if (this.#buffer !== 0) this.#backend.ggml.base.ggml_backend_buffer_clear(this.#buffer, 0);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { base, free } = this.#backend.ggml;
    if (this.#buffer !== 0) base.ggml_backend_buffer_free(this.#buffer);
    this.#place?.release(this.#reserved);
    free(this.#context);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Writes bytes into a stored tensor, from `offset` bytes on.
 * @throws {PacelineError} `graph` when they do not fit.
 */
export function writeTensor(
  backend: Backend,
  tensor: Tensor,
  data: ArrayBufferView,
  offset = 0,
): void {
  if (offset < 0 || offset + data.byteLength > tensor.bytes) {
    throw new PacelineError(
      'graph',
      `${data.byteLength} bytes at ${offset} do not fit into ${tensor} of ${tensor.bytes} bytes`,
    );
  }
  if (data.byteLength === 0) return;
  backend.ggml.base.ggml_backend_tensor_set(tensor.address, data, offset, data.byteLength);
}

/**
 * Writes bytes into a stored tensor, from `offset` bytes on, away from the event loop; whoever calls sees
 * to it that both stay. @throws {PacelineError} `graph` when they do not fit.
 */
export async function writeTensorAway(
  backend: Backend,
  tensor: Tensor,
  data: Uint8Array,
  offset: number,
): Promise<void> {
  if (offset < 0 || offset + data.byteLength > tensor.bytes) {
    throw new PacelineError('graph', `${data.byteLength} bytes at ${offset} do not fit ${tensor}`);
  }
  const { ggml_backend_tensor_set: set } = backend.ggml.base;
  await new Promise<void>((resolve, reject) => {
    set.async(tensor.address, data, offset, data.byteLength, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}

/** Bytes that are copied at a time. */
const pieceBytes = 4 << 20;

/**
 * Copies `count` bytes of a stored tensor, from `start` on, to the same place of another one, through a
 * small buffer and away from the event loop. Nothing may write to these bytes of either meanwhile.
 * @throws {PacelineError} `graph` when they do not fit.
 */
export async function copyTensorBytes(
  backend: Backend,
  from: Tensor,
  to: Tensor,
  count: number,
  start = 0,
): Promise<void> {
  if (start < 0 || start + count > Math.min(from.bytes, to.bytes)) {
    throw new PacelineError('graph', `${count} bytes of ${from} do not fit into ${to}`);
  }
  const { ggml_backend_tensor_get: get, ggml_backend_tensor_set: set } = backend.ggml.base;
  const buffer = new Uint8Array(Math.min(count, pieceBytes));
  for (let at = 0; at < count; at += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, count - at));
    for (const [transfer, tensor] of [
      [get, from],
      [set, to],
    ] as const) {
      await new Promise<void>((resolve, reject) => {
        transfer.async(tensor.address, part, start + at, part.length, (error) =>
          error ? reject(error) : resolve(),
        );
      });
    }
  }
}

/** Reads bytes of a stored tensor into `target`, from `offset` bytes on. */
export function readTensorBytes(
  backend: Backend,
  tensor: Tensor,
  target: ArrayBufferView,
  offset = 0,
): void {
  if (offset < 0 || offset + target.byteLength > tensor.bytes) {
    throw new PacelineError(
      'graph',
      `${tensor} of ${tensor.bytes} bytes has no ${target.byteLength} bytes at ${offset}`,
    );
  }
  if (target.byteLength === 0) return;
  backend.ggml.base.ggml_backend_tensor_get(tensor.address, target, offset, target.byteLength);
}
