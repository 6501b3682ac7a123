/**
 * Times the operations of graphs, one after another: each is computed as a graph of its own, with
 * the threads that the whole would have. What starting such a graph costs is measured with one that
 * computes nothing, and subtracted. Waiting between operations and what ggml fuses is therefore not
 * in these numbers: their sum is not the time of a pass.
 */
import type { Backend, ComputeOptions } from './backend.js';
import type { Tensor } from './tensor.js';

/** Time of one operation of a graph. */
export interface OperationTime {
  readonly operation: string;
  /** Whose kernel computes it. */
  readonly by: 'native' | 'ggml';
  /** What it was made for: `layer 3`, or `rest`. */
  readonly section: string;
  readonly ms: number;
}

/** Operations that only look at memory in another way. */
const views: ReadonlySet<string> = new Set(['view', 'reshape', 'permute', 'transpose']);
const rest = 'rest';
const graphCapacity = 8;
const emptyRuns = 9;

export class GraphProfiler {
  readonly #runs: OperationTime[][] = [];
  readonly #tensors = new Map<number, { tensor: Tensor; section: string }>();
  #open: { tensor: Tensor; section: string }[] = [];

  /** Every run so far: the operations in the order in which they were computed. */
  get runs(): readonly (readonly OperationTime[])[] {
    return this.#runs;
  }

  /** Takes note of a new tensor of the graph that is being built. */
  note(tensor: Tensor): void {
    const entry = { tensor, section: rest };
    this.#tensors.set(tensor.address, entry);
    this.#open.push(entry);
  }

  /** Names the section of all tensors since the last call. */
  endSection(name: string): void {
    for (const entry of this.#open) entry.section = name;
    this.#open = [];
  }

  /** Computes an allocated graph operation by operation. Blocks the event loop meanwhile. */
  async compute(graph: number, backend: Backend, options: ComputeOptions): Promise<void> {
    const { base, init, free } = backend.ggml;
    const context = init(base.ggml_graph_overhead_custom(graphCapacity, false) + 1024);
    try {
      const single = base.ggml_new_graph_custom(context, graphCapacity, false);
      // A graph without operations sets the threads up as a pass would.
      await backend.compute(single, options);
      const time = (node: number | undefined): number => {
        base.ggml_graph_clear(single);
        if (node !== undefined) base.ggml_graph_add_node(single, node);
        const start = performance.now();
        base.ggml_backend_graph_compute(backend.address, single);
        return performance.now() - start;
      };
      const empty = Array.from({ length: emptyRuns }, () => time(undefined)).sort((a, b) => a - b);
      const overhead = empty[emptyRuns >> 1] ?? 0;
      const run: OperationTime[] = [];
      const nodes = base.ggml_graph_n_nodes(graph);
      for (let at = 0; at < nodes; at++) {
        const node = base.ggml_graph_node(graph, at);
        const known = this.#tensors.get(node);
        const ms = Math.max(0, time(node) - overhead);
        const operation = known?.tensor.operation ?? 'other';
        if (views.has(operation)) continue;
        const by = known?.tensor.native ? 'native' : 'ggml';
        run.push({ operation, by, section: known?.section ?? rest, ms });
      }
      this.#runs.push(run);
    } finally {
      free(context);
      this.#open = [];
    }
  }
}
