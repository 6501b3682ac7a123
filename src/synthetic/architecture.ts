/**
 * What a model of some architecture and size consists of: its metadata, and its tensors with their
 * shapes and the scales that make random values behave. Knows nothing of how a model computes: the
 * layer of models is above, and refuses what does not fit it. A test compares the two lists of
 * architectures.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { deepseek4Metadata, deepseek4Tensors } from './deepseek4.js';
import {
  bertTensors,
  classTensors,
  encoderMetadata,
  isBert,
  rankTemplate,
  sentenceTypes,
} from './encoders.js';
import { bool, f32, text, u32 } from './entries.js';
import { gemma4Metadata, gemma4Tensors } from './gemma4.js';
import { latentMetadata, latentTensors } from './latent.js';
import { convolutionMetadata, convolutionTensors, isConvolution } from './lfm2.js';
import { type ModelShape, makers, type TensorPlan } from './plan.js';
import { qwen35Metadata, qwen35Tensors } from './qwen35.js';

/** What tells an architecture's weights from another's. */
export interface Traits {
  /** Norms of queries and keys: none, over each head, or over all heads as one row. */
  readonly queryNorms: 'none' | 'head' | 'whole';
  /** Biases on q, k and v. */
  readonly queryBiases: boolean;
  /** Experts in place of the network. */
  readonly mixture: boolean;
  /** Norms before attention and network, and the name of the latter. */
  readonly preNorms: boolean;
  readonly networkNorm: string;
  /** Norms behind attention and network as well. */
  readonly postNorms: boolean;
  /** Gate and up as one matrix. */
  readonly gateWithUp: boolean;
  /** Sinks, and biases on the attention's output, the router and the experts. */
  readonly sinks: boolean;
  /** DeepSeek's mixture: dense layers first, and a bias on the choice of experts. */
  readonly sparse: boolean;
  /** Latent attention. */
  readonly latent: boolean;
  /** Whether the head uses the embedding's weights, where a shape cannot choose. */
  readonly tied: boolean | undefined;
}

const plain: Traits = {
  queryNorms: 'none',
  queryBiases: false,
  mixture: false,
  preNorms: true,
  networkNorm: 'ffn_norm',
  postNorms: false,
  gateWithUp: false,
  sinks: false,
  sparse: false,
  latent: false,
  tied: undefined,
};

const known: ReadonlyMap<string, Traits> = new Map<string, Traits>([
  ['bert', plain],
  ['deepseek', { ...plain, mixture: true, sparse: true }],
  ['deepseek2', { ...plain, mixture: true, sparse: true, latent: true }],
  ['deepseek4', { ...plain, mixture: true, tied: false }],
  ['ernie4_5', plain],
  ['gemma2', { ...plain, postNorms: true, tied: true }],
  ['gemma3', { ...plain, queryNorms: 'head', postNorms: true }],
  ['gemma-embedding', { ...plain, queryNorms: 'head', postNorms: true, tied: true }],
  ['gemma4', { ...plain, queryNorms: 'head', postNorms: true }],
  ['glm4', { ...plain, queryBiases: true, postNorms: true, gateWithUp: true }],
  [
    'glm4moe',
    {
      ...{ ...plain, queryNorms: 'head', queryBiases: true, mixture: true, sparse: true },
      networkNorm: 'post_attention_norm',
    },
  ],
  [
    'gpt-oss',
    {
      ...{ ...plain, queryBiases: true, mixture: true, sinks: true, tied: false },
      networkNorm: 'post_attention_norm',
    },
  ],
  ['granite', plain],
  ['granitemoe', { ...plain, mixture: true }],
  ['hunyuan-dense', { ...plain, queryNorms: 'head' }],
  ['jina-bert-v2', plain],
  ['lfm2', { ...plain, queryNorms: 'head' }],
  ['lfm2moe', { ...plain, queryNorms: 'head', mixture: true, sparse: true }],
  ['llama', plain],
  ['mistral3', plain],
  ['nomic-bert', plain],
  ['nomic-bert-moe', { ...plain, mixture: true }],
  ['olmo2', { ...plain, queryNorms: 'whole', preNorms: false, postNorms: true, tied: false }],
  ['olmoe', { ...plain, queryNorms: 'whole', mixture: true, tied: false }],
  ['phi3', { ...plain, gateWithUp: true }],
  ['qwen2', { ...plain, queryBiases: true }],
  ['qwen3', { ...plain, queryNorms: 'head' }],
  ['qwen3moe', { ...plain, queryNorms: 'head', mixture: true }],
  ['qwen35', { ...plain, queryNorms: 'head' }],
  ['qwen35moe', { ...plain, queryNorms: 'head', mixture: true }],
  ['seed_oss', { ...plain, queryBiases: true, networkNorm: 'post_attention_norm' }],
  ['smollm3', plain],
]);

/** Names of the architectures that can be made. */
export const syntheticArchitectures: readonly string[] = [...known.keys()];

/** @throws {PacelineError} `unsupported-architecture` for a name that is not in the list. */
export function traitsOf(architecture: string): Traits {
  const found = known.get(architecture);
  if (found !== undefined) return found;
  throw new PacelineError(
    'unsupported-architecture',
    `No model of ${architecture} can be made up`,
    {
      hint: 'Say in src/synthetic/architecture.ts what its weights are.',
      details: { architecture },
    },
  );
}

/**
 * All tensors of a model, in the order of a file. Gains are chosen so that attention is neither
 * uniform nor one-hot and logits spread over several units.
 * @throws {PacelineError} `unsupported-architecture`.
 */
export function* tensorsOf(shape: ModelShape): Generator<TensorPlan> {
  const traits = traitsOf(shape.architecture);
  const { embedding, vocab, headDim, tied } = shape;
  yield* classTensors(shape);
  if (isBert(shape)) {
    yield* bertTensors(shape);
    return;
  }
  const { matrix, norm, divisors } = makers(0);
  // A tied table also is the head, which sets its scale; the branches then add little to it each, as
  // in trained models, or else rounding would be amplified from layer to layer.
  const tableGain = tied ? 3 : Math.sqrt(embedding) / 2;
  yield matrix('token_embd.weight', [embedding, vocab], tableGain, 'embedding');
  const lfm2 = shape.architecture.startsWith('lfm2');
  yield norm(lfm2 ? 'token_embd_norm.weight' : 'output_norm.weight', [embedding]);
  if (!tied) yield matrix('output.weight', [embedding, vocab], 3, 'output');
  if (shape.projected !== undefined) {
    yield matrix('dense_2.weight', [embedding, shape.projected]);
    yield matrix('dense_3.weight', [shape.projected, embedding]);
  }
  const half = [headDim / 2];
  if (shape.ropeFactors === true) yield divisors('rope_freqs.weight', half, 1 / 8);
  if (shape.ropeFactors === 'long and short') {
    yield divisors('rope_factors_long.weight', half, 1 / 5);
    yield divisors('rope_factors_short.weight', half, 1 / 50);
  }
  // Where embeddings are scaled up, what is added to them may be larger.
  const scaled = shape.architecture.startsWith('gemma');
  const branch = tied && !scaled ? 0.15 : 0.4;
  if (shape.architecture === 'gemma4') {
    yield* gemma4Tensors(shape, branch);
    return;
  }
  if (shape.deepseek4 !== undefined) {
    yield* deepseek4Tensors(shape, shape.deepseek4, branch);
    return;
  }
  if (shape.qwen35 !== undefined) {
    yield* qwen35Tensors(shape, shape.qwen35, branch);
    return;
  }
  for (let layer = 0; layer < shape.layers; layer++) {
    if (isConvolution(shape, layer)) yield* convolutionTensors(shape, layer, branch);
    else if (traits.latent) yield* latentTensors(shape, layer, branch);
    else yield* attentionTensors(shape, traits, layer, branch);
    yield* networkTensors(shape, traits, layer, branch);
  }
}

function* attentionTensors(o: ModelShape, traits: Traits, layer: number, branch: number) {
  const { matrix, norm, bias } = makers(layer);
  const at = `blk.${layer}`;
  const queries = o.heads * o.headDim;
  const keys = o.kvHeads * o.headDim;
  const withBias = o.biases === true || traits.queryBiases;
  if (traits.preNorms) yield norm(`${at}.attn_norm.weight`, [o.embedding]);
  if (o.fused) {
    yield matrix(`${at}.attn_qkv.weight`, [o.embedding, queries + 2 * keys], 1.2);
    if (withBias) yield bias(`${at}.attn_qkv.bias`, [queries + 2 * keys]);
  } else {
    yield matrix(`${at}.attn_q.weight`, [o.embedding, queries], 1.2);
    yield matrix(`${at}.attn_k.weight`, [o.embedding, keys], 1.2);
    yield matrix(`${at}.attn_v.weight`, [o.embedding, keys], 1, 'value');
    if (withBias) {
      yield bias(`${at}.attn_q.bias`, [queries]);
      yield bias(`${at}.attn_k.bias`, [keys]);
      yield bias(`${at}.attn_v.bias`, [keys]);
    }
  }
  if (traits.queryNorms !== 'none') {
    const whole = traits.queryNorms === 'whole';
    yield norm(`${at}.attn_q_norm.weight`, [whole ? queries : o.headDim]);
    yield norm(`${at}.attn_k_norm.weight`, [whole ? keys : o.headDim]);
  }
  yield matrix(`${at}.attn_output.weight`, [queries, o.embedding], branch);
  if (o.biases || traits.sinks) yield bias(`${at}.attn_output.bias`, [o.embedding]);
  if (traits.sinks) yield bias(`${at}.attn_sinks.weight`, [o.heads]);
}

function* networkTensors(o: ModelShape, traits: Traits, layer: number, branch: number) {
  const { matrix, router, norm, bias } = makers(layer);
  const at = `blk.${layer}`;
  const { embedding, inner } = o;
  if (traits.postNorms) {
    const gain = o.architecture.startsWith('gemma') ? 1 : traits.preNorms ? branch : branch / 2;
    yield norm(`${at}.post_attention_norm.weight`, [embedding], gain);
    yield norm(`${at}.post_ffw_norm.weight`, [embedding], gain);
  }
  if (traits.preNorms) yield norm(`${at}.${traits.networkNorm}.weight`, [embedding]);
  if (o.experts === undefined || (traits.sparse && layer < leadingDense(o))) {
    if (traits.gateWithUp) {
      yield matrix(`${at}.ffn_up.weight`, [embedding, 2 * inner], 1.2);
    } else {
      yield matrix(`${at}.ffn_gate.weight`, [embedding, inner], 1.5);
      yield matrix(`${at}.ffn_up.weight`, [embedding, inner]);
    }
    yield matrix(`${at}.ffn_down.weight`, [inner, embedding], branch, 'down');
    if (o.biases) {
      yield bias(`${at}.ffn_gate.bias`, [inner]);
      yield bias(`${at}.ffn_up.bias`, [inner]);
      yield bias(`${at}.ffn_down.bias`, [embedding]);
    }
  } else {
    const [experts] = o.experts;
    yield router(`${at}.ffn_gate_inp.weight`, [embedding, experts], 2);
    yield matrix(`${at}.ffn_gate_exps.weight`, [embedding, inner, experts], 1.5);
    yield matrix(`${at}.ffn_up_exps.weight`, [embedding, inner, experts]);
    yield matrix(`${at}.ffn_down_exps.weight`, [inner, embedding, experts], branch, 'down');
    if (traits.sinks) {
      yield bias(`${at}.ffn_gate_inp.bias`, [experts]);
      yield bias(`${at}.ffn_gate_exps.bias`, [inner, experts]);
      yield bias(`${at}.ffn_up_exps.bias`, [inner, experts]);
      yield bias(`${at}.ffn_down_exps.bias`, [embedding, experts], branch);
    }
    if (traits.sparse && o.architecture !== 'deepseek') {
      yield bias(`${at}.exp_probs_b.bias`, [experts]);
    }
    const shared = inner * sharedExperts(o);
    if (shared > 0) {
      yield matrix(`${at}.ffn_gate_shexp.weight`, [embedding, shared], 1.5);
      yield matrix(`${at}.ffn_up_shexp.weight`, [embedding, shared]);
      yield matrix(`${at}.ffn_down_shexp.weight`, [shared, embedding], branch, 'down');
    }
  }
}

/** Experts that every row goes through. */
function sharedExperts({ architecture, sharedExperts: given }: ModelShape): number {
  return given ?? (traitsOf(architecture).sparse && architecture !== 'lfm2moe' ? 1 : 0);
}

/** Layers before the first with experts. */
function leadingDense(o: ModelShape): number {
  return o.leadingDense ?? 1;
}

/** Architectures whose files tell the width of an expert by itself. */
const expertWidths: ReadonlySet<string> = new Set(['qwen3moe', 'gpt-oss']);

/** Metadata of a model, with a vocabulary and further or replacing entries without their prefixes. */
export function metadataOf(
  o: ModelShape,
  name: string,
  vocabulary: Readonly<Record<string, GgufMetadataEntry>>,
  further: Readonly<Record<string, GgufMetadataEntry>> = {},
): Map<string, GgufMetadataEntry> {
  const own: Record<string, GgufMetadataEntry> = {
    context_length: u32(o.context),
    embedding_length: u32(o.embedding),
    block_count: u32(o.layers),
    feed_forward_length: u32(o.inner),
    'attention.head_count': u32(o.heads),
    'attention.head_count_kv': u32(o.kvHeads),
    'attention.key_length': u32(o.headDim),
    'attention.value_length': u32(o.headDim),
    'attention.layer_norm_rms_epsilon': f32(o.epsilon),
    'rope.freq_base': f32(o.ropeBase),
    vocab_size: u32(o.vocab),
  };
  if (o.experts !== undefined) {
    own.expert_count = u32(o.experts[0]);
    own.expert_used_count = u32(o.experts[1]);
    const { sparse } = traitsOf(o.architecture);
    if (sparse || expertWidths.has(o.architecture)) {
      own.expert_feed_forward_length = u32(o.inner);
    }
    if (sparse) {
      own.leading_dense_block_count = u32(leadingDense(o));
      own.expert_shared_count = u32(sharedExperts(o));
      own.expert_weights_norm = bool(o.architecture !== 'deepseek');
      if (o.architecture !== 'lfm2moe') own.expert_weights_scale = f32(1.5);
    } else if (o.sharedExperts !== undefined) {
      own.expert_shared_feed_forward_length = u32(o.inner * o.sharedExperts);
    }
  }
  if (traitsOf(o.architecture).latent) Object.assign(own, latentMetadata(o));
  if (o.deepseek4 !== undefined) Object.assign(own, deepseek4Metadata(o, o.deepseek4));
  if (o.qwen35 !== undefined) Object.assign(own, qwen35Metadata(o, o.qwen35));
  if (o.architecture === 'gemma4') {
    Object.assign(own, gemma4Metadata(o));
  } else if (o.window !== undefined) {
    own['attention.sliding_window'] = u32(o.window[0]);
    own['attention.sliding_window_pattern'] = u32(o.window[1]);
  }
  Object.assign(own, encoderMetadata(o), convolutionMetadata(o));
  if (o.architecture.startsWith('granite')) own.logit_scale = f32(1.5);
  Object.assign(own, further);
  const entries = new Map([
    ['general.architecture', text(o.architecture)],
    ['general.name', text(name)],
  ]);
  if (isBert(o)) entries.set('tokenizer.ggml.token_type_count', u32(sentenceTypes));
  for (const [key, entry] of Object.entries(own)) entries.set(`${o.architecture}.${key}`, entry);
  for (const [key, entry] of Object.entries(vocabulary)) {
    entries.set(`tokenizer.ggml.${key}`, entry);
  }
  // What stands between query and document.
  if (o.classes && isBert(o)) entries.set('tokenizer.ggml.add_eos_token', bool(true));
  else if (o.classes) entries.set('tokenizer.chat_template.rerank', text(rankTemplate));
  return entries;
}
