/**
 * Small GGUF models with random weights: any of the supported architectures in any size and type,
 * every value drawn anew. The same options give the same bytes. For large ones see `shape-model.ts`.
 */
import { addressOf } from '../ggml/bindings.js';
import { loadGgml } from '../ggml/library.js';
import { GgmlType, isQuantized, tensorBytes, typeTraits } from '../ggml/types.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import type { GgufContent } from '../gguf/writer.js';
import { metadataOf, tensorsOf, traitsOf } from './architecture.js';
import { isBert } from './encoders.js';
import type { DeepSeek4Form, ModelShape, Qwen35Form, TensorPlan } from './plan.js';
import { numbersOf } from './plan.js';
import { sentencePieceVocabulary } from './vocabularies.js';

/** Sizes have small defaults; `vocab` is at least 320. */
export interface RandomModelOptions extends Partial<Omit<ModelShape, 'architecture'>> {
  /** One of `syntheticArchitectures`. */
  readonly architecture: string;
  /** Type of the matrices; vectors and routers stay F32. Default F32. */
  readonly type?: GgmlType;
  /** Type of the token table, when it differs. */
  readonly tableType?: GgmlType;
  readonly seed?: number;
  /** Further or replacing metadata, without the architecture's prefix. */
  readonly metadata?: Readonly<Record<string, GgufMetadataEntry>>;
  /** Changes or drops (undefined) a tensor before it is written. */
  readonly change?: (tensor: RandomTensor) => RandomTensor | undefined;
}

export interface RandomTensor {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Numbers with a normal distribution, from a small counter-based generator. */
export function randomNormal(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** The beginning of a seed's numbers, as far as it was asked for. */
interface NormalSequence {
  readonly random: () => number;
  values: Float64Array;
}

/** Models of one seed in several types and architectures begin with the same numbers, tensor by tensor. */
const sequences = new Map<number, NormalSequence>();
let kept = 0;
/** Numbers: 64 MB of them. */
const mostKept = 8 << 20;

/** At least the first `count` numbers of a seed. */
function normals(seed: number, count: number): Float64Array {
  const sequence = sequences.get(seed) ?? {
    random: randomNormal(seed),
    values: new Float64Array(),
  };
  const { random, values } = sequence;
  if (values.length >= count) return values;
  const longer = new Float64Array(count);
  longer.set(values);
  for (let at = values.length; at < count; at++) longer[at] = random();
  kept += count - values.length;
  sequence.values = longer;
  sequences.set(seed, sequence);
  if (kept > mostKept) {
    sequences.clear();
    kept = 0;
  }
  return longer;
}

/** Two heads of values to each of keys, and attention in every other layer. */
const usualQwen35: Qwen35Form = {
  keyHeads: 2,
  valueHeads: 4,
  headLength: 64,
  kernel: 4,
  interval: 2,
  rotated: 16,
};

/** All kinds of layers, and an indexer that has to choose. */
const usualDeepSeek4: DeepSeek4Form = {
  queryRank: 256,
  rotated: 16,
  window: 24,
  ratios: [0, 4, 128],
  index: { heads: 8, keyLength: 32, most: 6 },
  outputGroups: 1,
  outputRank: 256,
  hashed: 1,
  limit: 1.5,
};

/** Whole defaults of the sizes. */
function shapeFor(o: RandomModelOptions): ModelShape {
  const { tied, mixture, queryNorms } = traitsOf(o.architecture);
  const heads = o.heads ?? 4;
  const hybrid = o.architecture === 'qwen35' || o.architecture === 'qwen35moe';
  const bert = isBert(o);
  return {
    ...(hybrid ? { qwen35: usualQwen35 } : {}),
    ...(o.architecture === 'deepseek4' ? { deepseek4: usualDeepSeek4 } : {}),
    layers: 3,
    embedding: 256,
    inner: 512,
    headDim: bert ? (o.embedding ?? 256) / heads : 64,
    kvHeads: queryNorms === 'whole' || bert ? heads : 2,
    vocab: 331,
    context: 512,
    ropeBase: 10000,
    epsilon: 1e-6,
    experts: mixture ? [8, 3] : undefined,
    ...o,
    heads,
    tied: tied ?? o.tied ?? true,
  };
}

/**
 * The model as content for the writer.
 * @throws {PacelineError} `unsupported-architecture`.
 */
export function randomModel(options: RandomModelOptions): GgufContent {
  const { seed = 1, type = GgmlType.F32, change = (tensor) => tensor } = options;
  const shape = shapeFor(options);
  const tensors = [...tensorsOf(shape)].map((plan, index) =>
    change({
      name: plan.name,
      type: typeOf(plan, type, options.tableType),
      shape: plan.shape,
      values: valuesOf(plan, seed * 1000 + index),
    }),
  );
  return {
    metadata: metadataOf(
      shape,
      'random', // some readers change vocabularies by the names of real models
      sentencePieceVocabulary(shape.vocab),
      options.metadata,
    ),
    tensors: tensors
      .filter((tensor) => tensor !== undefined)
      .map(({ name, type: stored, shape: extents, values }) => ({
        name,
        type: stored,
        shape: extents,
        data: encodeValues(stored, extents, values),
      })),
  };
}

function typeOf({ kind, role }: TensorPlan, type: GgmlType, tableType = type): GgmlType {
  if (kind === 'numbers') return GgmlType.I32;
  if (kind !== 'matrix') return GgmlType.F32;
  return role === 'embedding' ? tableType : type;
}

function valuesOf({ kind, gain, shape }: TensorPlan, seed: number): Float32Array {
  if (kind === 'numbers') return Float32Array.from(numbersOf(shape, gain));
  const length = shape.reduce((a, b) => a * b, 1);
  const random = normals(seed, length);
  const scale = gain / Math.sqrt(shape[0] ?? 1);
  const value = {
    matrix: (normal: number) => normal * scale,
    router: (normal: number) => normal * scale,
    norm: (normal: number) => gain * (1 + 0.2 * normal),
    bias: (normal: number) => gain * 0.3 * normal,
    divisors: (_normal: number, at: number) => 1 + at * gain,
    decay: (normal: number) => -Math.exp(normal),
  }[kind];
  const values = new Float32Array(length);
  for (let at = 0; at < length; at++) values[at] = value(random[at] as number, at);
  return values;
}

/** Types that ggml quantises only with an importance of each column: here they are all alike. */
const wantsImportance: ReadonlySet<GgmlType> = new Set([
  ...[GgmlType.IQ1_S, GgmlType.IQ2_XXS, GgmlType.IQ2_XS],
]);

/** Values as bytes of a type, quantised by ggml. */
export function encodeValues(
  type: GgmlType,
  shape: readonly number[],
  values: Float32Array,
): Uint8Array {
  if (type === GgmlType.I32) return new Uint8Array(Int32Array.from(values).buffer);
  if (type === GgmlType.F32)
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const row = shape[0] as number;
  if (isQuantized(type) && row % typeTraits(type).blockSize !== 0) {
    throw new RangeError(`Rows of ${row} cannot be stored as ${typeTraits(type).name}`);
  }
  const bytes = new Uint8Array(tensorBytes(type, shape));
  const importance = new Float32Array(row).fill(1);
  loadGgml().base.ggml_quantize_chunk(
    type,
    values,
    bytes,
    0,
    values.length / row,
    row,
    wantsImportance.has(type) ? addressOf(importance.buffer) : 0,
  );
  return bytes;
}
