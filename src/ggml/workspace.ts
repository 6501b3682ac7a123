/**
 * Memory in which graphs are built and computed. A workspace holds one graph at a time and reuses
 * its memory for the next, so that rebuilding a graph for every step costs well under a millisecond.
 * Work that alternates between two kinds of graph is faster with a workspace for each.
 */
import { PacelineError } from '../base/errors.js';
import type { Backend } from './backend.js';
import { Graph } from './graph.js';
import { type GraphMemory, graphMemory } from './graph-memory.js';

/** Most tensors of one graph: a 100-layer mixture of experts with 16 sequences fits. */
const defaultCapacity = 32768;

/** The scheduler of several devices takes kilobytes of address space for each. */
const scheduledCapacity = 16384;

function usualCapacity({ accelerators, largeGraphs }: Backend): number {
  const usual = accelerators.length === 0 ? defaultCapacity : scheduledCapacity;
  return usual * (largeGraphs ? 4 : 1);
}

export class Workspace implements Disposable {
  readonly backend: Backend;
  /** Most tensors that a graph here may have. */
  readonly capacity: number;
  /** Address of the `ggml_context` that holds the headers. */
  readonly context: number;
  /** Where intermediate results live. */
  readonly memory: GraphMemory;
  #current: Graph | undefined;
  #disposed = false;

  /** @throws {PacelineError} `memory` when the headers cannot be allocated. */
  constructor(backend: Backend, options: { readonly capacity?: number } = {}) {
    const { base, init } = backend.ggml;
    this.backend = backend;
    this.capacity = options.capacity ?? usualCapacity(backend);
    this.context = init(
      (this.capacity + 4) * base.ggml_tensor_overhead() +
        base.ggml_graph_overhead_custom(this.capacity, false),
    );
    try {
      this.memory = graphMemory(backend, this.capacity);
    } catch (error) {
      backend.ggml.free(this.context);
      throw error;
    }
  }

  /**
   * A new, empty graph. The one before it ends: its tensors can no longer be read.
   * @throws {PacelineError} `graph` while the one before it computes, `disposed`.
   */
  begin(): Graph {
    this.#close();
    this.#current = new Graph(this);
    return this.#current;
  }

  /** Bytes held for intermediate results: those of the largest graph so far. */
  get bytes(): number {
    return this.memory.bytes;
  }

  #close(): void {
    if (this.#disposed) throw new PacelineError('disposed', 'The workspace has been disposed of');
    this.#current?.close();
    this.#current = undefined;
    this.backend.ggml.base.ggml_reset(this.context);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#close();
    this.#disposed = true;
    this.memory.dispose();
    this.backend.ggml.free(this.context);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
