/**
 * Operations on weights in panels, the layout of our own kernels (see `native/src/linear/panels.h`). A token's result is the same bytes whatever other tokens are computed with it and by how
 * many threads. Activations that several products share are quantised once.
 */
import { normOf, noteAdder } from '../fusion.js';
import type { Graph } from '../graph.js';
import { fail, requireType } from '../graph-core.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { Activation, Weight, WeightSpec, WeightStorage } from '../weight.js';
import type { NativeKernels } from './library.js';
import { customWith, worthSharing } from './operation.js';
import type { Parameters } from './parameters.js';
import { addsEvenly, evenRows, residualOf, rowStride } from './rows.js';

/** Activations that the products have in their own pass. */
const epilogues: Readonly<Partial<Record<Activation, number>>> = { silu: 1, gelu: 2 };

/** Most matrices that one operation multiplies with. */
const mostTogether = 4;

/** Names of the fields of the matrices of one operation; made once, since they are looked up a lot. */
const fieldNames = Array.from({ length: mostTogether }, (_, index) => ({
  panels: `panels${index}`,
  type: `type${index}`,
  n: `n${index}`,
  dst: `dst${index}`,
  offset: `offset${index}`,
  stride: `stride${index}`,
  bytes: `bytes${index}`,
  part: `part${index}`,
}));
type FieldNames = (typeof fieldNames)[number];

/** Key of a graph's quantised activations by source. */
const quantized = Symbol('quantized');

/** Matrices of a layer's experts that are read from their file when they are needed. */
export interface CachedExperts {
  /** Address of the cache. */
  readonly cache: number;
  /** The layer's number there. */
  readonly layer: number;
  /** Which of an expert's matrices. */
  readonly part: number;
  /** The operation that has the experts `ids` [slots, tokens] read, once for all products of them. */
  fetch(graph: Graph, ids: Tensor): Tensor;
  /** Whether there is any use in `foresee`. */
  readonly foresees: boolean;
  /** The operation that has experts read early which a pass is likely to need: [n, tokens], the likeliest first. */
  foresee(graph: Graph, ids: Tensor): Tensor;
}

/** A weight in panels. */
export class PanelStorage implements WeightStorage {
  readonly layout: string;
  readonly exact = true;

  constructor(
    readonly kernels: NativeKernels,
    /** Address of the panels; 0 where experts stay in their file. */
    readonly address: number,
    readonly bytes: number,
    readonly spec: WeightSpec,
    /** The cache that has the experts, and which of their matrices these are. */
    readonly cached?: CachedExperts,
  ) {
    this.layout = `panels (${kernels.path})`;
  }

  /** Columns, the inner extent. */
  get k(): number {
    return this.spec.shape[0] ?? 0;
  }

  /** Rows, the outputs. */
  get n(): number {
    return this.spec.shape[1] ?? 0;
  }

  linear(graph: Graph, _weight: Weight, x: Tensor): Tensor {
    const result = this.#product(graph, x);
    noteAdder(result, (other) =>
      addsEvenly(other, result) ? this.#product(graph, x, other) : undefined,
    );
    return result;
  }

  #product(graph: Graph, x: Tensor, residual?: Tensor): Tensor {
    const [result] = this.#products(graph, [this], x, 0, residual);
    if (result === undefined) fail('linear', 'no result', x);
    return result;
  }

  linearAll(graph: Graph, weights: readonly Weight[], x: Tensor): readonly Tensor[] | undefined {
    const storages = weights.map((weight) => weight.storage);
    if (!storages.every((storage) => storage instanceof PanelStorage)) return undefined;
    const results: Tensor[] = [];
    for (let at = 0; at < storages.length; at += mostTogether) {
      results.push(...this.#products(graph, storages.slice(at, at + mostTogether), x, 0));
    }
    return results;
  }

  gated(
    graph: Graph,
    gate: Weight,
    up: Weight,
    x: Tensor,
    activation: Activation,
  ): Tensor | undefined {
    const pair = gatedPair(gate, up, activation);
    return pair && this.#products(graph, pair.storages, x, pair.epilogue)[0];
  }

  experts(graph: Graph, _weight: Weight, x: Tensor, ids: Tensor): Tensor {
    return this.#expertProducts(graph, [this], x, ids, 0);
  }

  gatedExperts(
    graph: Graph,
    gate: Weight,
    up: Weight,
    x: Tensor,
    ids: Tensor,
    activation: Activation,
  ): Tensor | undefined {
    const pair = gatedPair(gate, up, activation);
    return pair && this.#expertProducts(graph, pair.storages, x, ids, pair.epilogue);
  }

  mixedExperts(graph: Graph, weight: Weight, x: Tensor, ids: Tensor, weights: Tensor): Tensor {
    const even = weights.contiguous ? weights : graph.cont(weights);
    const parts = this.experts(graph, weight, x, ids); // [n, slots, tokens]
    const result = this.#expertSum(graph, parts, even);
    noteAdder(result, (other) =>
      addsEvenly(other, result) ? this.#expertSum(graph, parts, even, other) : undefined,
    );
    return result;
  }

  #expertSum(graph: Graph, parts: Tensor, weights: Tensor, residual?: Tensor): Tensor {
    const [n, slots, tokens] = parts.shape;
    const sources = residual === undefined ? [parts, weights] : [parts, weights, residual];
    return this.#operation(
      graph,
      'expert_sum',
      [n, tokens],
      sources,
      (into, dst) => {
        into.write({ parts, weights, n, slots, tokens, dst });
        if (residual !== undefined) into.write(residualOf(residual));
      },
      parts.elements < worthSharing ? { tasks: 1 } : {},
    );
  }

  get foresees(): boolean {
    return this.cached?.foresees ?? false;
  }

  foresee(graph: Graph, chosen: Tensor, next: Weight, likely: Tensor): void {
    const { storage } = next;
    const other = storage instanceof PanelStorage ? storage.cached : undefined;
    if (this.cached === undefined || this.cached.cache !== other?.cache) return;
    // What this layer needs is asked for first.
    graph.expand(this.cached.fetch(graph, chosen));
    graph.expand(other.foresee(graph, likely));
  }

  rows(graph: Graph, _weight: Weight, ids: Tensor): Tensor {
    if (!ids.contiguous) fail('rows', 'the row numbers have gaps', ids);
    const shape = [this.k, ids.shape[0], ids.shape[1], ids.shape[2]];
    return this.#operation(graph, 'get_rows', shape, [ids], (into, result) =>
      into.write({
        panels: this.address,
        type: this.spec.type,
        n: this.n,
        k: this.k,
        ids,
        count: ids.elements,
        dst: result,
        stride: this.k * 4,
      }),
    );
  }

  #writeMatrix(into: Parameters, names: FieldNames): void {
    into.set(names.panels, this.address);
    into.set(names.type, this.spec.type);
    into.set(names.n, this.n);
  }

  /**
   * Products of each storage with x [k, ...]; with an epilogue, one result from two storages. The
   * residual is added to the first result: of the same shape, or one row for all.
   */
  #products(
    graph: Graph,
    storages: readonly PanelStorage[],
    x: Tensor,
    epilogue: number,
    residual?: Tensor,
  ): readonly Tensor[] {
    requireType('linear', x, GgmlType.F32);
    const source = evenRows(graph, x);
    const rows = x.elements / this.k;
    const inputs = this.#inputs(graph, storages, source);
    const sources = residual === undefined ? inputs.sources : [...inputs.sources, residual];
    const outputs = epilogue === 0 ? storages : storages.slice(0, 1);
    const shape = (storage: PanelStorage) => [storage.n, x.shape[1], x.shape[2], x.shape[3]];
    // Several results are one tensor, one behind the other, and views of it.
    const total = outputs.reduce((sum, storage) => sum + storage.n, 0) * rows;
    const whole = outputs.length === 1 ? shape(this) : [total];
    const place = (index: number) =>
      outputs.slice(0, index).reduce((sum, storage) => sum + storage.n, 0) * rows * 4;
    const made = this.#operation(graph, 'linear', whole, sources, (into, result) => {
      inputs.write(into);
      into.write({ k: this.k, rows, count: storages.length, epilogue });
      into.set('abort', graph.backend.abortFlag);
      if (residual !== undefined) into.write(residualOf(residual));
      for (const [index, storage] of storages.entries()) {
        const names = fieldNames[index] as FieldNames;
        storage.#writeMatrix(into, names);
        if (index >= outputs.length) continue;
        into.set(names.dst, result);
        into.set(names.offset, place(index));
        into.set(names.stride, storage.n * 4);
      }
    });
    if (outputs.length === 1) return [made];
    return outputs.map((storage, index) => graph.view(made, shape(storage), [], place(index)));
  }

  #expertProducts(
    graph: Graph,
    storages: readonly PanelStorage[],
    x: Tensor,
    ids: Tensor,
    epilogue: number,
  ): Tensor {
    requireType('experts', x, GgmlType.F32);
    requireType('experts', ids, GgmlType.I32);
    const [slots, tokens] = ids.shape;
    const each = x.shape[1];
    if (x.shape[2] !== tokens || (each !== 1 && each !== slots) || x.shape[3] !== 1) {
      fail('experts', 'the experts do not fit the tokens', x, ids);
    }
    if (!ids.rowContiguous || ids.shape[2] !== 1 || ids.shape[3] !== 1) {
      fail('experts', 'the expert numbers have gaps', ids);
    }
    const inputs = this.#inputs(graph, storages, evenRows(graph, x));
    const experts = this.spec.shape[2] ?? 1;
    const fetched = this.cached?.fetch(graph, ids);
    const sources = [...inputs.sources, ids, ...(fetched === undefined ? [] : [fetched])];
    return this.#operation(graph, 'moe', [this.n, slots, tokens], sources, (into, result) => {
      inputs.write(into);
      into.write({
        k: this.k,
        tokens,
        slots,
        act_rows: each * tokens,
        ids,
        ids_stride: ids.strides[1],
        experts,
        count: storages.length,
        epilogue,
        dst: result,
        stride: this.n * 4,
        abort: graph.backend.abortFlag,
      });
      for (const [index, storage] of storages.entries()) {
        const names = fieldNames[index] as FieldNames;
        storage.#writeMatrix(into, names);
        into.set(names.bytes, storage.bytes / experts);
        if (storage.cached !== undefined) into.set(names.part, storage.cached.part);
      }
      if (this.cached !== undefined) {
        into.write({ cache: this.cached.cache, layer: this.cached.layer });
      }
    });
  }

  /** What products of these storages read: quantised rows of x, x itself, or both. */
  #inputs(graph: Graph, storages: readonly PanelStorage[], x: Tensor) {
    const { pl_needs_quantized } = this.kernels.functions;
    const kinds = storages.map(({ spec }) => pl_needs_quantized(spec.type));
    const act = kinds.includes(1) ? this.#quantize(graph, x) : undefined;
    const plain = kinds.includes(0) ? x : undefined;
    return {
      sources: [act, plain].filter((source) => source !== undefined),
      write(into: Parameters) {
        if (act !== undefined) into.set('act', act);
        if (plain === undefined) return;
        into.set('x', plain);
        into.set('x_stride', rowStride(plain));
      },
    };
  }

  #quantize(graph: Graph, x: Tensor): Tensor {
    const known = graph.shared(quantized, () => new Map<Tensor, Tensor>());
    const existing = known.get(x);
    if (existing !== undefined) return existing;
    const rows = x.elements / this.k;
    const shape = [this.kernels.functions.pl_act_bytes(this.k, rows)];
    // A norm that only products read is computed on the way.
    const norm = normOf(x);
    const fused = norm?.x.contiguousFrom(1) && norm.weight.elements === this.k ? norm : undefined;
    const source = fused?.x ?? x;
    const result = this.#operation(
      graph,
      'quantize',
      shape,
      fused === undefined ? [x] : [fused.x, fused.weight],
      (into, made) => {
        into.write({ x: source, x_stride: rowStride(source), out: made, k: this.k, rows });
        if (fused !== undefined) into.write({ norm_weight: fused.weight, eps: fused.epsilon });
      },
      { type: GgmlType.I8, ...(rows * this.k < worthSharing ? { tasks: 1 } : {}) },
    );
    known.set(x, result);
    return result;
  }

  /** Makes a tensor by the native operation `pl_op_<name>` with the struct `pl_<name>`. */
  #operation(
    graph: Graph,
    name: string,
    shape: readonly number[],
    sources: readonly Tensor[],
    fill: (into: Parameters, result: Tensor) => void,
    options: { readonly type?: GgmlType; readonly tasks?: number } = {},
  ): Tensor {
    const { type = GgmlType.F32, ...rest } = options;
    return customWith(graph, this.kernels, name, { type, shape, sources, ...rest }, fill);
  }
}

/** Two matrices whose products one operation can join; undefined: these it cannot. */
function gatedPair(gate: Weight, up: Weight, activation: Activation) {
  const [a, b, epilogue] = [gate.storage, up.storage, epilogues[activation]];
  if (!(a instanceof PanelStorage && b instanceof PanelStorage) || a.n !== b.n) return undefined;
  if (a.cached?.layer !== b.cached?.layer || a.cached?.cache !== b.cached?.cache) return undefined;
  return epilogue === undefined ? undefined : { storages: [a, b], epilogue };
}
