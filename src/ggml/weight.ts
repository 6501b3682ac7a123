/**
 * A weight of a model and where it is stored. The graph asks the storage for a product, so storing
 * a weight in another layout (see `src/ggml/native/`) changes the kernel without any model knowing.
 */

import { PacelineError } from '../base/errors.js';
import type { FileFacts } from '../base/files.js';
import type { Accelerator } from './accelerator.js';
import { Allocation, writeTensor } from './allocation.js';
import type { Backend } from './backend.js';
import { exactRows } from './exactness.js';
import type { Graph } from './graph.js';
import type { Tensor } from './tensor.js';
import { type GgmlType, isStored, rowBytes, typeName } from './types.js';

/**
 * The nonlinearity of a gated feed-forward network; gelu in its tanh form. `swiglu-oai` is that of
 * gpt-oss: both parts are clamped to 7, and it is g sigmoid(1.702 g) (up + 1).
 */
export type Activation = 'silu' | 'gelu' | 'swiglu-oai';

/**
 * What a weight is used for: `linear` [in, out], `experts` [in, out, experts], `rows` (a table of
 * embeddings) [n, rows], `linear+rows` for tied embeddings, `vector` for norms and biases.
 */
export type WeightRole = 'linear' | 'experts' | 'rows' | 'linear+rows' | 'vector';

export interface WeightSpec {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
  readonly role: WeightRole;
}

/** Products with a stored weight. Shapes and types have been checked when these are called. */
export interface WeightStorage {
  /** `ggml`, or the name of a native layout. */
  readonly layout: string;
  /** Bytes held. */
  readonly bytes: number;
  /** Whether a row's products are the same bytes whatever rows are computed with it. */
  readonly exact: boolean;
  linear(graph: Graph, weight: Weight, x: Tensor): Tensor;
  experts(graph: Graph, weight: Weight, x: Tensor, ids: Tensor): Tensor;
  rows(graph: Graph, weight: Weight, ids: Tensor): Tensor;
  /** Fused forms; undefined when these weights cannot be fused. */
  linearAll?(graph: Graph, weights: readonly Weight[], x: Tensor): readonly Tensor[] | undefined;
  gated?(
    graph: Graph,
    gate: Weight,
    up: Weight,
    x: Tensor,
    activation: Activation,
  ): Tensor | undefined;
  gatedExperts?(
    graph: Graph,
    gate: Weight,
    up: Weight,
    x: Tensor,
    ids: Tensor,
    activation: Activation,
  ): Tensor | undefined;
  mixedExperts?(graph: Graph, weight: Weight, x: Tensor, ids: Tensor, weights: Tensor): Tensor;
  /** Of experts that are read when they are needed: whether `foresee` may save time. */
  readonly foresees?: boolean;
  /**
   * Says that after the experts `chosen` of this weight those of `next` will be needed, `likely` [n, T] ones, the
   * likeliest of a row first. Changes no result.
   */
  foresee?(graph: Graph, chosen: Tensor, next: Weight, likely: Tensor): void;
}

/** Where the matrices of a weight are in a file. */
export interface FilePlace {
  readonly path: string;
  /** What the file was when its header was read. */
  readonly facts: FileFacts;
  /** Of the first row of the first matrix. */
  readonly offset: number;
  /** Bytes from one matrix to the next. */
  readonly stride: number;
  /** Which matrices of the file these are; undefined: as many as there are, in their order. */
  readonly matrices?: readonly number[] | undefined;
}

/** Storage for some weights, filled while the file is read. */
export interface WeightAllocation extends Disposable {
  /** One storage for each spec, in order. */
  readonly storages: readonly WeightStorage[];
  readonly bytes: number;
  /**
   * Takes rows `firstRow` and on of matrix `matrix` (0 but for experts) of the weight `index`, as
   * they stand in the file. Rows come in order; all but the last piece of a matrix hold a multiple
   * of 64. The data may be overwritten when the promise settles.
   */
  fill(index: number, matrix: number, firstRow: number, data: Uint8Array): Promise<void> | void;
  /** Where weights stay in their files: takes the place of the weight `index` there instead of its rows. */
  leave?(index: number, place: FilePlace): void;
  /** Called after the last `leave`. */
  open?(): void;
  dispose(): void;
}

/** A way to store weights. The first layout of a list that can hold a weight gets it. */
export interface WeightLayout {
  readonly name: string;
  /** Bytes that the weight takes in this layout, or undefined when it cannot hold it. */
  bytes(spec: WeightSpec): number | undefined;
  /** @throws {PacelineError} `memory`. */
  allocate(backend: Backend, specs: readonly WeightSpec[]): WeightAllocation;
}

export class Weight {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
  readonly role: WeightRole;
  #storage: WeightStorage | undefined;

  constructor(spec: WeightSpec) {
    this.name = spec.name;
    this.type = spec.type;
    this.shape = spec.shape;
    this.role = spec.role;
  }

  /** @throws {PacelineError} `internal` before the weight is loaded. */
  get storage(): WeightStorage {
    if (this.#storage === undefined) {
      throw new PacelineError('internal', `Weight ${this.name} is used before it is loaded`);
    }
    return this.#storage;
  }

  set storage(storage: WeightStorage) {
    this.#storage = storage;
  }

  /** A vector (norm, bias) as a tensor of ggml. @throws {PacelineError} `graph` for other layouts. */
  get tensor(): Tensor {
    const { storage } = this;
    if (storage instanceof GgmlStorage) return storage.tensor;
    throw new PacelineError(
      'graph',
      `${this} is stored as ${storage.layout}, not as a ggml tensor`,
    );
  }

  toString(): string {
    return `${this.name} ${typeName(this.type)} [${this.shape.join(', ')}]`;
  }
}

/**
 * A weight as it stands in the file, computed by ggml's own operations. On the CPU they are cut so that
 * no row's result depends on the others (`exactRows`); on a card where the graph asks for it.
 */
class GgmlStorage implements WeightStorage {
  constructor(readonly tensor: Tensor) {}

  get layout(): string {
    return this.tensor.place?.name ?? 'ggml';
  }

  get bytes(): number {
    return this.tensor.bytes;
  }

  /** Batches are cut to what is exact, if there is a cut that is. */
  get exact(): boolean {
    if (this.tensor.place !== undefined) return false;
    const most = (experts: boolean) => exactRows(this.tensor.type, { native: false, experts });
    return most(false) >= 1 && most(true) >= 1;
  }

  linear(graph: Graph, _weight: Weight, x: Tensor): Tensor {
    const [k, rows, ...outer] = x.shape;
    const alone = this.#exactRows(false) === 1;
    if (!alone || rows === 1) return graph.mulMat(this.tensor, x);
    const even = x.contiguous ? x : graph.cont(x);
    // Rows on an axis of their own are products of a vector each, in one operation.
    const product = graph.mulMat(
      this.tensor,
      graph.reshape(even, [k, 1, rows * outer[0] * outer[1]]),
    );
    return graph.reshape(product, [this.tensor.shape[1], rows, ...outer]);
  }

  experts(graph: Graph, _weight: Weight, x: Tensor, ids: Tensor): Tensor {
    const most = this.#exactRows(true);
    const tokens = ids.shape[1];
    if (tokens <= most) return graph.mulMatId(this.tensor, x, ids);
    // An expert gets a token once at most, so that few tokens are few rows of a matrix.
    const parts: Tensor[] = [];
    for (let first = 0; first < tokens; first += most) {
      const count = Math.min(most, tokens - first);
      const own = graph.view(
        x,
        [x.shape[0], x.shape[1], count],
        [x.strides[1], x.strides[2]],
        first * x.strides[2],
      );
      const chosen = graph.view(
        ids,
        [ids.shape[0], count],
        [ids.strides[1]],
        first * ids.strides[1],
      );
      parts.push(graph.mulMatId(this.tensor, own, chosen));
    }
    return joined(graph, parts);
  }

  rows(graph: Graph, _weight: Weight, ids: Tensor): Tensor {
    return graph.getRows(this.tensor, ids);
  }

  /** How many rows one operation may take. */
  #exactRows(experts: boolean): number {
    const { type, place } = this.tensor;
    if (place === undefined) return exactRows(type, { native: false, experts });
    return Number.POSITIVE_INFINITY;
  }
}

/** Parts one behind the other on the third axis, joined in pairs, so that little is copied often. */
function joined(graph: Graph, parts: readonly Tensor[]): Tensor {
  const [first, second, ...others] = parts;
  if (first === undefined) throw new RangeError('No parts');
  if (second === undefined) return first;
  if (others.length === 0) return graph.concat(first, second, 2);
  const half = parts.length >> 1;
  return graph.concat(joined(graph, parts.slice(0, half)), joined(graph, parts.slice(half)), 2);
}

/** Whether graphs over this weight are cut into many operations. */
const manyOperations = ({ type, role }: WeightSpec) =>
  role === 'experts' &&
  exactRows(type, { native: false, experts: true }) < Number.POSITIVE_INFINITY;

/** Bytes of a weight as it stands in a file; undefined for types that files do not have. */
export function fileBytes({ type, shape }: WeightSpec): number | undefined {
  if (!isStored(type)) return undefined;
  return shape.slice(1).reduce((a, b) => a * b, rowBytes(type, shape[0] ?? 1));
}

/** Every type that files may hold and every role, in the file's own layout. */
export const ggmlLayout: WeightLayout = {
  name: 'ggml',
  bytes: fileBytes,
  allocate(backend, specs) {
    if (specs.some(manyOperations)) backend.largeGraphs = true;
    return allocateAsFiled(backend, specs);
  },
};

/** Storage in the file's own layout, in the memory of the host or of a card. */
export function allocateAsFiled(
  backend: Backend,
  specs: readonly WeightSpec[],
  place?: Accelerator,
): WeightAllocation {
  const allocation = new Allocation(backend, specs, { usage: 'weights', place, what: 'weights' });
  return {
    storages: allocation.tensors.map((tensor) => new GgmlStorage(tensor)),
    bytes: allocation.bytes,
    fill(index, matrix, firstRow, data) {
      const tensor = allocation.tensors[index];
      if (tensor === undefined) throw new RangeError(`No weight ${index}`);
      const offset = matrix * tensor.strides[2] + firstRow * tensor.strides[1];
      writeTensor(backend, tensor, data, offset);
    },
    dispose: () => allocation.dispose(),
    [Symbol.dispose]: () => allocation.dispose(),
  };
}
