/**
 * Stores weights as panels: which weights can be, how many bytes they take, and how the rows of a
 * file get there. What is computed with them is in `panel-storage.ts`.
 */
import type { Backend } from '../backend.js';
import { outOfMemory, requireRoom } from '../library.js';
import { rowBytes } from '../types.js';
import type { WeightAllocation, WeightLayout, WeightSpec } from '../weight.js';
import type { NativeKernels } from './library.js';
import { PanelStorage } from './panel-storage.js';

/** Bytes of a weight as panels, or undefined when the kernels do not have its type or shape. */
export function panelBytes(
  kernels: NativeKernels,
  { type, shape, role }: WeightSpec,
): number | undefined {
  const [k = 0, n = 0, matrices = 1] = shape;
  const fits =
    role === 'linear' || role === 'linear+rows' ? shape.length === 2 : role === 'experts';
  if (!fits) return undefined;
  const bytes = kernels.functions.pl_panel_bytes(type, k, n);
  return bytes === 0 ? undefined : bytes * matrices;
}

/** The layout for weights that matrices are made of; others are left to ggml's own layout. */
export function panelLayout(kernels: NativeKernels): WeightLayout {
  return {
    name: `panels (${kernels.path})`,
    bytes: (spec) => panelBytes(kernels, spec),
    allocate: (backend, specs) => new PanelAllocation(kernels, backend, specs),
  };
}

/** Panels of several weights in one piece of memory, so that large pages can hold them. */
class PanelAllocation implements WeightAllocation {
  readonly storages: readonly PanelStorage[];
  readonly bytes: number;
  readonly #kernels: NativeKernels;
  readonly #threads: number;
  readonly #address: number;
  readonly #running = new Set<Promise<void>>();
  #disposed = false;

  constructor(kernels: NativeKernels, backend: Backend, specs: readonly WeightSpec[]) {
    this.#kernels = kernels;
    this.#threads = backend.threads;
    const sizes = specs.map((spec) => {
      const bytes = panelBytes(kernels, spec);
      if (bytes === undefined) throw new RangeError(`${spec.name} does not fit into panels`);
      return bytes;
    });
    const places: number[] = [];
    let total = 0;
    for (const size of sizes) {
      places.push(total);
      total += Math.ceil(size / 64) * 64;
    }
    this.bytes = total;
    requireRoom(backend.ggml, total, 'weights');
    this.#address = total === 0 ? 0 : kernels.functions.pl_alloc(total);
    if (this.#address === 0 && total > 0) throw outOfMemory(total, 'weights');
    this.storages = specs.map(
      (spec, index) =>
        new PanelStorage(kernels, this.#address + (places[index] ?? 0), sizes[index] ?? 0, spec),
    );
  }

  fill(index: number, matrix: number, firstRow: number, data: Uint8Array): Promise<void> {
    const storage = this.storages[index];
    if (storage === undefined || this.#disposed) throw new RangeError(`No weight ${index}`);
    const { k, n, spec } = storage;
    const matrices = spec.shape[2] ?? 1;
    const target = storage.address + (storage.bytes / matrices) * matrix;
    const rows = data.byteLength / rowBytes(spec.type, k);
    const run = new Promise<void>((resolve, reject) => {
      this.#kernels.functions.pl_repack.async(
        spec.type,
        data,
        target,
        k,
        n,
        firstRow,
        rows,
        this.#threads,
        (error, status) => {
          if (error !== null) reject(error);
          else if (status === 0) resolve();
          else reject(new RangeError(`Rows ${firstRow} to ${firstRow + rows} of ${spec.name}`));
        },
      );
    });
    const tracked = run.then(
      () => undefined,
      () => undefined,
    );
    this.#running.add(tracked);
    tracked.then(() => this.#running.delete(tracked));
    return run;
  }

  /** Frees the memory once nothing is written to it any more. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#address === 0) return;
    Promise.all(this.#running).then(() =>
      this.#kernels.functions.pl_free(this.#address, this.bytes),
    );
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
