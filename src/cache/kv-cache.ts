/**
 * The KV cache of one sequence in memory: for each layer, a row of keys and a row of values for
 * every position. Rows past `length` are garbage that the next pass overwrites, so truncation is
 * free and always possible.
 *
 * The whole context is allocated at once, which costs address space only: the system commits pages
 * as rows are first written. Addresses therefore never change while the sequence lives.
 */
import { PacelineError } from '../base/errors.js';
import { Allocation, readTensorBytes, type TensorSpec, writeTensor } from '../ggml/allocation.js';
import type { Backend } from '../ggml/backend.js';
import { type CacheRows, rowsFit, storedPositions, storedRows } from '../ggml/cache-rows.js';
import type { Tensor } from '../ggml/tensor.js';
import { type GgmlType, rowBytes, typeName } from '../ggml/types.js';
import type { SequenceState } from './state.js';

export interface KvCacheOptions {
  readonly backend: Backend;
  /** One entry a layer. */
  readonly layout: readonly CacheRows[];
  /** Positions that fit. */
  readonly capacity: number;
  readonly type: GgmlType;
}

interface CachedLayer {
  /** [kRow and what the type adds, capacity in whole blocks]. */
  readonly k: Tensor;
  /** [vRow, capacity in whole blocks]. */
  readonly v: Tensor;
}

/** Snapshot header: magic, version, element type, layers, length; then (kRow, vRow) a layer. */
const magic = 0x564b4c50;
const version = 2;
const headerWords = 5;

export class KvCache implements SequenceState {
  readonly capacity: number;
  readonly #options: KvCacheOptions;
  readonly #allocation: Allocation;
  readonly #layers: readonly CachedLayer[];
  #length = 0;

  /** @throws {PacelineError} `memory`; `usage` when rows don't fit the type. */
  constructor(options: KvCacheOptions) {
    const { backend, layout, capacity, type } = options;
    this.#options = options;
    this.capacity = capacity;
    if (!layout.every((rows) => rowsFit(type, rows))) {
      throw new PacelineError(
        'usage',
        `This model's KV rows can't be stored as ${typeName(type)}`,
        {
          hint: 'Use the f16 KV cache.',
        },
      );
    }
    const specs = layout.flatMap((rows, layer): TensorSpec[] => {
      const { keys, values } = storedRows(type, rows);
      const positions = storedPositions(type, capacity);
      return [
        { name: `cache.${layer}.k`, type, shape: [keys, positions] },
        { name: `cache.${layer}.v`, type, shape: [values, positions] },
      ];
    });
    this.#allocation = new Allocation(backend, specs);
    const { tensors } = this.#allocation;
    this.#layers = layout.map((_, layer) => ({
      k: tensors[2 * layer] as Tensor,
      v: tensors[2 * layer + 1] as Tensor,
    }));
  }

  get length(): number {
    return this.#length;
  }

  get bytes(): number {
    return this.#allocation.bytes;
  }

  /** Keys and values of a layer. @throws {PacelineError} `internal` beyond the last layer. */
  layer(index: number): CachedLayer {
    const layer = this.#layers[index];
    if (layer === undefined) throw new PacelineError('internal', `The cache has no layer ${index}`);
    return layer;
  }

  reserve(count: number): void {
    if (this.#length + count <= this.capacity) return;
    throw new PacelineError(
      'context-overflow',
      `${this.#length + count} tokens do not fit into the context of ${this.capacity}`,
      {
        hint: 'Shorten the prompt, or load the model with a longer context (--ctx).',
        details: { needed: this.#length + count, capacity: this.capacity },
      },
    );
  }

  append(count: number): void {
    this.reserve(count);
    this.#length += count;
  }

  truncate(length: number): boolean {
    if (length < 0 || length > this.#length) return false;
    this.#length = length;
    return true;
  }

  /**
   * Forgets the first `count` positions: the rows behind them move to the front.
   * @throws {PacelineError} `internal` when there are fewer, or when rows lie in blocks and these are no
   *   whole ones.
   */
  dropFirst(count: number): void {
    const { type } = this.#options;
    if (count < 0 || count > this.#length || storedPositions(type, count) !== count) {
      throw new PacelineError('internal', `${count} of ${this.#length} rows cannot be dropped`);
    }
    const left = this.#length - count;
    for (const { tensor, used } of this.#rowTensors(left)) {
      const from = rowBytes(tensor.type, tensor.shape[0]) * count;
      copyBytes(this.#options.backend, tensor, tensor, used, from);
    }
    this.#length = left;
  }

  snapshot(): Uint8Array {
    const { backend, layout, type } = this.#options;
    const rows = this.#rowTensors();
    const headerBytes = 4 * (headerWords + 2 * layout.length);
    const bytes = new Uint8Array(rows.reduce((sum, row) => sum + row.used, headerBytes));
    new Uint32Array(bytes.buffer, 0, headerBytes / 4).set([
      magic,
      version,
      type,
      layout.length,
      this.#length,
      ...layout.flatMap(({ kRow, vRow }) => [kRow, vRow]),
    ]);
    let at = headerBytes;
    for (const { tensor, used } of rows) {
      readTensorBytes(backend, tensor, bytes.subarray(at, at + used));
      at += used;
    }
    return bytes;
  }

  restore(bytes: Uint8Array): void {
    const { backend, layout, type } = this.#options;
    const headerBytes = 4 * (headerWords + 2 * layout.length);
    if (bytes.byteLength < headerBytes) throw damaged('it is shorter than its header');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = view.getUint32(16, true);
    const expected = [magic, version, type, layout.length, length];
    expected.push(...layout.flatMap(({ kRow, vRow }) => [kRow, vRow]));
    if (expected.some((word, at) => view.getUint32(4 * at, true) !== word)) {
      throw damaged('it was made with another model, cache type or version');
    }
    if (length > this.capacity) throw damaged(`its ${length} tokens exceed ${this.capacity}`);
    const rows = this.#rowTensors(length);
    const wanted = rows.reduce((sum, row) => sum + row.used, headerBytes);
    if (bytes.byteLength !== wanted) {
      throw damaged(`it has ${bytes.byteLength} bytes instead of ${wanted}`);
    }
    let at = headerBytes;
    for (const { tensor, used } of rows) {
      writeTensor(backend, tensor, bytes.subarray(at, at + used));
      at += used;
    }
    this.#length = length;
  }

  fork(): KvCache {
    const { backend } = this.#options;
    const copy = new KvCache(this.#options);
    const targets = copy.#rowTensors(this.#length);
    for (const [index, { tensor, used }] of this.#rowTensors().entries()) {
      const target = targets[index];
      if (target !== undefined) copyBytes(backend, tensor, target.tensor, used);
    }
    copy.#length = this.#length;
    return copy;
  }

  dispose(): void {
    this.#allocation.dispose();
  }

  /** Every tensor with the bytes that its first `length` rows take, as whole blocks. */
  #rowTensors(length = this.#length): { readonly tensor: Tensor; readonly used: number }[] {
    const positions = storedPositions(this.#options.type, length);
    return this.#layers
      .flatMap(({ k, v }) => [k, v])
      .map((tensor) => ({ tensor, used: rowBytes(tensor.type, tensor.shape[0]) * positions }));
  }
}

/**
 * Copies `count` bytes, those of `from` beginning at `start`, through a small buffer, so that a fork
 * needs no second copy. The tensors may be the same one: bytes only ever move to the front.
 */
function copyBytes(backend: Backend, from: Tensor, to: Tensor, count: number, start = 0): void {
  const buffer = new Uint8Array(Math.min(count, 1 << 20));
  for (let at = 0; at < count; at += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, count - at));
    readTensorBytes(backend, from, part, start + at);
    writeTensor(backend, to, part, at);
  }
}

function damaged(why: string): PacelineError {
  return new PacelineError('broken-file', `A KV cache snapshot cannot be restored: ${why}`, {
    hint: 'Discard the snapshot; the prompt is then computed again.',
  });
}
