/**
 * One device that computes graphs. A `Backend` runs one graph at a time, in the order asked, on a
 * worker thread: the event loop stays free. A run can be aborted between two operations of the
 * graph, and inside those of our kernels that look at the abort flag. Owns its threads; knows nothing of what the graphs compute.
 */
import koffi from 'koffi';
import { PacelineError, throwIfAborted } from '../base/errors.js';
import { Accelerator } from './accelerator.js';
import { cacheOverflow } from './cache-rows.js';
import type { Card } from './devices.js';
import { defaultThreads, maximumThreads } from './host.js';
import { type Ggml, loadGgml, requireRoom } from './library.js';
import {
  claimKernels,
  type NativeKernels,
  nativeKernels,
  releaseKernels,
} from './native/library.js';
import type { GraphProfiler } from './profiler.js';
import { GgmlType } from './types.js';

export interface BackendOptions {
  /** Threads that compute; cut down to what the machine has. Default: the physical cores. */
  readonly threads?: number;
  /** Cards to compute on besides, the preferred one first; default: none. */
  readonly cards?: readonly Card[];
  /** Computes the same bytes on every x64 and arm64 machine, on the kernels' portable path. */
  readonly reproducible?: boolean;
}

export interface ComputeOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * True (default): ggml's threads walk the graph together, which its own long operations need.
   * False: one walks it, and the pool shares out the native operations.
   */
  readonly wide?: boolean;
  /** Address of the scheduler that computes the graph; 0 (default): the CPU does alone. */
  readonly scheduler?: number;
}

/** No type: the kernels' number of F32, which holds everything. */
const none = GgmlType.F32;

const status = { aborted: 1, success: 0, allocationFailed: -2 } as const;

/**
 * How long ggml's workers wait awake for the next graph: not at all. While one thread walks a graph
 * for decode they would take a core from the pool that shares out its operations.
 */
const pollLevel = 0;

/** Address space of a thread's stack, and something to spare. */
const stackBytes = 10 * 2 ** 20;

/** Offsets in `ggml_threadpool_params`: 512 bytes of CPU mask, then the fields set here. */
const poolParameters = { bytes: 528, threads: 512, priority: 516, poll: 520 } as const;

export class Backend implements Disposable {
  readonly ggml: Ggml;
  readonly threads: number;
  /** Whether only operations may be computed whose bytes are the same everywhere. */
  readonly reproducible: boolean;
  /** Address of the `ggml_backend`. */
  readonly address: number;
  /** Address of the buffer type in which weights, caches and graphs live. */
  readonly bufferType: number;
  /** `CPU` and the build of the library that runs; cards come first. */
  readonly name: string;
  /** Opened cards, the preferred one first. */
  readonly accelerators: readonly Accelerator[];
  /** Address of the threads that share out native operations; 0 where there are none. */
  readonly pool: number;
  /** Set where weights are cut into many operations: workspaces then have room for them. */
  largeGraphs = false;
  /**
   * Bytes that were copied for graphs: inputs up to where they are computed, outputs down. Weights and
   * what is saved of caches are not counted, nor what ggml's scheduler moves between devices.
   */
  readonly traffic = { up: 0, down: 0 };
  /** Sees how long each operation of a graph takes, instead of a plain run. For benchmarks. */
  profiler: GraphProfiler | undefined;
  /** ggml's own threads, where there is no pool; else 0. */
  readonly #threadpool: number;
  /** Address of an int32 that is not zero once a run shall stop; 0 without our kernels. */
  readonly abortFlag: number;
  readonly #flag = new Int32Array(1);
  /**
   * Address of an int32 in which kernels leave the type of a KV cache that could not hold a key or
   * value; the run then fails. 0 without our kernels.
   */
  readonly overflowFlag: number;
  readonly #overflow = new Int32Array(1);
  /** Without our kernels, a context whose no_alloc flag says "abort"; else 0. */
  readonly #abortContext: number;
  #queue: Promise<void> = Promise.resolve();
  #pending = 0;
  #disposed = false;

  /**
   * Opens the CPU, and the cards that are named.
   * @throws {PacelineError} `platform` when no library fits or a card cannot be opened, `usage` on a bad number of threads or
   *   beside a backend that is reproducible where this one is not, or the other way round.
   */
  constructor(options: BackendOptions = {}) {
    const wanted = options.threads ?? defaultThreads();
    if (!Number.isSafeInteger(wanted) || wanted < 1) {
      throw new PacelineError('usage', `The number of threads must be at least 1, not ${wanted}`);
    }
    this.threads = Math.min(wanted, maximumThreads());
    this.reproducible = options.reproducible ?? false;
    this.ggml = loadGgml();
    const { base, cpu, cpuRegistration, flagReader } = this.ggml;
    const device = base.ggml_backend_reg_dev_get(cpuRegistration, 0);
    requireRoom(this.ggml, this.threads * stackBytes, 'threads');
    this.address = base.ggml_backend_dev_init(device, null);
    if (this.address === 0) throw new PacelineError('platform', 'ggml cannot open the CPU');
    const accelerators: Accelerator[] = [];
    this.accelerators = accelerators;
    let kernels: NativeKernels | undefined;
    try {
      for (const card of options.cards ?? []) accelerators.push(new Accelerator(this.ggml, card));
      kernels = claimKernels(this.reproducible).kernels;
    } catch (error) {
      for (const accelerator of accelerators) accelerator.dispose();
      base.ggml_backend_free(this.address);
      throw error;
    }
    this.bufferType = base.ggml_backend_get_default_buffer_type(this.address);
    const names = accelerators.map(({ name, variant }) => `${name} (ggml ${variant})`);
    this.name = [...names, `CPU (ggml ${this.ggml.cpuVariant})`].join(' + ');
    cpu.ggml_backend_cpu_set_n_threads(this.address, this.threads);
    this.pool = kernels?.functions.pl_pool_new(this.threads) ?? 0;
    // With a pool few graphs need ggml's threads, which then live as long as such a graph computes. So an
    // environment that ends without `dispose` leaves none of them behind.
    this.#threadpool =
      this.pool === 0 ? cpu.ggml_threadpool_new(threadPoolParameters(this.threads)) : 0;
    if (this.#threadpool !== 0) {
      cpu.ggml_backend_cpu_set_threadpool(this.address, this.#threadpool);
    }
    this.abortFlag = kernels === undefined ? 0 : Number(koffi.address(this.#flag.buffer));
    this.overflowFlag = kernels === undefined ? 0 : Number(koffi.address(this.#overflow.buffer));
    this.#abortContext = kernels === undefined ? this.ggml.init(256) : 0;
    if (kernels === undefined) this.setAbortCallback(flagReader, this.#abortContext);
    else this.setAbortCallback(kernels.address('pl_abort_flag'), this.abortFlag);
  }

  /** Replaces the C function `bool (*)(void *)` that is asked after every operation. */
  setAbortCallback(callback: number, userdata: number): void {
    this.ggml.cpu.ggml_backend_cpu_set_abort_callback(this.address, callback, userdata);
  }

  /** True while a graph computes or waits. */
  get busy(): boolean {
    return this.#pending > 0;
  }

  /**
   * Computes a graph whose tensors are allocated, after the ones asked for before it.
   * @throws {PacelineError} `aborted`, `memory`, `disposed`; `bad-weights` when a KV cache cannot hold
   *   what was to be stored in it.
   */
  compute(graph: number, options: ComputeOptions = {}): Promise<void> {
    this.#pending++;
    const run = this.#queue.then(() => this.#run(graph, options));
    this.#queue = run.then(
      () => this.#settle(),
      () => this.#settle(),
    );
    return run;
  }

  #settle(): void {
    this.#pending--;
  }

  async #run(graph: number, { signal, wide = true, scheduler = 0 }: ComputeOptions): Promise<void> {
    this.#checkOpen();
    throwIfAborted(signal);
    const { base, cpu } = this.ggml;
    const threads = this.#walkers(wide);
    cpu.ggml_backend_cpu_set_n_threads(this.address, threads);
    this.#setAbort(false);
    Atomics.store(this.#overflow, 0, none);
    const abort = () => this.#setAbort(true);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const result = await new Promise<number>((resolve, reject) => {
        const settle = (error: Error | null, value: number) =>
          error ? reject(error) : resolve(value);
        if (scheduler === 0) base.ggml_backend_graph_compute.async(this.address, graph, settle);
        else base.ggml_backend_sched_graph_compute.async(scheduler, graph, settle);
      });
      const overflow = Atomics.load(this.#overflow, 0);
      if (result === status.success && overflow === none) return;
      if (result === status.success) throw cacheOverflow(overflow as GgmlType);
      if (result === status.aborted) throwIfAborted(signal);
      throw new PacelineError(
        result === status.allocationFailed ? 'memory' : 'internal',
        `ggml could not compute the graph (status ${result})`,
      );
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Threads that walk a graph together: fewer while other programs take the pool's cores. */
  #walkers(wide: boolean): number {
    if (this.pool === 0) return this.threads;
    const threads = wide ? (nativeKernels().kernels?.functions.pl_pool_threads(this.pool) ?? 1) : 1;
    // ggml ends the process where a thread of its own cannot start.
    if (threads > 1) requireRoom(this.ggml, threads * stackBytes, 'threads');
    return threads;
  }

  /** ggml reads one or the other after every operation; our kernels read the flag on the way. */
  #setAbort(value: boolean): void {
    Atomics.store(this.#flag, 0, value ? 1 : 0);
    if (this.#abortContext !== 0) {
      this.ggml.base.ggml_set_no_alloc(this.#abortContext, value);
    }
  }

  #checkOpen(): void {
    if (this.#disposed) throw new PacelineError('disposed', 'The backend has been disposed of');
  }

  /** Frees the threads and the device. Call it when nothing computes any more. */
  dispose(): void {
    if (this.#disposed) return;
    if (this.busy) throw new PacelineError('internal', 'A backend was disposed of while computing');
    this.#disposed = true;
    const { base, cpu } = this.ggml;
    for (const accelerator of this.accelerators) accelerator.dispose();
    base.ggml_backend_free(this.address);
    if (this.#threadpool !== 0) cpu.ggml_threadpool_free(this.#threadpool);
    nativeKernels().kernels?.functions.pl_pool_free(this.pool);
    if (this.#abortContext !== 0) this.ggml.free(this.#abortContext);
    releaseKernels();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function threadPoolParameters(threads: number): Uint8Array {
  const bytes = new Uint8Array(poolParameters.bytes);
  const view = new DataView(bytes.buffer);
  view.setInt32(poolParameters.threads, threads, true);
  view.setInt32(poolParameters.priority, 0, true);
  view.setUint32(poolParameters.poll, pollLevel, true);
  return bytes;
}
