/** Random checkpoints in Hugging Face's layout, made by the test: config, tokenizer, safetensors. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomNormal } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';
import { gemma4Config, gemma4Shapes, gemma4Tokenizer } from './gemma4-shapes.js';
import { lfm2Shapes } from './lfm2-shapes.js';

export type CheckpointClass =
  | 'LlamaForCausalLM'
  | 'MixtralForCausalLM'
  | 'Qwen2ForCausalLM'
  | 'Qwen3ForCausalLM'
  | 'Qwen3MoeForCausalLM'
  | 'OlmoeForCausalLM'
  | 'Olmo2ForCausalLM'
  | 'Olmo3ForCausalLM'
  | 'SmolLM3ForCausalLM'
  | 'GraniteForCausalLM'
  | 'GraniteMoeForCausalLM'
  | 'Ernie4_5ForCausalLM'
  | 'Phi3ForCausalLM'
  | 'SeedOssForCausalLM'
  | 'HunYuanDenseV1ForCausalLM'
  | 'Ministral3ForCausalLM'
  | 'Gemma2ForCausalLM'
  | 'EmoForCausalLM'
  | 'Gemma3ForCausalLM'
  | 'Gemma4ForCausalLM'
  | 'Gemma3TextModel'
  | 'Lfm2ForCausalLM'
  | 'Lfm2MoeForCausalLM';

export interface Weights {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface Checkpoint {
  readonly folder: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** By the checkpoint's names, as rounded to its type. */
  readonly weights: ReadonlyMap<string, Weights>;
}

export interface CheckpointOptions {
  readonly type?: 'F32' | 'F16' | 'BF16';
  /** Files that the tensors are spread over. Default 1. */
  readonly shards?: number;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Experts in one tensor, as transformers 5 saves them. */
  readonly fused?: boolean;
  /** The class of a model that sees, of which the checkpoint's is the text model. */
  readonly within?: string;
}

const sizes = {
  vocab_size: 320,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  tie_word_embeddings: false,
};

/**
 * Phi 3's LongRoPE over heads of 16, of which three quarters turn.
 * @param older what configs before transformers 5 call it, which stand otherwise too.
 */
export function longRope(original: number, older?: string): Record<string, unknown> {
  const factors = (first: number) => Array.from({ length: 6 }, (_, pair) => first + 0.75 * pair);
  if (older !== undefined) {
    return {
      original_max_position_embeddings: original,
      partial_rotary_factor: 0.75,
      rope_scaling: { type: older, long_factor: factors(2), short_factor: factors(1) },
    };
  }
  return {
    original_max_position_embeddings: original,
    partial_rotary_factor: 0.75,
    rope_parameters: {
      ...{ rope_type: 'longrope', rope_theta: 10_000, partial_rotary_factor: 0.75 },
      ...{ original_max_position_embeddings: original },
      ...{ long_factor: factors(2), short_factor: factors(1) },
    },
  };
}

/** What transformers calls the classes. */
const modelTypes: Readonly<Record<CheckpointClass, string>> = {
  LlamaForCausalLM: 'llama',
  MixtralForCausalLM: 'mixtral',
  Qwen2ForCausalLM: 'qwen2',
  Qwen3ForCausalLM: 'qwen3',
  Qwen3MoeForCausalLM: 'qwen3_moe',
  OlmoeForCausalLM: 'olmoe',
  Olmo2ForCausalLM: 'olmo2',
  Olmo3ForCausalLM: 'olmo3',
  SmolLM3ForCausalLM: 'smollm3',
  GraniteForCausalLM: 'granite',
  GraniteMoeForCausalLM: 'granitemoe',
  Ernie4_5ForCausalLM: 'ernie4_5',
  Phi3ForCausalLM: 'phi3',
  SeedOssForCausalLM: 'seed_oss',
  HunYuanDenseV1ForCausalLM: 'hunyuan_v1_dense',
  Ministral3ForCausalLM: 'ministral3',
  Gemma2ForCausalLM: 'gemma2',
  EmoForCausalLM: 'emo',
  Gemma3ForCausalLM: 'gemma3_text',
  Gemma4ForCausalLM: 'gemma4_text',
  Gemma3TextModel: 'gemma3_text',
  Lfm2ForCausalLM: 'lfm2',
  Lfm2MoeForCausalLM: 'lfm2_moe',
};

/** Sizes of a small model of that class, as its config.json says them. */
export function configOf(name: CheckpointClass): Record<string, unknown> {
  const gemma = {
    ...{ sliding_window: 8, rope_theta: 1_000_000, rope_local_base_freq: 10_000 },
    ...{ tie_word_embeddings: true, query_pre_attn_scalar: 16, num_hidden_layers: 7 },
  };
  const granite = {
    ...{ attention_multiplier: 0.3, embedding_multiplier: 3, residual_multiplier: 0.5 },
    logits_scaling: 2,
  };
  const mixture = { num_experts: 4, num_experts_per_tok: 2 };
  const own: Readonly<Record<CheckpointClass, object>> = {
    LlamaForCausalLM: {},
    MixtralForCausalLM: { num_local_experts: 4, num_experts_per_tok: 2 },
    Qwen2ForCausalLM: {},
    Qwen3ForCausalLM: {},
    Qwen3MoeForCausalLM: { ...mixture, moe_intermediate_size: 96, norm_topk_prob: true },
    OlmoeForCausalLM: { ...mixture, num_key_value_heads: 4, rms_norm_eps: 1e-5 },
    Olmo2ForCausalLM: {},
    // What transformers takes for layers with a window whatever the config says.
    Olmo3ForCausalLM: { sliding_window: 8, num_hidden_layers: 4, rope_theta: 500_000 },
    SmolLM3ForCausalLM: { num_hidden_layers: 5, pad_token_id: 0 },
    GraniteForCausalLM: granite,
    GraniteMoeForCausalLM: { ...granite, num_local_experts: 4, num_experts_per_tok: 2 },
    Ernie4_5ForCausalLM: {},
    Phi3ForCausalLM: { pad_token_id: 0 },
    SeedOssForCausalLM: { attention_bias: true },
    HunYuanDenseV1ForCausalLM: {
      ...{ pad_token_id: 0, eod_token_id: 317, num_experts: 1 },
      max_position_embeddings: 32_768,
      rope_parameters: { rope_type: 'dynamic', factor: 1, alpha: 50, rope_theta: 10_000 },
    },
    Ministral3ForCausalLM: {
      pad_token_id: 0,
      rope_parameters: {
        ...{ rope_type: 'yarn', factor: 16, original_max_position_embeddings: 4 },
        ...{ beta_fast: 4, beta_slow: 1, mscale: 1, mscale_all_dim: 1, rope_theta: 10_000 },
        llama_4_scaling_beta: 0.3,
      },
    },
    Gemma2ForCausalLM: {
      ...{ sliding_window: 8, tie_word_embeddings: true, query_pre_attn_scalar: 16 },
      // Low enough to be felt.
      ...{ num_hidden_layers: 3, attn_logit_softcapping: 2.5, final_logit_softcapping: 3.5 },
    },
    EmoForCausalLM: {
      ...{ num_experts: 6, num_experts_per_tok: 3, num_shared_experts: 1 },
      ...{ num_key_value_heads: 4, max_position_embeddings: -1, rope_theta: 500_000 },
    },
    Gemma3ForCausalLM: gemma,
    Gemma4ForCausalLM: gemma4Config,
    Gemma3TextModel: { ...gemma, use_bidirectional_attention: true },
    Lfm2MoeForCausalLM: {
      rms_norm_eps: undefined,
      ...{ norm_eps: 1e-5, conv_L_cache: 3, conv_bias: false, tie_word_embeddings: true },
      ...{ num_hidden_layers: 4, num_dense_layers: 1, moe_intermediate_size: 40, pad_token_id: 0 },
      layer_types: ['conv', 'full_attention', 'conv', 'full_attention'],
      ...{ ...mixture, num_experts: 5, use_expert_bias: true, norm_topk_prob: true },
    },
    Lfm2ForCausalLM: {
      ...{ norm_eps: 1e-5, conv_L_cache: 3, conv_bias: false, tie_word_embeddings: true },
      ...{
        num_hidden_layers: 4,
        layer_types: ['conv', 'full_attention', 'conv', 'full_attention'],
      },
      ...{ block_auto_adjust_ff_dim: false },
    },
  };
  return { architectures: [name], model_type: modelTypes[name], ...sizes, ...own[name] };
}

export interface TokenizerJson {
  readonly version: string;
  readonly model: object;
  readonly pre_tokenizer: object;
  readonly added_tokens: readonly object[];
}

/** A byte-level vocabulary: the byte alphabet, some merges, two special tokens. */
export function tokenizerJson(size: number): TokenizerJson {
  const alphabet = [...byteAlphabet()];
  const vocab: Record<string, number> = {};
  for (const [id, letter] of alphabet.entries()) vocab[letter] = id;
  const merges: [string, string][] = [];
  for (let at = 0; Object.keys(vocab).length < size - 2; at++) {
    const pair = [alphabet[65 + (at % 26)], alphabet[65 + (Math.floor(at / 26) % 26)]] as [
      string,
      string,
    ];
    if (vocab[pair.join('')] !== undefined) continue;
    vocab[pair.join('')] = Object.keys(vocab).length;
    merges.push(pair);
  }
  return {
    version: '1.0',
    model: { type: 'BPE', vocab, merges },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Digits', individual_digits: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    added_tokens: ['<|begin|>', '<|end|>'].map((content, index) => ({
      ...{ id: size - 2 + index, content, special: true, normalized: false },
      ...{ single_word: false, lstrip: false, rstrip: false },
    })),
  };
}

function* byteAlphabet(): Generator<string> {
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const shown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    yield String.fromCharCode(shown ? byte : next++);
  }
}

function shapesOf(
  name: CheckpointClass,
  config: Readonly<Record<string, unknown>>,
  fused: boolean,
): Map<string, number[]> {
  const n = (key: string) => config[key] as number;
  const [embedding, head] = [n('hidden_size'), n('head_dim')];
  if (name.startsWith('Lfm2')) return lfm2Shapes(config, fused);
  if (name === 'Gemma4ForCausalLM') return gemma4Shapes(config);
  const queries = n('num_attention_heads') * head;
  const keys = n('num_key_value_heads') * head;
  const shapes = new Map<string, number[]>([
    ['model.embed_tokens.weight', [n('vocab_size'), embedding]],
    ['model.norm.weight', [embedding]],
  ]);
  if (config.tie_word_embeddings === false) {
    shapes.set('lm_head.weight', [n('vocab_size'), embedding]);
  }
  for (let layer = 0; layer < n('num_hidden_layers'); layer++) {
    const set = (part: string, shape: number[]) =>
      shapes.set(`model.layers.${layer}.${part}`, shape);
    const emo = name === 'EmoForCausalLM';
    const behind = /Olmo[23]/.test(name);
    if (!behind) set(`${emo ? 'pre_attention' : 'input'}_layernorm.weight`, [embedding]);
    set(`${emo ? 'pre_feedforward' : 'post_attention'}_layernorm.weight`, [embedding]);
    if (behind) set('post_feedforward_layernorm.weight', [embedding]);
    const together = name === 'Phi3ForCausalLM';
    if (together) {
      set('self_attn.qkv_proj.weight', [queries + 2 * keys, embedding]);
    } else {
      set('self_attn.q_proj.weight', [queries, embedding]);
      set('self_attn.k_proj.weight', [keys, embedding]);
      set('self_attn.v_proj.weight', [keys, embedding]);
    }
    set('self_attn.o_proj.weight', [embedding, queries]);
    if (name === 'Qwen2ForCausalLM' || config.attention_bias === true) {
      set('self_attn.q_proj.bias', [queries]);
      set('self_attn.k_proj.bias', [keys]);
      set('self_attn.v_proj.bias', [keys]);
    }
    if (name === 'HunYuanDenseV1ForCausalLM') {
      set('self_attn.query_layernorm.weight', [head]);
      set('self_attn.key_layernorm.weight', [head]);
    }
    if (/Qwen3|Gemma3|Olmo/.test(name)) {
      set('self_attn.q_norm.weight', [name.startsWith('Olmo') ? queries : head]);
      set('self_attn.k_norm.weight', [name.startsWith('Olmo') ? keys : head]);
    }
    if (name.startsWith('Gemma')) {
      set('pre_feedforward_layernorm.weight', [embedding]);
      set('post_feedforward_layernorm.weight', [embedding]);
    }
    const uneven = config.num_experts_per_layer as number[] | undefined;
    const told = (config.num_experts ?? config.num_local_experts ?? 0) as number;
    const all = name === 'HunYuanDenseV1ForCausalLM' ? 0 : told;
    const experts = uneven?.[layer] ?? all;
    const inner = n(experts === 0 && emo ? 'dense_intermediate_size' : 'intermediate_size');
    if (experts === 0 && config.dense_mlp_bias === true) {
      set('mlp.gate_proj.bias', [inner]);
      set('mlp.up_proj.bias', [inner]);
      set('mlp.down_proj.bias', [embedding]);
    }
    const mixtral = name === 'MixtralForCausalLM';
    const block = mixtral ? 'block_sparse_moe' : 'mlp';
    if (together) {
      set('mlp.gate_up_proj.weight', [2 * inner, embedding]);
      set('mlp.down_proj.weight', [embedding, inner]);
      continue;
    }
    if (name === 'GraniteMoeForCausalLM') {
      set('block_sparse_moe.router.layer.weight', [experts, embedding]);
      set('block_sparse_moe.input_linear.weight', [experts, 2 * inner, embedding]);
      set('block_sparse_moe.output_linear.weight', [experts, embedding, inner]);
      continue;
    }
    if (experts > 0) set(`${block}.gate.weight`, [experts, embedding]);
    if (experts > 0 && fused) {
      set('mlp.experts.gate_up_proj', [experts, 2 * inner, embedding]);
      set('mlp.experts.down_proj', [experts, embedding, inner]);
      continue;
    }
    const [gate, up, down] = mixtral ? ['w1', 'w3', 'w2'] : ['gate_proj', 'up_proj', 'down_proj'];
    const networks =
      experts > 0 ? Array.from({ length: experts }, (_, e) => `experts.${e}.`) : [''];
    for (const network of networks) {
      set(`${block}.${network}${gate}.weight`, [inner, embedding]);
      set(`${block}.${network}${up}.weight`, [inner, embedding]);
      set(`${block}.${network}${down}.weight`, [embedding, inner]);
    }
  }
  return shapes;
}

/** Writes a random checkpoint into a folder of its own. */
export function randomCheckpoint(
  name: CheckpointClass,
  options: CheckpointOptions = {},
): Checkpoint {
  const { type = 'F32', shards = 1, fused = false } = options;
  const folder = temporaryFile(`${name}-${type}-${shards}-${Math.random().toString(36).slice(2)}`);
  mkdirSync(folder);
  const config = { ...configOf(name), ...options.config };
  const weights = new Map<string, Weights>();
  let seed = 1;
  for (const [tensor, shape] of shapesOf(name, config, fused)) {
    const random = randomNormal(seed++);
    const norm = /norm|scalar|scale/.test(tensor);
    // Gemma 2 and 3 add the 1 themselves.
    const center = norm && !/^Gemma[23]/.test(name) ? 1 : 0;
    const scale = norm ? 0.2 : shape.length === 1 ? 0.3 : 1.5 / Math.sqrt(shape.at(-1) ?? 1);
    const length = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length }, () => center + scale * random());
    weights.set(tensor, { shape, values: rounded(values, type) });
  }
  const write = (file: string, value: object) =>
    writeFileSync(join(folder, file), JSON.stringify(value));
  const { within } = options;
  write('config.json', within ? { architectures: [within], text_config: config } : config);
  const tokenizer = tokenizerJson(config.vocab_size as number);
  write('tokenizer.json', name === 'Gemma4ForCausalLM' ? gemma4Tokenizer(tokenizer) : tokenizer);
  // As of Phi 4; Phi 3 has SentencePiece.
  const tokenizer_class = name === 'Phi3ForCausalLM' ? 'GPT2Tokenizer' : 'PreTrainedTokenizerFast';
  write('tokenizer_config.json', {
    ...{ tokenizer_class, bos_token: '<|begin|>' },
    ...{ eos_token: { __type: 'AddedToken', content: '<|end|>' }, add_bos_token: true },
  });
  writeFileSync(join(folder, 'chat_template.jinja'), '{{ messages[0].content }}');
  write('generation_config.json', { temperature: 0.6, top_k: 20, top_p: 0.95, do_sample: true });
  // A model without a head has no name before its parts.
  const bare = name === 'Gemma3TextModel';
  const prefix = bare ? '' : within ? 'model.language_model.' : 'model.';
  const entries = [...weights].map(
    ([tensor, value]) => [tensor.replace(/^model\./, prefix), value] as const,
  );
  for (const part of within ? ['vision_tower.patch', 'multi_modal_projector.linear'] : []) {
    entries.push([`model.${part}.weight`, { shape: [1], values: new Float32Array(1) }]);
  }
  const map: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const part = entries.filter((_, index) => index % shards === shard);
    const file =
      shards === 1 ? 'model.safetensors' : `model-0000${shard + 1}-of-0000${shards}.safetensors`;
    writeFileSync(join(folder, file), safetensors(part, type));
    for (const [tensor] of part) map[tensor] = file;
  }
  if (shards > 1) write('model.safetensors.index.json', { metadata: {}, weight_map: map });
  return { folder, config, weights };
}

/** A file of tensors. */
export function safetensors(
  tensors: readonly (readonly [string, Weights])[],
  type: 'F32' | 'F16' | 'BF16',
): Buffer {
  const header: Record<string, object> = { __metadata__: { format: 'pt' } };
  const parts: Buffer[] = [];
  let at = 0;
  for (const [name, { shape, values }] of tensors) {
    const bytes = encode(values, type);
    header[name] = { dtype: type, shape, data_offsets: [at, at + bytes.byteLength] };
    parts.push(bytes);
    at += bytes.byteLength;
  }
  return fileOf(JSON.stringify(header), Buffer.concat(parts));
}

/** A file of a header and data, whether they fit or not. */
export function fileOf(header: string, data: Buffer, length = Buffer.byteLength(header)): Buffer {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length));
  return Buffer.concat([prefix, Buffer.from(header), data]);
}

export function encode(values: Float32Array, type: 'F32' | 'F16' | 'BF16'): Buffer {
  if (type === 'F32') return Buffer.from(values.buffer.slice(0));
  const bits = Uint16Array.from(values, (value) =>
    type === 'BF16' ? bfloatBits(value) : halfBits(value),
  );
  return Buffer.from(bits.buffer);
}

/** Cut, not rounded: the test only needs values that the type holds. */
function bfloatBits(value: number): number {
  return (new Uint32Array(Float32Array.of(value).buffer)[0] as number) >>> 16;
}

function halfBits(value: number): number {
  const size = Math.min(Math.abs(value), 65_000);
  const sign = value < 0 ? 0x8000 : 0;
  if (size < 2 ** -14) return sign;
  const exponent = Math.floor(Math.log2(size));
  const fraction = Math.floor((size / 2 ** exponent - 1) * 1024);
  return sign | ((exponent + 15) << 10) | fraction;
}

export function rounded(values: Float32Array, type: 'F32' | 'F16' | 'BF16'): Float32Array {
  if (type === 'F32') return values;
  return values.map((value) => {
    if (type === 'BF16') {
      return new Float32Array(Uint32Array.of(bfloatBits(value) << 16).buffer)[0] as number;
    }
    const bits = halfBits(value);
    if ((bits & 0x7fff) === 0) return 0;
    const size = (1 + (bits & 1023) / 1024) * 2 ** (((bits >> 10) & 31) - 15);
    return bits & 0x8000 ? -size : size;
  });
}
