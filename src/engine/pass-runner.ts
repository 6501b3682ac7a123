/**
 * Runs passes of one model over rows of several texts: weights are read once for all of them.
 * Kernels are batch-invariant on the CPU, so who shared a pass never shows in the logits. Knows
 * neither what the rows are for nor whose turn it is.
 */
import { PacelineError } from '../base/errors.js';
import type { SequenceState } from '../cache/state.js';
import type { FeatureRows } from '../decode/drafter.js';
import type { Backend } from '../ggml/backend.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { LanguageModel } from '../models/model.js';
import { mostRows, type Pass, PassBuilder, type PassShape } from './pass.js';

export interface PassRequest {
  /** Its length is the position of the first token; the pass writes the rows behind it. */
  readonly state: SequenceState;
  /** At least one. */
  readonly tokens: readonly number[];
  /** Which tokens' logits are wanted. */
  readonly outputs: 'first' | 'last' | 'all';
  /** What drafters want to see of the pass besides. */
  readonly features?: FeatureRequest | undefined;
}

/** Rows inside the model that drafters read, of the last `rows` tokens of the request. */
export interface FeatureRequest {
  /** The hidden state after the output norm. */
  readonly hidden?: boolean;
  /** Residual streams: index i is the input of layer i, the layer count the last one's output. */
  readonly taps?: readonly number[];
  readonly rows: number;
  /** Hidden states of so many only; they are dearer than taps, as the last layer computes them. */
  readonly hiddenRows?: number;
}

/** What a pass gives one request. */
export interface PassRows {
  /**
   * One row of floats for each output, one float a token of the vocabulary or a class; the state's
   * next pass overwrites them. Empty for models without a head.
   */
  readonly logits: readonly Float32Array[];
  readonly hidden?: FeatureRows;
  readonly taps?: FeatureRows;
}

/** From so many rows on, small operations of the graph are worth all threads. */
const wideRows = 64;

export class PassRunner {
  readonly #passes: PassBuilder;
  readonly #layerCount: number;
  /** Where a text's logits go: new arrays of megabytes for every pass would keep the GC busy. */
  readonly #logits = new WeakMap<SequenceState, Float32Array>();

  constructor(options: { readonly model: LanguageModel; readonly backend: Backend }) {
    this.#passes = new PassBuilder(options.model, options.backend);
    this.#layerCount = options.model.hyperparameters.layerCount;
  }

  /** Frees the graphs; nothing may be in flight. */
  dispose(): void {
    this.#passes.dispose();
  }

  /**
   * Computes the requests in one pass, in milliseconds that the result tells.
   * @throws {PacelineError} `aborted`, `memory`.
   */
  async run(
    requests: readonly PassRequest[],
    signal?: AbortSignal,
  ): Promise<{ readonly results: readonly PassRows[]; readonly ms: number }> {
    const tokens: number[] = [];
    const positions: number[] = [];
    const outputs: number[] = [];
    const sequences = requests.map(({ state, tokens: own, outputs: wanted }) => {
      const start = tokens.length;
      for (const [index, token] of own.entries()) {
        tokens.push(token);
        positions.push(state.length + index);
        const only = wanted === 'first' ? 0 : own.length - 1;
        if (wanted === 'all' || index === only) outputs.push(start + index);
      }
      return { state, start, count: own.length, past: state.length };
    });
    const layers = [...new Set(requests.flatMap((request) => tappedLayers(request)))];
    const shape = {
      sequences,
      outputs: outputs.length === tokens.length ? undefined : outputs,
      taps: layers,
      hidden: this.#hiddenRows(requests, sequences, outputs, layers),
    };
    const pass = this.#passes.prepare(shape, Int32Array.from(tokens), Int32Array.from(positions));
    const { graph, logits } = pass;
    const taps = new Map(layers.map((layer, at) => [layer, tapOf(pass.taps, at)]));
    const began = performance.now();
    try {
      await graph.compute({ signal, wide: tokens.length >= wideRows });
    } catch (error) {
      this.#passes.discard(pass);
      throw error;
    }
    const ms = performance.now() - began;

    let row = 0;
    const results = requests.map((request, index) => {
      const slice = sequences[index] ?? { start: 0, count: 0 };
      const outputRows = request.outputs === 'all' ? slice.count : 1;
      const read = logits ? this.#readLogits(request.state, graph, logits, row, outputRows) : [];
      row += outputRows;
      return {
        logits: read,
        ...readFeatures(request, slice, { pass, hidden: shape.hidden, taps }),
      };
    });
    if (!graph.repeatable) this.#passes.discard(pass);
    return { results, ms };
  }

  /** Rows [first, first + count) of the logits, in memory that the state's next pass overwrites. */
  #readLogits(state: SequenceState, graph: Graph, logits: Tensor, first: number, count: number) {
    const vocabulary = logits.shape[0];
    const target = this.#logitsOf(state, count * vocabulary);
    const flat = graph.readInto(target, logits, first * vocabulary);
    return Array.from({ length: count }, (_, at) =>
      flat.subarray(at * vocabulary, (at + 1) * vocabulary),
    );
  }

  /**
   * Which rows' hidden states are wanted. In a long pass the others are spared most of the last
   * layer, unless it is tapped as a whole.
   */
  #hiddenRows(
    requests: readonly PassRequest[],
    slices: readonly Slice[],
    outputs: readonly number[],
    layers: readonly number[],
  ): PassShape['hidden'] {
    if (!requests.some(({ features }) => features?.hidden === true)) return 'none';
    const count = slices.reduce((sum, slice) => sum + slice.count, 0);
    if (count <= mostRows || layers.includes(this.#layerCount - 1)) return 'all';
    const rows = new Set(outputs);
    for (const [index, request] of requests.entries()) {
      const slice = slices[index];
      if (slice === undefined || request.features?.hidden !== true) continue;
      for (let row = hiddenFrom(request, slice); row < slice.start + slice.count; row++) {
        rows.add(row);
      }
    }
    return rows.size === count ? 'all' : [...rows].sort((a, b) => a - b);
  }

  #logitsOf(state: SequenceState, count: number): Float32Array {
    const kept = this.#logits.get(state);
    if (kept !== undefined && kept.length >= count) return kept.subarray(0, count);
    const made = new Float32Array(count);
    this.#logits.set(state, made);
    return made;
  }
}

interface Slice {
  readonly start: number;
  readonly count: number;
}

/** What a pass has of the rows inside the model. */
interface PassFeatures {
  readonly pass: Pass;
  /** Which rows' hidden states it has. */
  readonly hidden: PassShape['hidden'];
  readonly taps: ReadonlyMap<number, Tensor>;
}

/** The hidden states and taps that a request wants. */
function readFeatures(
  request: PassRequest,
  slice: Slice,
  { pass, hidden, taps }: PassFeatures,
): Pick<PassRows, 'hidden' | 'taps'> {
  const { features } = request;
  if (features === undefined) return {};
  const end = slice.start + slice.count;
  const first = Math.max(slice.start, end - features.rows);
  const known = hiddenFrom(request, slice);
  // Where the pass has some rows only, they lie closer together than in the batch.
  const skipped = typeof hidden === 'string' ? 0 : known - hidden.indexOf(known);
  const tapped = tappedLayers(request).map((layer) => taps.get(layer) as Tensor);
  const { graph } = pass;
  return {
    ...(features.hidden && pass.hidden
      ? { hidden: readRows(graph, [pass.hidden], known - skipped, end - skipped) }
      : {}),
    ...(features.taps ? { taps: readRows(graph, tapped, first, end) } : {}),
  };
}

/** The first row of the batch whose hidden state a request wants. */
function hiddenFrom({ features }: PassRequest, slice: Slice | undefined): number {
  const { start = 0, count = 0 } = slice ?? {};
  const wanted = features?.hiddenRows ?? features?.rows ?? 0;
  return Math.max(start, start + count - wanted);
}

/** Layers (by their output) that a request taps, in its order. */
function tappedLayers({ features }: PassRequest): readonly number[] {
  return (features?.taps ?? []).map((index) => {
    if (index >= 1) return index - 1;
    throw new PacelineError('internal', 'The embedding output cannot be tapped');
  });
}

function tapOf(taps: readonly (Tensor | undefined)[], index: number): Tensor {
  const tap = taps[index];
  if (tap === undefined) throw new PacelineError('internal', 'A tapped layer does not exist');
  return tap;
}

/** Rows [from, end) of tensors [width, T], side by side. */
function readRows(
  graph: Graph,
  tensors: readonly Tensor[],
  from: number,
  end: number,
): FeatureRows {
  const rows = end - from;
  const size = tensors[0]?.shape[0] ?? 0;
  const parts = tensors.map((tensor) => graph.read(tensor, from * size, rows * size));
  const first = parts[0];
  if (parts.length === 1 && first !== undefined) return { rows, width: size, data: first };
  const width = size * parts.length;
  const data = new Float32Array(rows * width);
  for (const [at, part] of parts.entries()) {
    for (let row = 0; row < rows; row++) {
      data.set(part.subarray(row * size, (row + 1) * size), row * width + at * size);
    }
  }
  return { rows, width, data };
}
