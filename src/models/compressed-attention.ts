/**
 * The attention of DeepSeek V4: one row a position, which is key and value of all heads. A layer looks back on a
 * window of rows, and most layers beyond it on rows that stand for blocks of positions: for 128 each, all of which are
 * seen, or for 4 each with the 4 before, of which an indexer chooses the best for every row. Softmaxes over positions,
 * channel by channel, make a block's row.
 */
import type { Graph, RopeOptions } from '../ggml/graph.js';
import {
  blockAttention,
  type CompressSlice,
  chooseBlocks,
  compress,
  indexFits,
  mostChosenBlocks,
  mostKeyLength,
  storeWindow,
  tailRope,
} from '../ggml/native/compressed.js';
import { compressorShape, overlappingRatio, type RecurrentShape } from '../ggml/recurrent-shape.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { overflow } from './attention.js';
import { eachGroup } from './experts.js';
import { foldedState, requireKernels } from './folded-state.js';
import type { LayerState } from './layer-state.js';
import { declareLinear, type Linear, linear, linears, rmsNorm } from './layers.js';
import type { Metadata } from './metadata.js';
import type { ForwardBatch, Hyperparameters, SequenceSlice } from './model.js';
import { type Rope, readRope, yarnMagnitude } from './rope.js';
import type { WeightLoader } from './weights.js';

/** The kernels, which these layers cannot do without. @throws {PacelineError} `platform`. */
const kernels = () => requireKernels('Layers of compressed attention');

/** An indexer chooses among these, which overlap. */
const indexedRatio = overlappingRatio;
/** All of these are seen. */
const denseRatio = 128;

export interface CompressedAttention extends Hyperparameters {
  readonly heads: number;
  /** Elements of a key, which also is the value. */
  readonly keyLength: number;
  readonly queryRank: number;
  readonly window: number;
  /** For each layer the positions of a block; 0: it has a window alone. */
  readonly ratios: readonly number[];
  /** Of layers with a window alone, and of those with blocks. */
  readonly rope: RopeOptions;
  readonly blockRope: RopeOptions;
  readonly index: Indexer | undefined;
  /** What heads have seen is made shorter by groups of them, each to `outputRank` elements. */
  readonly outputGroups: number;
  readonly outputRank: number;
}

export interface Indexer {
  readonly heads: number;
  readonly keyLength: number;
  /** Blocks that are chosen for a row. */
  readonly most: number;
}

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`, and `platform` without the kernels. */
export function readCompressedAttention(
  m: Metadata,
  common: Hyperparameters,
  ratios: readonly number[],
): CompressedAttention {
  kernels();
  const { heads, kvHeads, keyLength, valueLength } = common.attention[0] ?? noHeads;
  if (kvHeads !== 1) throw m.bad('attention.head_count_kv', `is ${kvHeads}, expected 1`);
  if (keyLength !== valueLength || keyLength > mostKeyLength) {
    throw m.bad('attention.key_length', `is ${keyLength}, values have ${valueLength}`);
  }
  if (common.attention.some((shape) => shape.heads !== heads)) {
    throw m.unsupported('attention.head_count', 'layers of different heads');
  }
  const rope = readRope(m, common, 'interleaved', { keyLength });
  const outputGroups = m.count('attention.output_group_count');
  if (heads % outputGroups !== 0) {
    throw m.bad('attention.output_group_count', `is ${outputGroups} for ${heads} heads`);
  }
  const unknown = ratios.find((ratio) => ![0, indexedRatio, denseRatio].includes(ratio));
  if (unknown !== undefined) {
    throw m.unsupported('attention.compress_ratios', `blocks of ${unknown} positions`);
  }
  return {
    ...common,
    heads,
    keyLength,
    queryRank: m.count('attention.q_lora_rank'),
    window: m.count('attention.sliding_window'),
    ratios,
    rope: { ...rope, scale: 1, yarn: 0, magnitude: 1 },
    blockRope: ratios.every((ratio) => ratio === 0) ? rope : readBlockRope(m, rope),
    index: ratios.includes(indexedRatio) ? readIndexer(m, rope) : undefined,
    outputGroups,
    outputRank: m.count('attention.output_lora_rank'),
  };
}

const noHeads = { heads: 0, kvHeads: 0, keyLength: 0, valueLength: 0 };

/** YaRN without its magnitude, which our kernels and ggml's multiply with. */
function readBlockRope(m: Metadata, rope: Rope): RopeOptions {
  const magnitude = rope.yarn > 0 ? 1 / yarnMagnitude(rope.scale, 1) : 1;
  return { ...rope, base: m.positive('attention.compress_rope_freq_base'), magnitude };
}

function readIndexer(m: Metadata, rope: Rope): Indexer {
  const heads = m.count('attention.indexer.head_count');
  const keyLength = m.count('attention.indexer.key_length');
  const most = m.count('attention.indexer.top_k');
  if (keyLength < rope.dimensions || !indexFits(keyLength, heads)) {
    throw m.bad('attention.indexer.key_length', `is ${keyLength} for ${heads} heads`);
  }
  if (most > mostChosenBlocks) {
    throw m.bad('attention.indexer.top_k', `is ${most}, at most ${mostChosenBlocks}`);
  }
  return { heads, keyLength, most };
}

/** Makes a row of the rows of a block. */
interface BlockMaker {
  readonly kv: Linear;
  readonly gate: Linear;
  /** [channels, ratio]. */
  readonly ape: Weight;
  readonly norm: Weight;
}

export interface AttentionWeights {
  readonly queryDown: Linear;
  readonly queryNorm: Weight;
  readonly queryUp: Linear;
  readonly kv: Linear;
  readonly kvNorm: Weight;
  readonly sinks: Weight;
  /** [key * heads / groups, rank, groups]. */
  readonly outputDown: Weight;
  readonly outputUp: Linear;
  readonly blocks: BlockMaker | undefined;
  readonly index:
    | { readonly weights: Linear; readonly query: Linear; readonly blocks: BlockMaker }
    | undefined;
}

export function declareCompressedAttention(
  w: WeightLoader,
  h: CompressedAttention,
  layer: number,
): AttentionWeights {
  const at = `blk.${layer}`;
  const { embeddingLength: embedding, heads, keyLength, queryRank, outputGroups, outputRank } = h;
  const ratio = h.ratios[layer] ?? 0;
  const { index } = h;
  const maker = (name: string, width: number): BlockMaker => {
    const channels = (ratio === indexedRatio ? 2 : 1) * width;
    return {
      kv: declareLinear(w, `${at}.${name}_kv`, embedding, channels),
      gate: declareLinear(w, `${at}.${name}_gate`, embedding, channels),
      ape: w.vectors(`${at}.${name}_ape.weight`, [channels, ratio]),
      norm: w.vector(`${at}.${name}_norm.weight`, width),
    };
  };
  const seen = (keyLength * heads) / outputGroups;
  return {
    queryDown: declareLinear(w, `${at}.attn_q_a`, embedding, queryRank),
    queryNorm: w.vector(`${at}.attn_q_a_norm.weight`, queryRank),
    queryUp: declareLinear(w, `${at}.attn_q_b`, queryRank, keyLength * heads),
    kv: declareLinear(w, `${at}.attn_kv`, embedding, keyLength),
    kvNorm: w.vector(`${at}.attn_kv_a_norm.weight`, keyLength),
    sinks: w.vector(`${at}.attn_sinks.weight`, heads),
    outputDown: w.groups(`${at}.attn_output_a.weight`, [seen, outputRank, outputGroups]),
    outputUp: declareLinear(w, `${at}.attn_output_b`, outputRank * outputGroups, embedding),
    blocks: ratio > 0 ? maker('attn_compressor', keyLength) : undefined,
    index:
      index && ratio === indexedRatio
        ? {
            weights: declareLinear(w, `${at}.indexer.proj`, embedding, index.heads),
            query: declareLinear(
              w,
              `${at}.indexer.attn_q_b`,
              queryRank,
              index.heads * index.keyLength,
            ),
            blocks: maker('indexer_compressor', index.keyLength),
          }
        : undefined,
  };
}

/** What a layer keeps of a sequence. */
export function attentionState(h: CompressedAttention, layer: number): LayerState {
  const { keyLength, window } = h;
  const ratio = h.ratios[layer] ?? 0;
  const row = (width: number) => ({ heads: 1, keys: width, values: 0, valuesInKeys: width });
  if (ratio === 0) return { kind: 'rows', window, ...row(keyLength) };
  const widths = widthsOf(h, ratio);
  const frontier = frontierOf(h, layer);
  return {
    kind: 'compressed',
    window,
    ratio,
    blocks: widths.map(row),
    frontier,
    ...row(keyLength),
  };
}

/** Elements of the rows that a layer makes of blocks. */
function widthsOf({ keyLength, index }: CompressedAttention, ratio: number): number[] {
  return ratio === indexedRatio && index ? [keyLength, index.keyLength] : [keyLength];
}

/** What the makers of a layer's blocks look back on. */
function frontierOf(h: CompressedAttention, layer: number): RecurrentShape {
  const ratio = h.ratios[layer] ?? 0;
  return compressorShape({ ratio, widths: widthsOf(h, ratio) });
}

/** Rows of a pass as the kernels see them: with the rows of one kind of blocks, or none. */
function slicesOf(
  batch: Pick<ForwardBatch, 'sequences'>,
  layer: number,
  blocks?: 0 | 1,
): readonly CompressSlice[] {
  return batch.sequences.map((sequence) => {
    const { state, start, count, past } = sequence;
    if (past + count > state.capacity) throw overflow(past + count, state.capacity);
    return {
      start,
      count,
      // Whoever computes the graph again may have put another sequence here.
      get past() {
        return sequence.past;
      },
      get window() {
        return blocks === 1 ? undefined : sequence.state.layer(layer).k;
      },
      get blocks() {
        return blocks === undefined ? undefined : sequence.state.blocks?.(layer)[blocks];
      },
      get frontier() {
        return blocks === undefined ? undefined : foldedState(sequence.state, layer);
      },
    };
  });
}

export interface CompressedInput {
  readonly batch: ForwardBatch;
  readonly layer: number;
  /** False: rows also see the later rows of their slice. Default: true. */
  readonly causal?: boolean;
}

/** x [embedding, T], behind its norm, to [embedding, T]. */
export function compressedAttention(
  graph: Graph,
  h: CompressedAttention,
  a: AttentionWeights,
  x: Tensor,
  { batch, layer, causal = true }: CompressedInput,
): Tensor {
  const { keyLength, heads, epsilon } = h;
  const tokens = x.shape[1];
  const { positions } = batch;
  const rope = a.blocks === undefined ? h.rope : h.blockRope;
  const makers = [a.blocks, a.index?.blocks].filter((maker) => maker !== undefined);
  const further = makers.flatMap(({ kv, gate }) => [kv, gate]);
  if (a.index !== undefined) further.push(a.index.weights);
  const members = [a.queryDown, a.kv, ...further];
  const [down, kv, ...made] = linears(graph, members, x) as readonly Tensor[] as [
    Tensor,
    Tensor,
    ...Tensor[],
  ];
  const short = rmsNorm(graph, down, a.queryNorm, epsilon);
  const split = (row: Tensor, length: number) =>
    graph.reshape(row, [length, row.shape[0] / length, tokens]);
  const q = tailRope(kernels(), graph, split(linear(graph, a.queryUp, short), keyLength), {
    ...{ rope, positions, norm: { epsilon } },
  });
  const slices = slicesOf(batch, layer, a.blocks === undefined ? undefined : 0);
  const after = [storeKeys(graph, a.kvNorm, kv, slices, { rope, positions, epsilon })];
  let chosen: Tensor | undefined;
  for (const [at, maker] of makers.entries()) {
    const own = at === 0 ? slices : slicesOf(batch, layer, 1);
    const parts = [made[2 * at], made[2 * at + 1]] as [Tensor, Tensor];
    const stored = compress(kernels(), graph, parts, own, {
      ratio: h.ratios[layer] ?? 0,
      overlap: a.index !== undefined,
      ape: maker.ape.tensor,
      norm: maker.norm.tensor,
      ...{ epsilon, rope, positions },
      frontier: frontierOf(h, layer),
      offset: at === 0 ? 0 : 4 * keyLength,
    });
    after.push(stored);
    if (at === 0 || a.index === undefined || h.index === undefined) continue;
    const query = split(linear(graph, a.index.query, short), h.index.keyLength);
    const turned = tailRope(kernels(), graph, query, { rope, positions });
    const scale = 1 / Math.sqrt(h.index.keyLength * h.index.heads);
    const weights = graph.scale(made[4] as Tensor, scale);
    const { most } = h.index;
    const options = { ratio: indexedRatio, most, after: stored };
    chosen = chooseBlocks(kernels(), graph, [turned, weights], own, options);
  }
  const seen = blockAttention(kernels(), graph, q, slices, {
    ...{ scale: 1 / Math.sqrt(keyLength), window: h.window, ratio: h.ratios[layer] ?? 0 },
    ...{ causal, chosen, sinks: a.sinks.tensor, after },
  });
  const straight = tailRope(kernels(), graph, seen, { rope, positions, back: true });
  const grouped = graph.reshape(straight, [
    (keyLength * heads) / h.outputGroups,
    h.outputGroups,
    tokens,
  ]);
  const shorter = eachGroup(graph, a.outputDown, grouped); // [rank, groups, T]
  const flat = graph.reshape(shorter, [h.outputRank * h.outputGroups, tokens]);
  return linear(graph, a.outputUp, flat);
}

export interface ContextInput {
  readonly slice: SequenceSlice;
  readonly layer: number;
  /** I32 [T]. */
  readonly positions: Tensor;
}

/** Stores the rows that a layer with a window alone makes of x [embedding, T]; nothing looks at them yet. */
export function storeContext(
  graph: Graph,
  h: CompressedAttention,
  a: AttentionWeights,
  x: Tensor,
  { slice, layer, positions }: ContextInput,
): void {
  const slices = slicesOf({ sequences: [slice] }, layer);
  const { rope, epsilon } = h;
  const kv = linear(graph, a.kv, x);
  graph.expand(storeKeys(graph, a.kvNorm, kv, slices, { rope, positions, epsilon }));
}

/** Normalises, rotates and stores kv [key, T]; the result is a mark of order. */
function storeKeys(
  graph: Graph,
  norm: Weight,
  kv: Tensor,
  slices: readonly CompressSlice[],
  {
    rope,
    positions,
    epsilon,
  }: { readonly rope: RopeOptions; readonly positions: Tensor; readonly epsilon: number },
): Tensor {
  const rows = graph.reshape(kv, [kv.shape[0], 1, kv.shape[1]]);
  const own = { weight: norm.tensor, epsilon };
  const turned = tailRope(kernels(), graph, rows, { rope, positions, norm: own });
  return storeWindow(kernels(), graph, graph.reshape(turned, [kv.shape[0], kv.shape[1]]), slices);
}
