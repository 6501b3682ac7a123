/** Stores experts in their file: what a pass needs of them is read into a bounded cache. */
import type { Backend } from '../backend.js';
import { requireRoom } from '../library.js';
import type { FilePlace, WeightAllocation, WeightLayout, WeightSpec } from '../weight.js';
import { type CachedLayer, ExpertCache, type Forecast } from './expert-cache.js';
import { bytesOfSlots, type ExpertsOfLayer, shareSlots } from './expert-slots.js';
import type { NativeKernels } from './library.js';
import { PanelStorage } from './panel-storage.js';
import { panelBytes } from './panels.js';

export interface FiledExperts {
  /** Bytes for experts. */
  readonly bytes: number;
  /** Experts that a token goes through in one layer. */
  readonly used: number;
  /** Weights of one name are the matrices of the same experts; undefined: it has none of a mixture's. */
  readonly layerOf: (spec: WeightSpec) => string | undefined;
  /** Default: measured. */
  readonly forecast?: Forecast | undefined;
}

/** Reads in flight at once: a solid-state disk answers several as fast as one. */
const readers = 4;

/** Bytes of one expert's matrix in its slot; undefined: this weight cannot stay in its file. */
function matrixBytes(kernels: NativeKernels, spec: WeightSpec): number | undefined {
  if (spec.role !== 'experts') return undefined;
  const bytes = panelBytes(kernels, spec);
  return bytes && Math.ceil(bytes / (spec.shape[2] ?? 1) / 64) * 64;
}

/** The layers among weights, in order, with those of their matrices that can stay in the file. */
export function expertsOf(
  kernels: NativeKernels,
  specs: readonly WeightSpec[],
  layerOf: FiledExperts['layerOf'],
): readonly (ExpertsOfLayer & { readonly specs: readonly WeightSpec[] })[] {
  const layers = new Map<string, WeightSpec[]>();
  for (const spec of specs) {
    const name = layerOf(spec);
    if (name === undefined || matrixBytes(kernels, spec) === undefined) continue;
    const own = layers.get(name) ?? [];
    own.push(spec);
    layers.set(name, own);
  }
  return [...layers.values()].map((own) => ({
    specs: own,
    experts: own[0]?.shape[2] ?? 0,
    bytes: own.reduce((sum, spec) => sum + (matrixBytes(kernels, spec) ?? 0), 0),
  }));
}

/** A layout for experts that stay in their file. */
export interface ExpertLayout extends WeightLayout {
  /** The cache, once weights have been loaded with this layout. */
  readonly cache: ExpertCache | undefined;
}

/** The layout for the experts of one model. */
export function expertLayout(kernels: NativeKernels, memory: FiledExperts): ExpertLayout {
  let allocation: CachedAllocation | undefined;
  return {
    name: `experts in the file (${kernels.path})`,
    // They take no memory of their own: the cache's is counted as a whole.
    bytes: (spec) => (matrixBytes(kernels, spec) === undefined ? undefined : 0),
    allocate(backend, specs) {
      allocation = new CachedAllocation(kernels, backend, specs, memory);
      return allocation;
    },
    get cache() {
      return allocation?.cache;
    },
  };
}

class CachedAllocation implements WeightAllocation {
  readonly storages: readonly PanelStorage[];
  readonly bytes: number;
  cache: ExpertCache | undefined;
  readonly #kernels: NativeKernels;
  readonly #backend: Backend;
  readonly #memory: FiledExperts;
  readonly #layers: ReturnType<typeof expertsOf>;
  readonly #slots: ReadonlyMap<number, number>;
  readonly #specs: readonly WeightSpec[];
  readonly #places = new Map<WeightSpec, FilePlace>();

  /** @throws {PacelineError} `memory` when the bytes are too few, or not there. */
  constructor(
    kernels: NativeKernels,
    backend: Backend,
    specs: readonly WeightSpec[],
    memory: FiledExperts,
  ) {
    this.#kernels = kernels;
    this.#backend = backend;
    this.#memory = memory;
    this.#specs = specs;
    this.#layers = expertsOf(kernels, specs, memory.layerOf);
    this.#slots = shareSlots(this.#layers, memory.bytes, memory.used);
    this.bytes = bytesOfSlots(this.#slots);
    requireRoom(backend.ggml, this.bytes, 'experts');
    this.storages = specs.map((spec) => {
      const layer = this.#layers.findIndex((one) => one.specs.includes(spec));
      const part = this.#layers[layer]?.specs.indexOf(spec) ?? 0;
      const own = () => {
        if (this.cache === undefined) throw new RangeError(`${spec.name} is not open`);
        return this.cache;
      };
      return new PanelStorage(kernels, 0, 0, spec, {
        ...{ layer, part },
        get cache() {
          return own().address;
        },
        fetch: (graph, ids) => own().fetch(graph, layer, ids),
        get foresees() {
          return own().foresees;
        },
        foresee: (graph, ids) => own().foresee(graph, layer, ids),
      });
    });
  }

  fill(): void {
    throw new RangeError('Experts that stay in their file are not filled');
  }

  leave(index: number, place: FilePlace): void {
    const spec = this.#specs[index];
    if (spec !== undefined) this.#places.set(spec, place);
  }

  open(): void {
    const bytes = new Map<CachedLayer, number>();
    const layers = this.#layers.map((layer) => {
      const matrices = layer.specs.map((spec) => {
        const place = this.#places.get(spec);
        if (place === undefined) throw new RangeError(`No place of ${spec.name}`);
        return { spec, place };
      });
      const made = { experts: layer.experts, matrices };
      bytes.set(made, layer.bytes);
      return made;
    });
    this.cache = new ExpertCache(this.#kernels, this.#backend, {
      ...{ layers, readers, forecast: this.#memory.forecast },
      slots: this.#slots,
      slotBytes: (layer) => bytes.get(layer) ?? 0,
    });
  }

  dispose(): void {
    this.cache?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
