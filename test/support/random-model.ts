/**
 * Small GGUF models with random weights, made by our own writer: any of the supported architectures
 * in any size and type. The same options give the same bytes. Scales are chosen so that attention
 * is neither uniform nor one-hot and logits spread over several units.
 */
import { loadGgml } from '../../src/ggml/library.js';
import { GgmlType, isQuantized, tensorBytes, typeTraits } from '../../src/ggml/types.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import type { GgufContent } from '../../src/gguf/writer.js';

export type RandomArchitecture = 'llama' | 'qwen2' | 'qwen3' | 'qwen3moe' | 'olmoe' | 'gemma3';

export interface RandomModelOptions {
  readonly architecture: RandomArchitecture;
  /** Type of the matrices; vectors and routers stay F32. Default F32. */
  readonly type?: GgmlType;
  /** Type of the token table, when it differs. */
  readonly tableType?: GgmlType;
  readonly seed?: number;
  readonly layers?: number;
  readonly embedding?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly inner?: number;
  /** At least 320. */
  readonly vocab?: number;
  readonly context?: number;
  /** Head tied to the embeddings. */
  readonly tied?: boolean;
  /** Experts and how many a token uses; llama only becomes a mixture with it. */
  readonly experts?: readonly [count: number, used: number];
  /** q, k and v as one matrix. */
  readonly fused?: boolean;
  /** Biases on every projection that may have one (llama). */
  readonly biases?: boolean;
  /** Llama 3's tensor of frequency divisors, or the two of LongRoPE. */
  readonly ropeFactors?: boolean | 'long and short';
  /** Window and pattern of gemma3. */
  readonly window?: readonly [size: number, pattern: number];
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

export const u32 = (value: number): GgufMetadataEntry => ({ type: GgufValueType.UINT32, value });
export const f32 = (value: number): GgufMetadataEntry => ({ type: GgufValueType.FLOAT32, value });
export const text = (value: string): GgufMetadataEntry => ({ type: GgufValueType.STRING, value });

/** Whole defaults of the options. */
function complete(o: RandomModelOptions) {
  const mixture = o.architecture === 'olmoe' || o.architecture === 'qwen3moe';
  const heads = o.heads ?? 4;
  const headDim = o.headDim ?? 64;
  return {
    seed: 1,
    layers: 3,
    inner: 512,
    vocab: 331,
    context: 512,
    fused: false,
    biases: false,
    ...o,
    ropeFactors: o.ropeFactors ?? false,
    type: o.type ?? GgmlType.F32,
    embedding: o.embedding ?? 256,
    heads,
    headDim,
    kvHeads: o.kvHeads ?? (o.architecture === 'olmoe' ? heads : 2),
    tied: o.architecture !== 'olmoe' && (o.tied ?? true),
    experts: o.experts ?? (mixture ? ([8, 3] as const) : undefined),
  };
}

type Complete = ReturnType<typeof complete>;

/** The model as content for the writer. */
export function randomModel(options: RandomModelOptions): GgufContent {
  const o = complete(options);
  const tensors = [...randomTensors(o)]
    .map((tensor) => (options.change === undefined ? tensor : options.change(tensor)))
    .filter((tensor) => tensor !== undefined);
  return {
    metadata: randomMetadata(o),
    tensors: tensors.map(({ name, type, shape, values }) => ({
      name,
      type,
      shape,
      data: encodeValues(type, shape, values),
    })),
  };
}

function randomMetadata(o: Complete): Map<string, GgufMetadataEntry> {
  const own: Record<string, GgufMetadataEntry> = {
    context_length: u32(o.context),
    embedding_length: u32(o.embedding),
    block_count: u32(o.layers),
    feed_forward_length: u32(o.inner),
    'attention.head_count': u32(o.heads),
    'attention.head_count_kv': u32(o.kvHeads),
    'attention.key_length': u32(o.headDim),
    'attention.value_length': u32(o.headDim),
    'attention.layer_norm_rms_epsilon': f32(1e-6),
    'rope.freq_base': f32(10000),
    vocab_size: u32(o.vocab),
  };
  if (o.experts !== undefined) {
    own.expert_count = u32(o.experts[0]);
    own.expert_used_count = u32(o.experts[1]);
    if (o.architecture === 'qwen3moe') own.expert_feed_forward_length = u32(o.inner);
  }
  if (o.window !== undefined) {
    own['attention.sliding_window'] = u32(o.window[0]);
    own['attention.sliding_window_pattern'] = u32(o.window[1]);
  }
  Object.assign(own, o.metadata);
  const entries = new Map<string, GgufMetadataEntry>([
    ['general.architecture', text(o.architecture)],
    ['general.name', text(`random ${o.architecture}`)],
  ]);
  for (const [key, entry] of Object.entries(own)) entries.set(`${o.architecture}.${key}`, entry);
  for (const [key, entry] of Object.entries(vocabulary(o.vocab))) {
    entries.set(`tokenizer.ggml.${key}`, entry);
  }
  return entries;
}

/** A SentencePiece vocabulary: three specials, all bytes, printable ASCII, then made-up words. */
function vocabulary(size: number): Record<string, GgufMetadataEntry> {
  const tokens = ['<unk>', '<s>', '</s>'];
  const types = [2, 3, 3];
  for (let byte = 0; byte < 256; byte++) {
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    types.push(6);
  }
  for (let index = 0; tokens.length < size; index++) {
    tokens.push(index < 26 ? String.fromCharCode(97 + index) : `\u2581w${index}`);
    types.push(1);
  }
  const { ARRAY, STRING, FLOAT32, INT32 } = GgufValueType;
  return {
    model: text('llama'),
    tokens: { type: ARRAY, itemType: STRING, value: tokens },
    scores: {
      type: ARRAY,
      itemType: FLOAT32,
      value: Float32Array.from(tokens, (_, at) => (at < 259 ? 0 : -at)),
    },
    token_type: { type: ARRAY, itemType: INT32, value: Int32Array.from(types) },
    bos_token_id: u32(1),
    eos_token_id: u32(2),
    unknown_token_id: u32(0),
    add_bos_token: { type: GgufValueType.BOOL, value: true },
  };
}

function* randomTensors(o: Complete): Generator<RandomTensor> {
  let count = 0;
  const tensor = (
    name: string,
    type: GgmlType,
    shape: readonly number[],
    value: (random: () => number, at: number) => number,
  ): RandomTensor => {
    const random = randomNormal(o.seed * 1000 + count++);
    const elements = shape.reduce((a, b) => a * b, 1);
    return {
      name,
      type,
      shape,
      values: Float32Array.from({ length: elements }, (_, at) => value(random, at)),
    };
  };
  const matrix = (name: string, shape: readonly number[], gain = 1, type = o.type) =>
    tensor(name, type, shape, (random) => (random() * gain) / Math.sqrt(shape[0] as number));
  const norm = (name: string, length: number) =>
    tensor(name, GgmlType.F32, [length], (random) => 1 + 0.2 * random());
  const bias = (name: string, length: number) =>
    tensor(name, GgmlType.F32, [length], (random) => 0.3 * random());

  const { embedding, inner, vocab, headDim } = o;
  const queries = o.heads * headDim;
  const keys = o.kvHeads * headDim;
  // A tied table also is the head, which sets its scale; the branches then add little to it each, as
  // in trained models, or else rounding would be amplified from layer to layer.
  const tableGain = o.tied ? 3 : Math.sqrt(embedding) / 2;
  const branchGain = o.tied && o.architecture !== 'gemma3' ? 0.15 : 0.4;
  yield matrix('token_embd.weight', [embedding, vocab], tableGain, o.tableType ?? o.type);
  yield norm('output_norm.weight', embedding);
  if (!o.tied) yield matrix('output.weight', [embedding, vocab], 3);
  const divisors = (name: string, step: number) =>
    tensor(`${name}.weight`, GgmlType.F32, [headDim / 2], (_, at) => 1 + at * step);
  if (o.ropeFactors === true) yield divisors('rope_freqs', 1 / 8);
  if (o.ropeFactors === 'long and short') {
    yield divisors('rope_factors_long', 1 / 5);
    yield divisors('rope_factors_short', 1 / 50);
  }
  for (let layer = 0; layer < o.layers; layer++) {
    const at = `blk.${layer}`;
    const withBias = o.biases || o.architecture === 'qwen2';
    yield norm(`${at}.attn_norm.weight`, embedding);
    if (o.fused) {
      yield matrix(`${at}.attn_qkv.weight`, [embedding, queries + 2 * keys], 1.2);
      if (withBias) yield bias(`${at}.attn_qkv.bias`, queries + 2 * keys);
    } else {
      yield matrix(`${at}.attn_q.weight`, [embedding, queries], 1.2);
      yield matrix(`${at}.attn_k.weight`, [embedding, keys], 1.2);
      yield matrix(`${at}.attn_v.weight`, [embedding, keys]);
      if (withBias) {
        yield bias(`${at}.attn_q.bias`, queries);
        yield bias(`${at}.attn_k.bias`, keys);
        yield bias(`${at}.attn_v.bias`, keys);
      }
    }
    if (['qwen3', 'qwen3moe', 'gemma3', 'olmoe'].includes(o.architecture)) {
      const whole = o.architecture === 'olmoe';
      yield norm(`${at}.attn_q_norm.weight`, whole ? queries : headDim);
      yield norm(`${at}.attn_k_norm.weight`, whole ? keys : headDim);
    }
    yield matrix(`${at}.attn_output.weight`, [queries, embedding], branchGain);
    if (o.biases) yield bias(`${at}.attn_output.bias`, embedding);
    if (o.architecture === 'gemma3') {
      yield norm(`${at}.post_attention_norm.weight`, embedding);
      yield norm(`${at}.post_ffw_norm.weight`, embedding);
    }
    yield norm(`${at}.ffn_norm.weight`, embedding);
    if (o.experts === undefined) {
      yield matrix(`${at}.ffn_gate.weight`, [embedding, inner], 1.5);
      yield matrix(`${at}.ffn_up.weight`, [embedding, inner]);
      yield matrix(`${at}.ffn_down.weight`, [inner, embedding], branchGain);
      if (o.biases) {
        yield bias(`${at}.ffn_gate.bias`, inner);
        yield bias(`${at}.ffn_up.bias`, inner);
        yield bias(`${at}.ffn_down.bias`, embedding);
      }
    } else {
      const [experts] = o.experts;
      yield matrix(`${at}.ffn_gate_inp.weight`, [embedding, experts], 2, GgmlType.F32);
      yield matrix(`${at}.ffn_gate_exps.weight`, [embedding, inner, experts], 1.5);
      yield matrix(`${at}.ffn_up_exps.weight`, [embedding, inner, experts]);
      yield matrix(`${at}.ffn_down_exps.weight`, [inner, embedding, experts], branchGain);
    }
  }
}

/** Values as bytes of a type, quantised by ggml. */
export function encodeValues(
  type: GgmlType,
  shape: readonly number[],
  values: Float32Array,
): Uint8Array {
  if (type === GgmlType.F32)
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const row = shape[0] as number;
  if (isQuantized(type) && row % typeTraits(type).blockSize !== 0) {
    throw new RangeError(`Rows of ${row} cannot be stored as ${typeTraits(type).name}`);
  }
  const bytes = new Uint8Array(tensorBytes(type, shape));
  loadGgml().base.ggml_quantize_chunk(type, values, bytes, 0, values.length / row, row, 0);
  return bytes;
}
