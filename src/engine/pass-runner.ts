/**
 * Runs passes of one model over rows of several texts: weights are read once for all of them.
 * Kernels are batch-invariant on the CPU, so who shared a pass never shows in the logits. Knows
 * neither what the rows are for nor whose turn it is.
 */
import { PacelineError } from '../base/errors.js';
import type { SequenceState } from '../cache/state.js';
import { type FeatureRows, TensorRows } from '../decode/feature-rows.js';
import { type Logits, mostTop, readTopRows, topCount } from '../decode/top-row.js';
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
  /**
   * How many of a row's largest logits most likely suffice, where rows are only looked at until the next
   * pass; undefined: none but the whole row does.
   */
  readonly top?: number | undefined;
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
  /** They are only looked at until the next pass, and need not be read from their device before. */
  readonly stay?: boolean;
}

/** What a pass gives one request. */
export interface PassRows {
  /**
   * One row of floats for each output, one float a token of the vocabulary or a class; the state's
   * next pass overwrites them. Empty for models without a head, and where `top` has them.
   */
  readonly logits: readonly Float32Array[];
  /** The same rows where the largest logits were asked for, and taken; valid until the runner's next pass. */
  readonly top?: readonly Logits[];
  readonly hidden?: FeatureRows;
  readonly taps?: FeatureRows;
}

/** From so many rows on, small operations of the graph are worth all threads. */
const wideRows = 64;

export class PassRunner {
  readonly #passes: PassBuilder;
  readonly #layerCount: number;
  readonly #vocabulary: number;
  /**
   * Whether so many of a row's largest logits are taken where it is computed, rather than the row read.
   * Default: never, as the host's own memory is read faster than it is sorted.
   */
  selects: (count: number) => boolean = () => false;
  /** Where a text's logits go: new arrays of megabytes for every pass would keep the GC busy. */
  readonly #logits = new WeakMap<SequenceState, Float32Array>();

  constructor(options: { readonly model: LanguageModel; readonly backend: Backend }) {
    this.#passes = new PassBuilder(options.model, options.backend);
    this.#layerCount = options.model.hyperparameters.layerCount;
    this.#vocabulary = options.model.hyperparameters.vocabSize;
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
      top: this.#topOf(requests),
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
      const range = [row, outputRows] as const;
      row += outputRows;
      return {
        ...(logits ? this.#readRows(request, pass, logits, range) : { logits: [] }),
        ...readFeatures(request, slice, { pass, hidden: shape.hidden, taps }),
      };
    });
    if (!graph.repeatable) this.#passes.discard(pass);
    return { results, ms };
  }

  /** How many of each row's largest logits a pass takes: as many as any of the requests wants. */
  #topOf(requests: readonly PassRequest[]): number {
    const wanted = requests.map(({ top }) => top ?? 0).filter((top) => takes(top));
    if (wanted.length === 0) return 0;
    const count = Math.min(topCount(Math.max(...wanted)), this.#vocabulary);
    return this.selects(count) ? count : 0;
  }

  #readRows(
    request: PassRequest,
    { graph, top }: Pass,
    logits: Tensor,
    range: readonly [number, number],
  ): Pick<PassRows, 'logits' | 'top'> {
    if (top !== undefined && takes(request.top ?? 0)) {
      return { logits: [], top: readTopRows(graph, { top, logits }, range) };
    }
    return { logits: this.#readLogits(request.state, graph, logits, ...range) };
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

/** Whether that many of a row's largest logits are few enough to be taken. */
function takes(count: number): boolean {
  return count > 0 && topCount(count) <= mostTop;
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
  const rowsOf = (tensors: readonly Tensor[], from: number, until: number): FeatureRows => {
    const parts = tensors.map((tensor) => ({ tensor, from }));
    const rows = new TensorRows(pass.graph, parts, until - from);
    return features.stay ? rows : { rows: rows.rows, width: rows.width, data: rows.data };
  };
  return {
    ...(features.hidden && pass.hidden
      ? { hidden: rowsOf([pass.hidden], known - skipped, end - skipped) }
      : {}),
    ...(features.taps ? { taps: rowsOf(tapped, first, end) } : {}),
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
