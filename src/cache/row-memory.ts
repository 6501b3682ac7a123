/**
 * Memory for keys and values, a row of each for every position, layer by layer. Knows where bytes
 * lie and moves them; which positions count is its owner's business.
 *
 * The whole capacity is allocated at once, which costs address space only: the system commits pages
 * as rows are first written. Addresses therefore never change.
 */
import { PacelineError } from '../base/errors.js';
import type { Accelerator } from '../ggml/accelerator.js';
import {
  Allocation,
  copyTensorBytes,
  readTensorBytes,
  type TensorSpec,
  writeTensor,
  writeTensorAway,
} from '../ggml/allocation.js';
import type { Backend } from '../ggml/backend.js';
import {
  integerSpans,
  type RowShape,
  rowsFit,
  storedPositions,
  storedRows,
} from '../ggml/cache-rows.js';
import { RowCopier } from '../ggml/row-copy.js';
import type { Tensor } from '../ggml/tensor.js';
import { canRelease, releaseMemory, tensorMemory } from '../ggml/tensor-memory.js';
import { type GgmlType, rowBytes, typeName } from '../ggml/types.js';
import type { LayerTensors } from '../models/model.js';
import type { Range } from './ranges.js';

export interface RowMemoryOptions {
  readonly backend: Backend;
  /** One entry a layer. */
  readonly layout: readonly RowShape[];
  /** Positions that fit. */
  readonly capacity: number;
  readonly type: GgmlType;
  /** The cards whose memory the layers' rows are in, one entry a layer; default: the host's. */
  readonly places?: readonly (Accelerator | undefined)[] | undefined;
}

/** Bytes of one tensor. */
interface Span {
  readonly tensor: Tensor;
  readonly start: number;
  readonly bytes: number;
}

export class RowMemory implements Disposable {
  readonly options: RowMemoryOptions;
  /** One for the host and each card that has rows. */
  readonly #allocations: readonly Allocation[];
  #views: ReadonlyMap<Tensor, Uint8Array> | undefined;
  readonly #layers: readonly LayerTensors[];

  /** @throws {PacelineError} `memory`; `usage` when rows don't fit the type. */
  constructor(options: RowMemoryOptions) {
    const { backend, layout, capacity, type, places = [] } = options;
    this.options = options;
    if (!layout.every((shape) => rowsFit(type, shape))) {
      const problem = `This model's KV rows can't be stored as ${typeName(type)}`;
      throw new PacelineError('usage', problem, { hint: 'Use the f16 KV cache.' });
    }
    const positions = storedPositions(type, capacity);
    const specs = new Map<Accelerator | undefined, TensorSpec[]>();
    for (const [layer, shape] of layout.entries()) {
      const { keys, values } = storedRows(type, shape);
      const k = { name: `cache.${layer}.k`, type, shape: [keys, positions] };
      const v = { name: `cache.${layer}.v`, type, shape: [values, positions] };
      const place = places[layer];
      specs.set(place, [...(specs.get(place) ?? []), ...(values === 0 ? [k] : [k, v])]);
    }
    const named = new Map<string, Tensor>();
    const allocations: Allocation[] = [];
    this.#allocations = allocations;
    try {
      for (const [place, own] of specs) {
        const what = `the keys and values of ${capacity} positions`;
        const allocation = new Allocation(backend, own, { place, what });
        allocations.push(allocation);
        for (const [at, { name }] of own.entries()) {
          named.set(name, allocation.tensors[at] as Tensor);
        }
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
    this.#layers = layout.map((_, layer) => {
      const k = named.get(`cache.${layer}.k`) as Tensor;
      return { k, v: named.get(`cache.${layer}.v`) ?? k };
    });
  }

  get bytes(): number {
    return this.#allocations.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Keys and values of a layer. @throws {PacelineError} `internal` beyond the last layer. */
  layer(index: number): LayerTensors {
    const layer = this.#layers[index];
    if (layer === undefined) throw new PacelineError('internal', `The cache has no layer ${index}`);
    return layer;
  }

  /**
   * Copies the rows of these positions from memory of the same layout, which nothing may write
   * meanwhile. Most of it is the system's work for memory that was never used, so several parts are
   * copied at a time.
   */
  async copyFrom(other: RowMemory, ranges: readonly Range[]): Promise<void> {
    const parts = ranges.flatMap(({ from, end }) => {
      const targets = this.#spans(from, end);
      return other.#spans(from, end).flatMap((span, index) => {
        const target = targets[index]?.tensor;
        return target === undefined ? [] : [{ span, target }];
      });
    });
    const next = parts[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (const { span, target } of next) await other.#copyTo(target, span);
    };
    await allDone(Array.from({ length: copiesAhead }, work));
  }

  /** Copies bytes of a tensor to the same place of another one, straight where they are the host's. */
  async #copyTo(target: Tensor, { tensor, start, bytes }: Span): Promise<void> {
    const { backend } = this.options;
    this.#views ??= this.#map();
    const view = this.#views.get(tensor);
    if (view === undefined) return copyTensorBytes(backend, tensor, target, bytes, start);
    for (let at = start; at < start + bytes; at += awayBytes) {
      const end = Math.min(at + awayBytes, start + bytes);
      await writeTensorAway(backend, target, view.subarray(at, end), at);
    }
  }

  /**
   * Moves `count` positions from `from` on to the front.
   * @throws {PacelineError} `internal` when rows lie in blocks and `from` is inside one.
   */
  moveToFront(from: number, count: number): void {
    const { backend, type } = this.options;
    if (storedPositions(type, from) !== from) {
      throw new PacelineError('internal', `Rows from ${from} on cannot be moved`);
    }
    for (const { tensor, start, bytes } of this.#spans(from, from + count)) {
      if (tensor.place === undefined) moveBytes(backend, tensor, bytes, start);
      else moveRows(backend, tensor, from, count);
    }
  }

  /** Bytes of the positions [from, end) of all layers. */
  bytesOf(from: number, end: number): number {
    return this.#spans(from, end).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Bytes that `read` copies of the positions [from, end). */
  savedBytes(from: number, end: number): number {
    return this.#savedSpans(from, end).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Copies the rows of the positions [from, end), layer after layer.
   * @param from where a block of rows begins.
   */
  read(from: number, end: number, into: Uint8Array): void {
    let at = 0;
    for (const { tensor, start, bytes } of this.#savedSpans(from, end)) {
      readTensorBytes(this.options.backend, tensor, into.subarray(at, at + bytes), start);
      at += bytes;
    }
  }

  /** Takes back what `read` copied. */
  write(from: number, end: number, bytes: Uint8Array): void {
    let at = 0;
    for (const { tensor, start, bytes: count } of this.#savedSpans(from, end)) {
      writeTensor(this.options.backend, tensor, bytes.subarray(at, at + count), start);
      at += count;
    }
  }

  /** The memory of what `read` copies; undefined where it is not the host's. */
  views(from: number, end: number): readonly Uint8Array[] | undefined {
    this.#views ??= this.#map();
    const views: Uint8Array[] = [];
    for (const { tensor, start, bytes } of this.#savedSpans(from, end)) {
      const view = this.#views.get(tensor);
      if (view === undefined) return undefined;
      views.push(view.subarray(start, start + bytes));
    }
    return views;
  }

  #map(): ReadonlyMap<Tensor, Uint8Array> {
    const views = new Map<Tensor, Uint8Array>();
    for (const tensor of this.#layers.flatMap(({ k, v }) => [k, v])) {
      const view = tensorMemory(this.options.backend, tensor);
      if (view !== undefined) views.set(tensor, view);
    }
    return views;
  }

  /** Whether `release` has an effect. */
  get canRelease(): boolean {
    return !this.options.places?.some(Boolean) && canRelease(this.options.backend);
  }

  /**
   * Gives the memory of the positions [from, end) back to the system; what they held is lost.
   * @param end where a block of rows begins, or the capacity.
   */
  release(from: number, end: number): void {
    for (const { tensor, start, bytes } of this.#spans(from, end)) {
      releaseMemory(this.options.backend, tensor, start, start + bytes);
    }
  }

  dispose(): void {
    this.#views = undefined;
    for (const allocation of this.#allocations) allocation.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Where the positions [from, end) lie, in whole blocks of the type. */
  #spans(from: number, end: number): Span[] {
    const { type } = this.options;
    const [first, last] = [storedPositions(type, from), storedPositions(type, end)];
    return this.#layers
      .flatMap(({ k, v }) => (v === k ? [k] : [k, v]))
      .map((tensor) => {
        const row = rowBytes(tensor.type, tensor.shape[0]);
        return { tensor, start: first * row, bytes: Math.max(0, last - first) * row };
      });
  }

  /** The same without what a last, incomplete block has of other positions. */
  #savedSpans(from: number, end: number): Span[] {
    const { type, layout } = this.options;
    const whole = end - (end % storedPositions(type, 1));
    const spans = this.#spans(from, whole);
    if (whole === end) return spans;
    const rest = layout.flatMap((shape, layer) =>
      (['keys', 'values'] as const).flatMap((which) => {
        const { k, v } = this.#layers[layer] as LayerTensors;
        const tensor = which === 'keys' ? k : v;
        const first = whole * rowBytes(tensor.type, tensor.shape[0]);
        const parts = integerSpans(shape, which, end - whole);
        return parts.map(({ start, bytes }) => ({ tensor, start: first + start, bytes }));
      }),
    );
    return [...spans.filter(({ bytes }) => bytes > 0), ...rest];
  }
}

/** Waits for all of them: whatever fails, nothing of it goes on afterwards. @throws the first failure. */
export async function allDone(works: readonly Promise<void>[]): Promise<void> {
  for (const done of await Promise.allSettled(works)) {
    if (done.status === 'rejected') throw done.reason;
  }
}

/** Parts that are copied at a time. */
const copiesAhead = 3;
/** Bytes that one call away from the event loop copies. */
const awayBytes = 16 << 20;
/** Bytes that are moved at a time. */
const pieceBytes = 1 << 20;

/** Moves `count` bytes of a tensor, those from `start` on, to its front, through a small buffer. */
function moveBytes(backend: Backend, tensor: Tensor, count: number, start: number): void {
  const buffer = new Uint8Array(Math.min(count, pieceBytes));
  for (let at = 0; at < count; at += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, count - at));
    readTensorBytes(backend, tensor, part, start + at);
    writeTensor(backend, tensor, part, at);
  }
}

/** Moves `count` rows of a tensor on a card, those from `from` on, to its front, without the host. */
function moveRows(backend: Backend, tensor: Tensor, from: number, count: number): void {
  using copier = new RowCopier(backend);
  // No more at a time than are free in front of them: copies may not overlap.
  for (let at = 0; from > 0 && at < count; at += from) {
    copier.copy({ tensor, row: from + at }, { tensor, row: at }, Math.min(from, count - at));
  }
}
