/**
 * What a language model is to the engine: a graph builder over weights. It computes logits of a
 * batch of rows that belong to one or more sequences, and writes the keys and values of these rows
 * to the sequences' caches. It knows nothing of tokens' texts, sampling or scheduling.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import type { LayerState } from './layer-state.js';

/**
 * Cached keys and values of one layer, a row for each position: [keyLength * kvHeads, capacity], and
 * behind the keys what the type adds (`storedRows`). Where values are the end of the keys, both are the
 * same tensor.
 */
export interface LayerTensors {
  readonly k: Tensor;
  readonly v: Tensor;
}

/** The states of one layer that folds what it has seen, for the next pass. */
export interface RecurrentTensors {
  /** Read; undefined: nothing was seen. */
  readonly from: Tensor | undefined;
  /** Written. */
  readonly to: Tensor;
  /** Rows in the log of `from`. */
  readonly logged: number;
}

/** The state of one sequence, as a graph sees it. */
export interface SequenceTensors {
  /** Positions that fit. */
  readonly capacity: number;
  layer(index: number): LayerTensors;
  /** Absent where only rows are kept. */
  recurrent?(index: number): RecurrentTensors;
  /** A layer's rows of blocks of positions, [width, blocks] each. Absent where no layer has any. */
  blocks?(index: number): readonly Tensor[];
}

/**
 * Rows [start, start + count) of a batch, the continuation of one sequence. Row i of them has the
 * position past + i; rows before `past` are in the cache already.
 */
export interface SequenceSlice {
  /** Who computes a repeatable graph again may put another one here before, and another `past`. */
  readonly state: SequenceTensors;
  readonly start: number;
  readonly count: number;
  readonly past: number;
}

export interface ForwardBatch {
  /** Token ids, I32 [rows]. */
  readonly tokens: Tensor;
  /** Positions, I32 [rows]. */
  readonly positions: Tensor;
  /** They cover all rows, in order. */
  readonly sequences: readonly SequenceSlice[];
  /** Row numbers, I32, whose logits are wanted, in that order; undefined: all. */
  readonly outputs: Tensor | undefined;
  /** Layers whose output (the residual stream after the layer) is wanted for all rows. */
  readonly taps?: readonly number[];
  /** Whether `hidden` has the rows of the outputs (default), those of the whole batch, or some. */
  readonly hiddenRows?: 'outputs' | 'all' | KeptRows;
}

/** Rows that go through the whole last layer, the outputs among them. */
export interface KeptRows {
  /** Row numbers in the batch, I32, ascending. */
  readonly rows: Tensor;
  /** Which of these are the outputs, I32. */
  readonly outputs: Tensor;
}

/** What logits are of: the next token, the classes of a text, or nothing, as there are none. */
export type ModelHead = 'tokens' | 'classes' | 'none';

export interface ForwardResult {
  /** [vocabulary or classes, outputs] F32; undefined without a head. */
  readonly logits: Tensor | undefined;
  /**
   * [hiddenLength, outputs or rows] F32, after the output norm; where the residual is several streams, these,
   * behind the last layer.
   */
  readonly hidden: Tensor;
  /** One for each of the batch's taps: [embedding, rows]. */
  readonly taps: readonly Tensor[];
}

/** The attention of one layer. */
export interface AttentionShape {
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Elements of a head of queries and keys. */
  readonly keyLength: number;
  /** Elements of a head of values. */
  readonly valueLength: number;
}

/** What every architecture has. Lengths count elements. */
export interface Hyperparameters {
  readonly vocabSize: number;
  /** What the model was trained for, in tokens. */
  readonly contextLength: number;
  readonly embeddingLength: number;
  readonly layerCount: number;
  /** One entry a layer. */
  readonly attention: readonly AttentionShape[];
  /** Epsilon of the norms. */
  readonly epsilon: number;
}

export interface LanguageModel {
  readonly architecture: string;
  readonly hyperparameters: Hyperparameters;
  /** All weights, in the order of the file's architecture. */
  readonly weights: readonly Weight[];
  /** Bytes that the weights hold in memory. */
  readonly weightBytes: number;
  readonly head: ModelHead;
  /** Elements of a hidden row. */
  readonly hiddenLength: number;
  /** False: rows see those after them, so that a text is computed in one pass. */
  readonly causal: boolean;
  /** Whether no row's products depend on the rows that are computed with it. */
  readonly exact: boolean;
  /** What each layer keeps of a sequence. */
  layerStates(): readonly LayerState[];
  /** Adds the forward pass to a graph. @throws {PacelineError} `graph`, `context-overflow`. */
  forward(graph: Graph, batch: ForwardBatch): ForwardResult;
  dispose(): void;
}

/** A model whose weights are declared but not loaded. */
export interface Blueprint {
  /** Some weights are read from the file when they are needed: it stays open. Default: no. */
  readonly readsFile?: boolean;
  readonly hyperparameters: Hyperparameters;
  /** Default: `tokens`. */
  readonly head?: ModelHead;
  /** Elements of a hidden row; default: the embedding length. */
  readonly hiddenLength?: number;
  /** Default: yes. */
  readonly causal?: boolean;
  /** Positions that there are, for models that look them up in a table; undefined: any number. */
  readonly positions?: number;
  /** What each layer keeps of a sequence. */
  layerStates(): readonly LayerState[];
  forward(graph: Graph, batch: ForwardBatch): ForwardResult;
}
