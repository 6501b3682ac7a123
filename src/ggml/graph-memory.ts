/**
 * Where the tensors of a workspace's graphs get their memory, and who computes them: one backend, or
 * ggml's scheduler, which cuts a graph into parts for several and copies between them what the next
 * part reads.
 */
import type { Backend } from './backend.js';
import { requireRoom } from './library.js';
import { GgmlType } from './types.js';

export interface GraphMemory {
  /** Address of the `ggml_backend_sched` that computes; 0: the CPU's backend alone does. */
  readonly scheduler: number;
  /** Bytes held: those of the largest graph so far. */
  readonly bytes: number;
  /**
   * Gives the tensors of a graph their memory.
   * @param tensors their number.
   * @returns false when there is none.
   * @throws {PacelineError} `memory`, where ggml would end the process.
   */
  allocate(graph: number, tensors: number): boolean;
  dispose(): void;
}

/** @param capacity most tensors of a graph. */
export function graphMemory(backend: Backend, capacity: number): GraphMemory {
  return backend.accelerators.length === 0
    ? new HostMemory(backend)
    : new ScheduledMemory(backend, capacity);
}

const what = 'the intermediate results of a graph';

/**
 * What a plan takes at most, beside the memory of the tensors: ggml does not check whether it got
 * it. Lists and tables by tensor, of a few hundred bytes each, with empty places.
 */
const planBytes = (tensors: number) => 2 ** 20 + tensors * 1024;

class HostMemory implements GraphMemory {
  readonly scheduler = 0;
  readonly #backend: Backend;
  readonly #allocator: number;

  constructor(backend: Backend) {
    this.#backend = backend;
    this.#allocator = backend.ggml.base.ggml_gallocr_new(backend.bufferType);
  }

  get bytes(): number {
    return this.#backend.ggml.base.ggml_gallocr_get_buffer_size(this.#allocator, 0);
  }

  /**
   * The plan is made anew for every graph: the allocator would take over that of a graph of the same
   * sizes, in which other tensors were outputs to be kept.
   */
  allocate(graph: number, tensors: number): boolean {
    const { base } = this.#backend.ggml;
    requireRoom(this.#backend.ggml, planBytes(tensors), what);
    return (
      base.ggml_gallocr_reserve(this.#allocator, graph) &&
      base.ggml_gallocr_alloc_graph(this.#allocator, graph)
    );
  }

  dispose(): void {
    this.#backend.ggml.base.ggml_gallocr_free(this.#allocator);
  }
}

/** Tensors of a graph that is planned for its size alone. */
const smallGraph = 8;

class ScheduledMemory implements GraphMemory {
  readonly #backend: Backend;
  readonly #capacity: number;
  /** Address of a context for the small graph of `#forget`. */
  readonly #small: number;
  #scheduler = 0;

  constructor(backend: Backend, capacity: number) {
    this.#backend = backend;
    this.#capacity = capacity;
    const { base, init } = backend.ggml;
    this.#small = init(
      smallGraph * base.ggml_tensor_overhead() + base.ggml_graph_overhead_custom(smallGraph, false),
    );
  }

  get scheduler(): number {
    return this.#scheduler;
  }

  get bytes(): number {
    const { ggml, accelerators, address } = this.#backend;
    if (this.#scheduler === 0) return 0;
    return [...accelerators.map((one) => one.address), address].reduce(
      (sum, each) => sum + ggml.base.ggml_backend_sched_get_buffer_size(this.#scheduler, each),
      0,
    );
  }

  allocate(graph: number, tensors: number): boolean {
    const { base } = this.#backend.ggml;
    requireRoom(this.#backend.ggml, 2 * planBytes(tensors), what);
    if (this.#scheduler === 0) this.#scheduler = this.#open();
    else this.#forget();
    return base.ggml_backend_sched_alloc_graph(this.#scheduler, graph);
  }

  /**
   * Has the scheduler plan anew (see `HostMemory`), which it does for a graph of other sizes than the
   * last: this one, of one operation. Its buffers stay.
   */
  #forget(): void {
    const { base } = this.#backend.ggml;
    base.ggml_backend_sched_reset(this.#scheduler);
    base.ggml_reset(this.#small);
    const x = base.ggml_new_tensor_4d(this.#small, GgmlType.F32, 1, 1, 1, 1);
    base.ggml_set_input(x);
    const graph = base.ggml_new_graph_custom(this.#small, smallGraph, false);
    base.ggml_build_forward_expand(graph, base.ggml_scale(this.#small, x, 1));
    base.ggml_backend_sched_alloc_graph(this.#scheduler, graph);
    base.ggml_backend_sched_reset(this.#scheduler);
  }

  #open(): number {
    const { ggml, accelerators, address, bufferType } = this.#backend;
    const backends = [...accelerators.map((one) => one.address), address];
    const host = accelerators[0]?.hostBufferType || bufferType;
    const types = [...accelerators.map((one) => one.bufferType), host];
    return ggml.base.ggml_backend_sched_new(
      BigUint64Array.from(backends, BigInt),
      BigUint64Array.from(types, BigInt),
      backends.length,
      this.#capacity,
      false,
      false,
    );
  }

  dispose(): void {
    if (this.#scheduler !== 0) this.#backend.ggml.base.ggml_backend_sched_free(this.#scheduler);
    this.#scheduler = 0;
    this.#backend.ggml.free(this.#small);
  }
}
