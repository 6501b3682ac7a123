/**
 * Models of well-known shapes with random weights, for measuring speed: they load everywhere that
 * reads GGUF (weights are finite and small, the vocabulary has its full size) and say nothing of
 * use. Made once and kept in the user's cache folder; the same shape and mix give the same file.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { cacheFolder } from '../base/paths.js';
import type { OnProgress } from '../base/progress.js';
import { GgmlType, tensorBytes, typeTraits } from '../ggml/types.js';
import { type GgufMetadataEntry, GgufValueType } from '../gguf/types.js';
import { type GgufContent, type GgufTensorToWrite, writeGguf } from '../gguf/writer.js';
import { byteToChar } from '../tokenizer/byte-alphabet.js';

interface Shape {
  readonly architecture: 'qwen3' | 'olmoe';
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** Width of the feed-forward network or of one expert. */
  readonly inner: number;
  readonly vocab: number;
  readonly tied: boolean;
  readonly experts?: readonly [count: number, used: number];
  readonly context: number;
  readonly preTokenizer: string;
}

const qwen3 = {
  architecture: 'qwen3',
  kvHeads: 8,
  vocab: 151936,
  tied: true,
  context: 40960,
  preTokenizer: 'qwen2',
} as const;

const shapes = {
  'qwen3-0.6b': { ...qwen3, layers: 28, embedding: 1024, heads: 16, inner: 3072 },
  'qwen3-1.7b': { ...qwen3, layers: 28, embedding: 2048, heads: 16, inner: 6144 },
  'qwen3-4b': { ...qwen3, layers: 36, embedding: 2560, heads: 32, inner: 9728 },
  'olmoe-1b-7b': {
    architecture: 'olmoe',
    layers: 16,
    embedding: 2048,
    heads: 16,
    kvHeads: 16,
    inner: 1024,
    vocab: 50304,
    tied: false,
    experts: [64, 8],
    context: 4096,
    preTokenizer: 'olmo',
  },
} as const satisfies Record<string, Shape>;

export type ShapeName = keyof typeof shapes;
/** Shapes that can be asked for. */
export const shapeNames = Object.keys(shapes) as readonly ShapeName[];

/** Mixes of types; Q4_K_M keeps some matrices in Q6_K, as the usual files of that name do. */
export const shapeMixes = ['Q4_0', 'Q8_0', 'Q4_K_M'] as const;
export type ShapeMix = (typeof shapeMixes)[number];

const headDim = 128;
/** Changes when the files that are made change. */
const revision = 1;

export interface ShapeModelOptions {
  /** Where to keep the file; default: the user's cache folder. */
  readonly folder?: string;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Path of the model of that shape, which is written first if it is not there.
 * @throws {PacelineError} `usage` for an unknown shape or mix, `io`, `aborted`.
 */
export async function ensureShapeModel(
  name: string,
  mix: string,
  options: ShapeModelOptions = {},
): Promise<string> {
  const shape = (shapes as Readonly<Record<string, Shape>>)[name];
  if (shape === undefined || !Object.hasOwn(shapes, name)) {
    throw unknown('shape', name, shapeNames);
  }
  if (!isMix(mix)) throw unknown('mix of types', mix, shapeMixes);
  const folder = options.folder ?? join(cacheFolder(), 'shapes');
  const path = join(folder, `${name}-${mix.toLowerCase()}-r${revision}.gguf`);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  const { onProgress, signal } = options;
  await writeGguf(path, shapeContent(name, shape, mix), { onProgress, signal });
  return path;
}

function isMix(mix: string): mix is ShapeMix {
  return (shapeMixes as readonly string[]).includes(mix);
}

function unknown(what: string, found: string, known: readonly string[]): PacelineError {
  return new PacelineError('usage', `There is no ${what} "${found}"`, {
    hint: `Choose one of ${known.join(', ')}.`,
    details: { found, known },
  });
}

function shapeContent(name: string, shape: Shape, mix: ShapeMix): GgufContent {
  return { metadata: metadataOf(name, shape), tensors: [...tensorsOf(shape, mix)] };
}

function metadataOf(name: string, shape: Shape): Map<string, GgufMetadataEntry> {
  const u32 = (value: number) => ({ type: GgufValueType.UINT32, value }) as const;
  const f32 = (value: number) => ({ type: GgufValueType.FLOAT32, value }) as const;
  const string = (value: string) => ({ type: GgufValueType.STRING, value }) as const;
  const { architecture } = shape;
  const end = shape.vocab - 1;
  const hyperparameters: Record<string, GgufMetadataEntry> = {
    context_length: u32(shape.context),
    embedding_length: u32(shape.embedding),
    block_count: u32(shape.layers),
    feed_forward_length: u32(shape.inner),
    'attention.head_count': u32(shape.heads),
    'attention.head_count_kv': u32(shape.kvHeads),
    'attention.key_length': u32(headDim),
    'attention.value_length': u32(headDim),
    'attention.layer_norm_rms_epsilon': f32(architecture === 'olmoe' ? 1e-5 : 1e-6),
    'rope.freq_base': f32(architecture === 'olmoe' ? 1e4 : 1e6),
  };
  if (shape.experts !== undefined) {
    hyperparameters.expert_count = u32(shape.experts[0]);
    hyperparameters.expert_used_count = u32(shape.experts[1]);
  }
  return new Map<string, GgufMetadataEntry>([
    ['general.architecture', string(architecture)],
    ['general.name', string(`${name} (random weights)`)],
    ...Object.entries(hyperparameters).map(
      ([key, entry]) => [`${architecture}.${key}`, entry] as const,
    ),
    ['tokenizer.ggml.model', string('gpt2')],
    ['tokenizer.ggml.pre', string(shape.preTokenizer)],
    ...vocabularyOf(shape.vocab),
    ['tokenizer.ggml.bos_token_id', u32(end)],
    ['tokenizer.ggml.eos_token_id', u32(end)],
    ['tokenizer.ggml.add_bos_token', { type: GgufValueType.BOOL, value: false }],
  ]);
}

/** All bytes, one merge, made-up words and a control token at the end. */
function* vocabularyOf(size: number): Generator<readonly [string, GgufMetadataEntry]> {
  const { ARRAY, STRING, INT32 } = GgufValueType;
  const tokens = Array.from({ length: 256 }, (_, byte) => byteToChar(byte));
  tokens.push('th');
  while (tokens.length < size - 1) tokens.push(`\u0120word${tokens.length}`);
  tokens.push('<|endoftext|>');
  const types = new Int32Array(size).fill(1);
  types[size - 1] = 3;
  yield ['tokenizer.ggml.tokens', { type: ARRAY, itemType: STRING, value: tokens }];
  yield ['tokenizer.ggml.token_type', { type: ARRAY, itemType: INT32, value: types }];
  yield ['tokenizer.ggml.merges', { type: ARRAY, itemType: STRING, value: ['t h'] }];
}

function* tensorsOf(shape: Shape, mix: ShapeMix): Generator<GgufTensorToWrite> {
  const { F32, Q4_0, Q8_0, Q4_K, Q6_K } = GgmlType;
  const plain = { Q4_0, Q8_0, Q4_K_M: Q4_K }[mix];
  const finer = { Q4_0, Q8_0, Q4_K_M: Q6_K }[mix];
  const { embedding, inner, vocab, experts } = shape;
  const queries = shape.heads * headDim;
  const keys = shape.kvHeads * headDim;
  let seed = 1;
  const matrix = (name: string, type: GgmlType, extents: readonly number[], gain = 1) => ({
    name: `${name}.weight`,
    type,
    shape: extents,
    data: randomPieces(type, extents, gain, seed++),
  });
  const norm = (name: string, length: number) => ({
    name: `${name}.weight`,
    type: F32,
    shape: [length],
    data: new Uint8Array(new Float32Array(length).fill(1).buffer),
  });
  yield matrix('token_embd', shape.tied ? finer : plain, [embedding, vocab], Math.sqrt(embedding));
  yield norm('output_norm', embedding);
  if (!shape.tied) yield matrix('output', finer, [embedding, vocab]);
  for (let layer = 0; layer < shape.layers; layer++) {
    const at = `blk.${layer}`;
    const important = takesMoreBits(layer, shape.layers) ? finer : plain;
    yield norm(`${at}.attn_norm`, embedding);
    yield matrix(`${at}.attn_q`, plain, [embedding, queries]);
    yield matrix(`${at}.attn_k`, plain, [embedding, keys]);
    yield matrix(`${at}.attn_v`, important, [embedding, keys]);
    yield norm(`${at}.attn_q_norm`, shape.architecture === 'olmoe' ? queries : headDim);
    yield norm(`${at}.attn_k_norm`, shape.architecture === 'olmoe' ? keys : headDim);
    yield matrix(`${at}.attn_output`, plain, [queries, embedding]);
    yield norm(`${at}.ffn_norm`, embedding);
    if (experts === undefined) {
      yield matrix(`${at}.ffn_gate`, plain, [embedding, inner]);
      yield matrix(`${at}.ffn_up`, plain, [embedding, inner]);
      yield matrix(`${at}.ffn_down`, important, [inner, embedding]);
    } else {
      const [count] = experts;
      yield matrix(`${at}.ffn_gate_inp`, F32, [embedding, count]);
      yield matrix(`${at}.ffn_gate_exps`, plain, [embedding, inner, count]);
      yield matrix(`${at}.ffn_up_exps`, plain, [embedding, inner, count]);
      yield matrix(`${at}.ffn_down_exps`, important, [inner, embedding, count]);
    }
  }
}

/** Which layers keep values and down projections in Q6_K: the ends, and every third between. */
function takesMoreBits(layer: number, layers: number): boolean {
  const edge = Math.floor(layers / 8);
  return layer < edge || layer >= Math.floor((7 * layers) / 8) || (layer - edge) % 3 === 2;
}

const pieceBytes = 4 * 2 ** 20;

/** Random blocks of about the wanted standard deviation, gain / sqrt(row length), in pieces. */
function randomPieces(type: GgmlType, extents: readonly number[], gain: number, seed: number) {
  return function* pieces(): Generator<Uint8Array> {
    const { blockBytes } = typeTraits(type);
    const deviation = gain / Math.sqrt(extents[0] as number);
    const step = Math.floor(pieceBytes / blockBytes / 4) * 4 * blockBytes;
    const random = generator(seed);
    let left = tensorBytes(type, extents);
    while (left > 0) {
      const piece = new Uint8Array(Math.min(step, left));
      fillBlocks(type, piece, deviation, random);
      left -= piece.byteLength;
      yield piece;
    }
  };
}

type Random = () => number;

/** xorshift32 (Marsaglia): fast, and good enough for weights that mean nothing. */
function generator(seed: number): Random {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

/** Fills whole blocks: random bits for the elements, then scales that give the deviation. */
function fillBlocks(type: GgmlType, bytes: Uint8Array, deviation: number, random: Random): void {
  const words = new Int32Array(bytes.buffer, 0, bytes.byteLength >> 2);
  if (type === GgmlType.F32) {
    const floats = new Float32Array(bytes.buffer);
    const unit = (deviation * Math.sqrt(3)) / 2 ** 31; // uniform in plus or minus sqrt(3)
    for (let at = 0; at < floats.length; at++) floats[at] = random() * unit;
    return;
  }
  for (let at = 0; at < words.length; at++) words[at] = random();
  for (let at = words.length << 2; at < bytes.length; at++) bytes[at] = random();
  const scales = blockScales(type, deviation);
  const { blockBytes } = typeTraits(type);
  for (const [offset, value] of scales) {
    const half = positiveHalf(value);
    for (let at = offset; at < bytes.length; at += blockBytes) {
      bytes[at] = half & 255;
      bytes[at + 1] = half >> 8;
    }
  }
}

/** Offset and value of the F16 scales of a block whose other bytes are random. */
function blockScales(type: GgmlType, deviation: number): readonly (readonly [number, number])[] {
  switch (type) {
    case GgmlType.Q4_0: // (q - 8) d, q from 0 to 15
      return [[0, deviation / 4.6]];
    case GgmlType.Q8_0: // q d, q from -128 to 127
      return [[0, deviation / 74]];
    case GgmlType.Q4_K: {
      // d s q - m t with s and t from 0 to 63, q from 0 to 15; m = 7.5 d centres it
      const d = deviation / 280;
      return [
        [0, d],
        [2, 7.5 * d],
      ];
    }
    case GgmlType.Q6_K: // d s (q - 32), s from -128 to 127, q from 0 to 63
      return [[208, deviation / 1366]];
    default:
      throw new RangeError(`No random blocks of type ${typeTraits(type).name}`);
  }
}

/** A positive number as F16 bits, rounded to nearest. */
function positiveHalf(value: number): number {
  const exponent = Math.max(-14, Math.floor(Math.log2(value)));
  const steps = Math.round(value * 2 ** (10 - exponent));
  return exponent === -14 ? steps : ((exponent + 14) << 10) + steps;
}
