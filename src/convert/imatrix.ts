/**
 * Importance matrices from our own forward pass: a text is read, and for each matrix of the layers
 * the squares of its inputs are summed up, column by column. Chunks are those of llama-imatrix
 * (`chunksOf`), all of their tokens count. Sums of a pass are made on the device in ggml's double
 * precision, those of passes and chunks here; experts' sums wholly here.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import { Evaluator, readText, usualChunk } from '../bench/evaluator.js';
import type { Graph } from '../ggml/graph.js';
import { preferredLayouts } from '../ggml/layouts.js';
import { type ProductTap, tappedLayout } from '../ggml/tapped-layout.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import type { ImportanceEntry, ImportanceMatrix } from './imatrix-file.js';

export interface CollectOptions {
  /** Path of the model. */
  readonly model: string;
  readonly text: string;
  /** What the file calls the text. */
  readonly dataset: string;
  /** Tokens of a chunk. Default 512. */
  readonly contextLength?: number;
  /** Most chunks to read. Default: all. */
  readonly chunks?: number;
  /** Also collect for a head that is no token table. Default false. */
  readonly processOutput?: boolean;
  readonly threads?: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Collects an importance matrix.
 * @throws {PacelineError} `usage` for a text of fewer than two chunks; as `loadModel`; `bad-weights`
 *   when activations are not finite; `aborted`.
 */
export async function collectImportance(options: CollectOptions): Promise<ImportanceMatrix> {
  const { contextLength = usualChunk, threads, signal, onProgress } = options;
  const collector = new Collector(options.processOutput === true);
  using model = await Evaluator.open(options.model, {
    contextLength,
    threads,
    signal,
    onProgress,
    layouts: preferredLayouts().map((layout) => tappedLayout(layout, collector)),
  });
  const reading = { contextLength, chunks: options.chunks, onProgress, signal };
  const chunkCount = await readText(model.tokenizer, options.text, reading, (chunk) =>
    model.read(chunk, (graph) => collector.gather(graph)),
  );
  return {
    entries: collector.entries(),
    datasets: [options.dataset],
    chunkCount,
    chunkSize: contextLength,
  };
}

interface Sums {
  readonly sums: Float64Array;
  readonly counts: Float64Array;
}

/** What a pass adds to a weight's sums. */
type Pending =
  | {
      readonly kind: 'linear';
      readonly weight: Weight;
      readonly sum: Tensor;
      readonly rows: number;
    }
  | { readonly kind: 'experts'; readonly weight: Weight; readonly x: Tensor; readonly ids: Tensor };

class Collector implements ProductTap {
  readonly #processOutput: boolean;
  readonly #collected = new Map<string, Sums>();
  readonly #pending: Pending[] = [];
  /** What was made for an input already: several weights share it. */
  readonly #made = new Map<Tensor, Tensor>();

  constructor(processOutput: boolean) {
    this.#processOutput = processOutput;
  }

  linear(graph: Graph, weight: Weight, x: Tensor): void {
    if (!this.#wants(weight)) return;
    const sum = this.#once(x, () => {
      const squares = graph.mul(x, x); // [in, T]
      const columns = graph.cont(graph.permute(squares, [1, 0, 2, 3])); // [T, in]
      return graph.output(graph.sumRows(columns)); // [1, in]
    });
    this.#pending.push({ kind: 'linear', weight, sum, rows: x.elements / x.shape[0] });
  }

  experts(graph: Graph, weight: Weight, x: Tensor, ids: Tensor): void {
    if (!this.#wants(weight)) return;
    const kept = (tensor: Tensor) =>
      this.#once(tensor, () => graph.output(tensor.contiguous ? tensor : graph.cont(tensor)));
    this.#pending.push({ kind: 'experts', weight, x: kept(x), ids: kept(ids) });
  }

  #wants({ name }: Weight): boolean {
    return name.startsWith('blk.') || (this.#processOutput && name === 'output.weight');
  }

  #once(input: Tensor, make: () => Tensor): Tensor {
    const made = this.#made.get(input) ?? make();
    this.#made.set(input, made);
    return made;
  }

  /** Adds what a computed pass has seen. */
  gather(graph: Graph): void {
    for (const pending of this.#pending.splice(0)) {
      const { name, shape } = pending.weight;
      const [columns = 1, , matrices = 1] = shape;
      let entry = this.#collected.get(name);
      if (entry === undefined) {
        const sums = new Float64Array(columns * matrices);
        entry = { sums, counts: new Float64Array(pending.kind === 'linear' ? 1 : matrices) };
        this.#collected.set(name, entry);
      }
      if (pending.kind === 'linear') {
        for (const [at, sum] of graph.read(pending.sum).entries()) {
          (entry.sums[at] as number) += sum;
        }
        (entry.counts[0] as number) += pending.rows;
      } else {
        addExperts(entry, graph.read(pending.x), graph.readIndices(pending.ids), pending);
      }
    }
    this.#made.clear();
  }

  /** @throws {PacelineError} `bad-weights` when something is not finite. */
  entries(): ReadonlyMap<string, ImportanceEntry> {
    const entries = new Map<string, ImportanceEntry>();
    for (const [name, { sums, counts }] of this.#collected) {
      if (!sums.every(Number.isFinite)) {
        throw new PacelineError('bad-weights', `The inputs of ${name} are not finite numbers`, {
          hint: 'The model is damaged, or overflows on this text.',
          details: { tensor: name },
        });
      }
      entries.set(name, { sums: Float32Array.from(sums), counts: Float32Array.from(counts) });
    }
    return entries;
  }
}

/** x [in, slots or 1, tokens] by ids [slots, tokens]. */
function addExperts(
  { sums, counts }: Sums,
  x: Float32Array,
  ids: Int32Array,
  { x: { shape }, ids: chosen }: { readonly x: Tensor; readonly ids: Tensor },
): void {
  const [columns, slots] = shape;
  const used = chosen.shape[0];
  for (const [at, expert] of ids.entries()) {
    const token = Math.floor(at / used);
    const row = (token * slots + ((at % used) % slots)) * columns;
    for (let column = 0; column < columns; column++) {
      (sums[expert * columns + column] as number) += (x[row + column] as number) ** 2;
    }
    (counts[expert] as number)++;
  }
}
