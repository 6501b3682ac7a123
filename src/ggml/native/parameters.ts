/**
 * Parameter structs of native operations: memory that lives as long as a graph, written by field
 * name. An address may be given as a tensor; where its data lies is known only when the graph has
 * been allocated, and is filled in then, for the whole graph by one call.
 */
import koffi from 'koffi';
import { PacelineError } from '../../base/errors.js';
import type { Graph } from '../graph.js';
import { Tensor } from '../tensor.js';
import { mismatch, type NativeKernels } from './library.js';

/** Values of the slots by field name: numbers, or tensors for addresses. Others are zero. */
export type ParameterValues = Readonly<Record<string, number | Tensor>>;

/** A struct whose address is known before its values are, since they may name the result. */
export interface Parameters {
  readonly address: number;
  /** @throws {PacelineError} `platform` when the library's struct has no such field. */
  set(field: string, value: number | Tensor): void;
  /** Sets several fields. */
  write(values: ParameterValues): void;
}

/** `data` in `ggml_tensor` of ggml 0.25.1; compared with `ggml_get_data` for every graph. */
const dataOffset = 248;
const chunkBytes = 1 << 16;

/** All parameter structs of one graph. */
class ParameterMemory {
  readonly #kernels: NativeKernels;
  readonly #graph: Graph;
  #view = new DataView(new ArrayBuffer(0));
  #address = 0;
  #used = 0;
  readonly #slots: number[] = [];
  #resolved = false;
  /** Whether operations may get copies of their sources, which come from other devices. */
  readonly #moves: boolean;
  /** What stands in the slots, where that may have to be replaced. */
  readonly #named: { readonly view: DataView; readonly at: number; readonly tensor: Tensor }[] = [];
  #probe: { readonly view: DataView; readonly offset: number; readonly tensor: Tensor } | undefined;

  constructor(kernels: NativeKernels, graph: Graph) {
    this.#kernels = kernels;
    this.#graph = graph;
    this.#moves = graph.backend.accelerators.length > 0;
    graph.beforeRun(() => this.#resolve());
  }

  reserve(name: string): Parameters {
    const layout = this.#kernels.struct(name);
    if (this.#used + layout.size > this.#view.byteLength) this.#grow(layout.size);
    const start = this.#used;
    const view = this.#view;
    const base = this.#address;
    this.#used += layout.size;
    const set = (field: string, value: number | Tensor) => {
      const slot = layout.fields.get(field);
      if (slot === undefined || slot.kind === 'S') {
        throw mismatch(this.#kernels.file, `${name} has no field ${field}`);
      }
      const at = start + slot.offset;
      if (value instanceof Tensor) {
        if (slot.kind !== 'P') {
          throw mismatch(this.#kernels.file, `${name}.${field} is no address`);
        }
        this.#probe ??= { view, offset: at, tensor: value };
        this.#slots.push(base + at);
        setInteger(view, at, value.address);
        if (this.#moves) this.#named.push({ view, at, tensor: value });
      } else if (slot.kind === 'F') {
        view.setFloat64(at, value, true);
      } else {
        setInteger(view, at, value);
      }
    };
    return {
      address: base + start,
      set,
      write: (values) => {
        for (const field in values) set(field, values[field] as number | Tensor);
      },
    };
  }

  #grow(atLeast: number): void {
    const buffer = this.#graph.keep(new ArrayBuffer(Math.max(chunkBytes, atLeast)));
    this.#view = new DataView(buffer);
    this.#address = Number(koffi.address(buffer));
    this.#used = 0;
  }

  /** Once: a graph that is computed again has its tensors where they were. */
  #resolve(): void {
    if (this.#resolved) return;
    this.#resolved = true;
    const list = new BigUint64Array(this.#slots.length);
    for (const [index, slot] of this.#slots.entries()) list[index] = BigInt(slot);
    if (list.length === 0) return;
    if (this.#moves) {
      const copies = copiedSources(this.#kernels, this.#graph.customOperations);
      for (const { view, at, tensor } of this.#named) {
        const copy = copies.get(tensor.address);
        if (copy !== undefined) setInteger(view, at, copy);
      }
    }
    this.#kernels.functions.pl_resolve(list, list.length, dataOffset);
    if (this.#probe === undefined) return;
    const { view, offset, tensor } = this.#probe;
    const expected = this.#graph.backend.ggml.base.ggml_get_data(tensor.address);
    if (!this.#moves && Number(view.getBigUint64(offset, true)) !== expected) {
      throw new PacelineError('platform', 'The tensors of this ggml library have another layout');
    }
  }
}

/** `src` in `ggml_tensor` of ggml 0.25.1. */
const sourcesOffset = 152;

/**
 * The scheduler gives an operation copies of sources that lie on another device: each copied tensor's
 * address with that of its copy on the CPU.
 */
function copiedSources(
  kernels: NativeKernels,
  operations: readonly { readonly address: number; readonly sources: readonly Tensor[] }[],
): ReadonlyMap<number, number> {
  const copies = new Map<number, number>();
  const most = Math.max(0, ...operations.map(({ sources }) => sources.length));
  for (let at = 0; at < most; at++) {
    const having = operations.filter(({ sources }) => sources.length > at);
    // `pl_resolve` replaces the tensors of a list by what they have at an offset.
    const tensors = BigUint64Array.from(having, ({ address }) => BigInt(address));
    const first = Number(koffi.address(tensors.buffer));
    const slots = BigUint64Array.from(having, (_, index) => BigInt(first + index * 8));
    kernels.functions.pl_resolve(slots, slots.length, sourcesOffset + at * 8);
    for (const [index, { sources }] of having.entries()) {
      const [original, found] = [sources[at]?.address ?? 0, Number(tensors[index])];
      if (found !== original) copies.set(original, found);
    }
  }
  return copies;
}

/** Reserves a parameter struct, all zero, for an operation of `graph`. */
export function reserveParameters(kernels: NativeKernels, graph: Graph, name: string): Parameters {
  const memory = graph.shared(ParameterMemory, () => new ParameterMemory(kernels, graph));
  return memory.reserve(name);
}

/** A signed 64-bit integer or an address, exact below 2^53. */
function setInteger(view: DataView, offset: number, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  view.setUint32(offset, value - high * 2 ** 32, true);
  view.setInt32(offset + 4, high, true);
}
