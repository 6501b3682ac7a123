/**
 * Hyperparameters from a GGUF's metadata. Keys carry the architecture as prefix; a missing or
 * senseless value is a typed error that names the key.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadata } from '../gguf/metadata.js';
import { GgufValueType } from '../gguf/types.js';
import type { Hyperparameters } from './model.js';

/** Keys of one architecture. Every getter throws `broken-file`, naming the key. */
export class Metadata {
  readonly architecture: string;
  readonly #file: GgufMetadata;

  constructor(file: GgufMetadata) {
    this.#file = file;
    this.architecture = file.string('general.architecture');
  }

  has(key: string): boolean {
    return this.#file.has(this.#full(key));
  }

  /** A number, or `fallback` when the key is absent; without a fallback it is required. */
  number(key: string, fallback?: number): number {
    if (fallback !== undefined && !this.has(key)) return fallback;
    const value = this.#file.number(this.#full(key));
    if (Number.isFinite(value)) return value;
    throw this.bad(key, 'is not a finite number');
  }

  /** A number above 0, and not past `most`, that F32 tells from 0 and infinity. */
  positive(key: string, fallback?: number, most = 1e38): number {
    const value = this.number(key, fallback);
    if (value <= most && Math.fround(value) > 0) return value;
    throw this.bad(
      key,
      `is ${value}, expected a number above 0${most < 1e38 ? ` up to ${most}` : ''}`,
    );
  }

  /** A number of at least 0, which most keys take for "off". */
  notNegative(key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    if (value >= 0 && value <= 1e38) return value;
    throw this.bad(key, `is ${value}, expected a number of at least 0`);
  }

  flag(key: string, fallback: boolean): boolean {
    return this.#file.optionalBoolean(this.#full(key)) ?? fallback;
  }

  /** A whole number of at least `least`. */
  count(key: string, fallback?: number, least = 1): number {
    if (fallback !== undefined && !this.has(key)) return fallback;
    return this.#file.integer(this.#full(key), { least });
  }

  /** Layers of the model itself: `block_count` also counts multi-token prediction blocks. */
  get trunkLayers(): number {
    const blocks = this.count('block_count');
    const drafting = this.count('nextn_predict_layers', 0, 0);
    if (drafting >= blocks) throw this.bad('nextn_predict_layers', `is ${drafting} of ${blocks}`);
    return blocks - drafting;
  }

  /** One count for each layer: the file has one number for all, or a list. */
  countPerLayer(
    key: string,
    layers: number,
    fallback?: readonly number[],
    least = 1,
  ): readonly number[] {
    if (fallback !== undefined && !this.has(key)) return fallback;
    const blocks = Math.max(layers, this.count('block_count', layers));
    const list = this.#file.scalarOrArray(this.#full(key), blocks).slice(0, layers);
    if (list.every((entry) => Number.isInteger(entry) && entry >= least && entry < 2 ** 31))
      return list;
    throw this.bad(key, `holds [${list.join(', ')}], expected counts`);
  }

  /** A number for each layer: the file has one for all, or a list. */
  numberPerLayer(key: string, layers: number): readonly number[] {
    const blocks = Math.max(layers, this.count('block_count', layers));
    const list = this.#file.scalarOrArray(this.#full(key), blocks).slice(0, layers);
    if (list.every((entry) => entry >= 0 && entry <= 1e38)) return list;
    throw this.bad(key, `holds [${list.join(', ')}], expected numbers of at least 0`);
  }

  /** A list of flags, one for each layer, when the file has a list. */
  flagPerLayer(key: string, layers: number): readonly boolean[] | undefined {
    const entry = this.#file.metadata.get(this.#full(key));
    if (entry?.type !== GgufValueType.ARRAY) return undefined;
    const list =
      entry.itemType === GgufValueType.BOOL
        ? this.#file.booleanArray(this.#full(key))
        : this.#file.numberArray(this.#full(key)).map((value) => value !== 0);
    if (list.length === layers) return list;
    throw this.bad(key, `has ${list.length} items, expected ${layers}`);
  }

  /** A list of numbers. */
  numbers(key: string): readonly number[] {
    return this.#file.numberArray(this.#full(key));
  }

  string(key: string): string | undefined {
    return this.#file.optionalString(this.#full(key));
  }

  /** The error for a form of the architecture that nobody computes here. */
  unsupported(key: string, meaning: string): PacelineError {
    return new PacelineError(
      'unsupported-architecture',
      `Models of "${this.architecture}" with ${meaning} (${this.#full(key)}) are not supported`,
      {
        hint: 'Take another model, or another conversion of it.',
        details: { key: this.#full(key) },
      },
    );
  }

  /** The error for a key that makes no sense. */
  bad(key: string, problem: string): PacelineError {
    return new PacelineError('broken-file', `Metadata key ${this.#full(key)} ${problem}`, {
      hint: 'The file is damaged or was converted by a tool that does not fit; get it again.',
      details: { key: this.#full(key) },
    });
  }

  #full(key: string): string {
    return `${this.architecture}.${key}`;
  }
}

export interface HyperparameterReading {
  /** Whether multi-token prediction blocks count as layers. Default: no. */
  readonly nextn?: boolean;
  /** Kind of the norms, by which their epsilon is named. Default: `rms`. */
  readonly norms?: 'rms' | 'layer';
  /** 0: some layers have no attention. Default: 1. */
  readonly leastKvHeads?: 0 | 1;
}

/**
 * What all architectures read alike.
 * @throws {PacelineError} `broken-file` when the numbers cannot belong together.
 */
export function readHyperparameters(
  m: Metadata,
  vocabSize: number,
  reading: HyperparameterReading = {},
): Hyperparameters {
  const { nextn = false, norms = 'rms', leastKvHeads = 1 } = reading;
  const embeddingLength = m.count('embedding_length');
  const layerCount = nextn ? m.count('block_count') : m.trunkLayers;
  if (layerCount > mostLayers)
    throw m.bad('block_count', `is ${layerCount}, at most ${mostLayers}`);
  const headCounts = m.countPerLayer('attention.head_count', layerCount);
  const kvHeadCounts = m.countPerLayer(
    'attention.head_count_kv',
    layerCount,
    headCounts,
    leastKvHeads,
  );
  const heads = headCounts[0] as number;
  const whole = m.has('attention.key_length') && m.has('attention.value_length');
  if (!whole && embeddingLength % heads !== 0) {
    const problem = `is ${heads}, which does not divide the embedding length of ${embeddingLength}`;
    throw m.bad('attention.head_count', problem);
  }
  const keyLength = m.count('attention.key_length', embeddingLength / heads);
  const valueLength = m.count('attention.value_length', embeddingLength / heads);
  const attention = headCounts.map((heads, layer) => {
    const kvHeads = kvHeadCounts[layer] as number;
    if (kvHeads === 0 || heads % kvHeads === 0) return { heads, kvHeads, keyLength, valueLength };
    const problem = `is ${kvHeads}, which does not divide the ${heads} heads of layer ${layer}`;
    throw m.bad('attention.head_count_kv', problem);
  });
  return {
    vocabSize,
    contextLength: m.count('context_length'),
    embeddingLength,
    layerCount,
    attention,
    epsilon: m.positive(
      norms === 'rms' ? 'attention.layer_norm_rms_epsilon' : 'attention.layer_norm_epsilon',
      undefined,
      1,
    ),
  };
}

/**
 * How far back each layer sees; undefined: everything. Windows are listed, or all but the last of each
 * `period` layers have one.
 * @param usual period and size where the file does not say them; a size of 0 is no window.
 */
export function readWindows(
  m: Metadata,
  layers: number,
  usual: { readonly period: number; readonly window?: number },
): readonly (number | undefined)[] {
  const window = m.count('attention.sliding_window', usual.window ?? 0, 0);
  const flags = m.flagPerLayer('attention.sliding_window_pattern', layers);
  const period =
    flags === undefined ? m.count('attention.sliding_window_pattern', usual.period, 0) : 0;
  return Array.from({ length: layers }, (_, layer) => {
    const slides = flags === undefined ? period === 0 || layer % period < period - 1 : flags[layer];
    return window > 0 && slides ? window : undefined;
  });
}

/** How many experts a layer has, and how many of them a token goes through; 0: its network is dense. */
export interface ExpertCounts {
  readonly experts: number;
  readonly used: number;
}

/** What dense models have. */
export const noExperts: ExpertCounts = { experts: 0, used: 0 };

/**
 * The experts of each layer: files have one number for all, or a list where some were left out.
 * @param least 1 for architectures whose every layer is a mixture.
 */
export function readExperts(m: Metadata, layers: number, least: 0 | 1): readonly ExpertCounts[] {
  const none = least === 0 ? new Array<number>(layers).fill(0) : undefined;
  const counts = m.countPerLayer('expert_count', layers, none, least);
  if (counts.every((count) => count === 0)) return counts.map(() => noExperts);
  const used = m.countPerLayer('expert_used_count', layers, undefined, least);
  return counts.map((experts, layer) => {
    if (experts === 0) return noExperts;
    const chosen = used[layer] as number;
    if (chosen >= 1 && chosen <= experts) return { experts, used: chosen };
    throw m.bad('expert_used_count', `is ${chosen}, where there are ${experts} experts`);
  });
}

/** No model is deeper; a hostile number must not make lists of a billion layers. */
const mostLayers = 1024;
