/**
 * How much memory a sequence takes, layer by layer, from a model's hyperparameters: grouped heads,
 * sliding windows, layers that share another's cache, and linear attention. An estimate for
 * `inspect` and for questions before loading; what a loaded model really holds is the cache's word.
 */
import { cacheBytes as bytesOfCaches, type RowShape } from '../ggml/cache-rows.js';
import {
  compressorShape,
  deltaNetShape,
  overlappingRatio,
  recurrentBytes,
  shortConvolutionShape,
} from '../ggml/recurrent-shape.js';
import { type GgmlType, GgmlType as Type } from '../ggml/types.js';
import { keptPositions } from '../ggml/window-rows.js';
import type { GgufMetadata } from './metadata.js';
import { GgufValueType } from './types.js';

/** What one layer keeps of a sequence, as far as the header tells. */
export interface HeaderLayer extends RowShape {
  /** Positions that the layer looks back on, or undefined for all. */
  readonly window?: number;
  /** Bytes of a state that does not grow, as in linear attention. */
  readonly stateBytes?: number;
  /** Rows that stand for blocks of so many positions. */
  readonly blocks?: { readonly ratio: number; readonly layout: readonly RowShape[] };
}

export interface MemoryNeed {
  readonly contextLength: number;
  readonly weightBytes: number;
  /** What layers keep: those with a window only rows near the end and before a few checkpoints. */
  readonly cacheBytes: number;
  /** The same if every layer kept every position. */
  readonly wholeCacheBytes: number;
  /** Weights and cache: what must fit. Buffers for computing come on top. */
  readonly totalBytes: number;
}

/** No model is deeper; a hostile count must not make long lists. */
const mostLayers = 4096;

/** Windows alternate with full layers by a period in these, also when the file does not say so. */
const usualPeriods: Readonly<Record<string, number>> = {
  cohere2: 4,
  gemma2: 2,
  gemma3: 6,
  'gpt-oss': 2,
};

/** Their rows see those after them, so that a text is one pass. */
const encoders: ReadonlySet<string> = new Set([
  ...['bert', 'nomic-bert', 'nomic-bert-moe', 'jina-bert-v2', 'gemma-embedding'],
]);

/** Every so many layers one with full attention, where the file leaves it out. */
const usualIntervals: Readonly<Record<string, number>> = { qwen35: 4, qwen35moe: 4, qwen3next: 4 };

/**
 * Memory for `contextLength` tokens with a cache of `kvType` (F16 unless given).
 * @param weightBytes bytes of the weights, which the caller knows.
 */
export function memoryNeed(
  layers: readonly HeaderLayer[],
  options: {
    readonly contextLength: number;
    readonly weightBytes: number;
    readonly kvType?: GgmlType;
  },
): MemoryNeed {
  const { contextLength, weightBytes, kvType = Type.F16 } = options;
  let cacheBytes = 0;
  let wholeCacheBytes = 0;
  for (const layer of layers) {
    const { window, stateBytes = 0, blocks } = layer;
    const rows = Math.floor(contextLength / (blocks?.ratio ?? 1));
    const fixed = stateBytes + (blocks ? bytesOfCaches(kvType, blocks.layout, rows) : 0);
    const bytesOf = (positions: number) => bytesOfCaches(kvType, [layer], positions) + fixed;
    cacheBytes += bytesOf(keptPositions(window, contextLength));
    wholeCacheBytes += bytesOf(contextLength);
  }
  const totalBytes = weightBytes + cacheBytes;
  return { contextLength, weightBytes, cacheBytes, wholeCacheBytes, totalBytes };
}

/**
 * The layers' caches, or undefined when the header does not say enough (a vocabulary alone, or an
 * architecture that keeps something else).
 * @param which the model's own layers, or the blocks behind them that predict further tokens.
 * @throws {PacelineError} `broken-file` when a key has a value of the wrong kind.
 */
export function cacheLayers(
  file: GgufMetadata,
  which: 'trunk' | 'nextn' = 'trunk',
): HeaderLayer[] | undefined {
  const architecture = file.optionalString('general.architecture');
  const key = (name: string) => `${architecture}.${name}`;
  const integer = (name: string) => file.optionalInteger(key(name));
  const count = integer('block_count');
  if (count === undefined || count > mostLayers) return undefined;
  const streams = integer('hyper_connection.count') ?? 0; // DeepSeek V4, and drafters of its blocks
  if (file.has(key('attention.compress_ratios')) || streams > 0) {
    return compressedLayers(file, count, which);
  }
  const embedding = integer('embedding_length');
  const heads = perLayer(file, key('attention.head_count'), count);
  const kvHeads = file.has(key('attention.head_count_kv'))
    ? perLayer(file, key('attention.head_count_kv'), count)
    : heads;
  if (heads === undefined || kvHeads === undefined || embedding === undefined) return undefined;

  const widest = Math.max(...heads, 1);
  const keyLength = integer('attention.key_length') ?? Math.floor(embedding / widest);
  const valueLength = integer('attention.value_length') ?? Math.floor(embedding / widest);
  const windowKeyLength = integer('attention.key_length_swa') ?? keyLength;
  const windowValueLength = integer('attention.value_length_swa') ?? valueLength;
  const window = integer('attention.sliding_window') ?? 0;
  const slides = flags(file, key('attention.sliding_window_pattern'), count, {
    period: usualPeriods[architecture ?? ''],
  });
  const linear = linearLayers(file, architecture ?? '', count);
  const shared = integer('attention.shared_kv_layers') ?? 0;
  const stateBytes = linearStateBytes(file, architecture ?? '');
  // `block_count` also counts the blocks behind the model that predict further tokens.
  const trunk = Math.max(0, count - (integer('nextn_predict_layers') ?? 0));
  if (which === 'nextn') {
    return kvHeads
      .slice(trunk)
      .map((groups) => ({ heads: groups, keys: groups * keyLength, values: groups * valueLength }));
  }

  // With absorbed projections a position keeps one row, the end of which also is its values.
  if (file.has(key('attention.key_length_mla'))) {
    const row = { heads: 1, keys: keyLength, values: 0, valuesInKeys: valueLength };
    return Array.from({ length: trunk }, () => row);
  }
  const kernel = integer('shortconv.l_cache');
  // The layers of an encoder take turns with the rows of the first.
  const encodes = encoders.has(architecture ?? '');
  return Array.from({ length: trunk }, (_, layer): HeaderLayer => {
    if (encodes && layer > 0) return { heads: 0, keys: 0, values: 0 };
    if (kernel !== undefined && kvHeads[layer] === 0) {
      const shape = shortConvolutionShape({ kernel, channels: embedding });
      return { heads: 0, keys: 0, values: 0, stateBytes: recurrentBytes([shape]) };
    }
    if (linear?.[layer]) return { heads: 0, keys: 0, values: 0, stateBytes };
    // The last layers of some models read an earlier layer's cache and keep none.
    if (layer >= trunk - shared) return { heads: 0, keys: 0, values: 0 };
    const heads = kvHeads[layer] ?? 0;
    if (window > 0 && slides?.[layer] && !encodes) {
      return { heads, keys: heads * windowKeyLength, values: heads * windowValueLength, window };
    }
    return { heads, keys: heads * keyLength, values: heads * valueLength };
  });
}

/** The layers of DeepSeek V4: a window of rows that are key and value, and rows of blocks. */
function compressedLayers(
  file: GgufMetadata,
  count: number,
  which: 'trunk' | 'nextn',
): HeaderLayer[] | undefined {
  const architecture = file.optionalString('general.architecture');
  const integer = (name: string) => file.optionalInteger(`${architecture}.${name}`);
  const key = `${architecture}.attention.compress_ratios`;
  const ratios = file.has(key) ? file.numberArray(key) : new Array<number>(count).fill(0);
  const keyLength = integer('attention.key_length');
  const window = integer('attention.sliding_window');
  if (ratios.length < count || keyLength === undefined || window === undefined) return undefined;
  const trunk = Math.max(0, count - (integer('nextn_predict_layers') ?? 0));
  const row = (width: number) => ({ heads: 1, keys: width, values: 0, valuesInKeys: width });
  const index = integer('attention.indexer.key_length');
  const [from, end] = which === 'trunk' ? [0, trunk] : [trunk, count];
  return ratios.slice(from, end).map((ratio): HeaderLayer => {
    const rows = { ...row(keyLength), window };
    if (!Number.isInteger(ratio) || ratio <= 0) return rows;
    const indexed = ratio === overlappingRatio && index !== undefined;
    const widths = indexed ? [keyLength, index] : [keyLength];
    const stateBytes = recurrentBytes([compressorShape({ ratio, widths })]);
    return { ...rows, stateBytes, blocks: { ratio, layout: widths.map(row) } };
  });
}

/** How many layers keep what, by kind. */
export interface LayerKinds {
  /** Keys and values of every position. */
  readonly full: number;
  /** Keys and values that only a window of positions is read of. */
  readonly window: number;
  /** One row for all heads, the end of which also is its values. */
  readonly latent: number;
  /** A state that does not grow. */
  readonly recurrent: number;
  /** A window of rows, and rows that stand for blocks of positions. */
  readonly compressed: number;
  /** Nothing: they read the rows of another layer. */
  readonly shared: number;
}

/** Counts the layers of each kind. */
export function layerKinds(layers: readonly HeaderLayer[]): LayerKinds {
  const kinds = { full: 0, window: 0, latent: 0, recurrent: 0, compressed: 0, shared: 0 };
  for (const { window, stateBytes = 0, valuesInKeys = 0, keys, blocks } of layers) {
    if (blocks !== undefined) kinds.compressed++;
    else if (stateBytes > 0) kinds.recurrent++;
    else if (keys === 0) kinds.shared++;
    else if (window !== undefined) kinds.window++;
    else if (valuesInKeys > 0) kinds.latent++;
    else kinds.full++;
  }
  return kinds;
}

/** One count a layer, or undefined when the file has none or a list of another length. */
function perLayer(file: GgufMetadata, key: string, count: number): number[] | undefined {
  const entry = file.metadata.get(key);
  if (entry === undefined) return undefined;
  if (entry.type === GgufValueType.ARRAY && entry.value.length !== count) return undefined;
  const list = file.scalarOrArray(key, count);
  return list.every((value) => Number.isInteger(value) && value >= 0) ? list : undefined;
}

/**
 * Flags a layer from a list, or from a period: all but the last of each `period` layers are set.
 * Undefined when there is neither.
 */
function flags(
  file: GgufMetadata,
  key: string,
  count: number,
  usual: { readonly period: number | undefined },
): boolean[] | undefined {
  const entry = file.metadata.get(key);
  if (entry?.type === GgufValueType.ARRAY) {
    const list =
      entry.itemType === GgufValueType.BOOL
        ? file.booleanArray(key)
        : file.numberArray(key).map((value) => value !== 0);
    return list.length === count ? list : undefined;
  }
  const period = file.optionalInteger(key) ?? usual.period;
  if (period === undefined) return undefined;
  return Array.from({ length: count }, (_, layer) => period === 0 || layer % period < period - 1);
}

function linearLayers(
  file: GgufMetadata,
  architecture: string,
  count: number,
): boolean[] | undefined {
  const listed = `${architecture}.attention.recurrent_layers`;
  if (file.has(listed)) return flags(file, listed, count, { period: undefined });
  const interval = `${architecture}.full_attention_interval`;
  return flags(file, interval, count, { period: usualIntervals[architecture] });
}

/** Bytes of a linear layer's states: its matrices, and the rows that its convolution and rollbacks need. */
function linearStateBytes(file: GgufMetadata, architecture: string): number {
  const integer = (name: string) => file.optionalInteger(`${architecture}.ssm.${name}`) ?? 0;
  const sizes = {
    keyHeads: integer('group_count'),
    valueHeads: integer('time_step_rank'),
    headLength: integer('state_size'),
    kernel: Math.max(1, integer('conv_kernel')),
  };
  return recurrentBytes([deltaNetShape(sizes)]);
}
