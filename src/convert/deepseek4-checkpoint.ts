/**
 * Checkpoints of DeepSeek V4 (`DeepseekV4ForCausalLM`), by the names of its releases, which transformers saves too:
 * matrices in BF16, or in FP8 with exponents as scales, experts in MXFP4 or not. Keys and names are those of llama.cpp's
 * converter, which leaves out blocks of multi-token prediction too; parts that see pictures are left out.
 */
import { GgmlType } from '../ggml/types.js';
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import {
  type DecoderConfig,
  gatings,
  readDecoderConfig,
  requireValues,
} from './decoder-metadata.js';
import { planDecoder, type Special } from './decoder-tensors.js';
import { derived, readTensorRows } from './derived-tensors.js';
import { JsonObject } from './json.js';
import { mxfp4 } from './mxfp4.js';
import { type PlannedTensor, plain } from './planned-tensors.js';
import { type ScaleBlock, scaled } from './quantized-checkpoint.js';
import type { SafetensorsTensor } from './safetensors.js';
import { sparseEntries } from './sparse-metadata.js';

/** Rows and columns of a matrix in FP8 that share a scale. */
const scaleBlock: ScaleBlock = { rows: 128, columns: 128 };

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readDeepSeek4Hyperparameters(
  config: JsonObject,
  architecture: string,
): CheckpointHyperparameters {
  const read = readDecoderConfig(flat(config), architecture);
  const { text, set, metadata, ropeFactors, layers, headDim, embedding } = read;
  requireValues(read, { hidden_act: 'silu', scoring_func: 'sqrtsoftplus' });
  const whole = (key: string, value: number) => set(key, ggufValue.uint32(value));
  const required = (key: string, from: string) => whole(key, text.requiredCount(from));
  whole('rope.dimension_count', rotated(read, headDim));
  required('attention.q_lora_rank', 'q_lora_rank');
  required('attention.sliding_window', 'sliding_window');
  for (const [key, entry] of sparseEntries(text, {
    ...{ gating: gatings.sqrtsoftplus, normalises: true, grouped: false, scale: 1.5 },
  })) {
    if (key !== 'leading_dense_block_count') set(key, entry);
  }
  const limit = text.number('swiglu_limit') ?? 10;
  const limits = ggufValue.numbers('float32', Array<number>(layers).fill(limit));
  set('swiglu_clamp_exp', limits);
  set('swiglu_clamp_shexp', limits);
  required('attention.indexer.head_count', 'index_n_heads');
  required('attention.indexer.key_length', 'index_head_dim');
  required('attention.indexer.top_k', 'index_topk');
  required('attention.output_group_count', 'o_groups');
  required('attention.output_lora_rank', 'o_lora_rank');
  set('attention.compress_ratios', ggufValue.numbers('int32', ratiosOf(read)));
  const blockBase = text.number('compress_rope_theta') ?? 160_000;
  set('attention.compress_rope_freq_base', ggufValue.float32(blockBase));
  const streams = text.requiredCount('hc_mult');
  whole('hyper_connection.count', streams);
  required('hyper_connection.sinkhorn_iterations', 'hc_sinkhorn_iters');
  set('hyper_connection.epsilon', ggufValue.float32(text.number('hc_eps') ?? 1e-6));
  const hashed = hashedLayers(read);
  whole('hash_layer_count', hashed);
  whole('embedding_length_out', embedding * streams);
  return {
    shape: read,
    metadata,
    ropeFactors,
    plan(tensors) {
      const special = (part: string, block: string, tensor: SafetensorsTensor) =>
        specialTensors(part, block, tensor, hashed);
      const layout = { names, outer, blocks: layers, special };
      return { planned: planDecoder(renamed(decoded(tensors)), read, layout).map(kept) };
    },
  };
}

/** A config as transformers 5 saves it, with two kinds of rotary positions, as releases have it. */
function flat(config: JsonObject): JsonObject {
  const rope = config.object('rope_parameters');
  const [main, compress] = [rope?.object('main'), rope?.object('compress')];
  if (main === undefined || compress === undefined) return config;
  return new JsonObject('config.json', {
    ...config.values,
    rope_parameters: undefined,
    rope_theta: main.get('rope_theta') ?? config.get('rope_theta'),
    compress_rope_theta: compress.get('rope_theta') ?? config.get('compress_rope_theta'),
    rope_scaling: compress.get('rope_type') === 'default' ? undefined : noBase(compress),
  });
}

const noBase = ({ values }: JsonObject) => ({ ...values, rope_theta: undefined });

function rotated({ text }: DecoderConfig, headDim: number): number {
  const part = text.number('partial_rotary_factor');
  const given = text.count('qk_rope_head_dim');
  return given ?? Math.trunc(headDim * (part ?? 64 / 512));
}

/** Positions of a block by what transformers calls layers. */
const ratiosByKind: Readonly<Record<string, number>> = {
  sliding_attention: 0,
  compressed_sparse_attention: 4,
  heavily_compressed_attention: 128,
};

/** For each layer the positions of a block; 0: it has none. Releases go on with those for drafts. */
function ratiosOf({ text, layers }: DecoderConfig): readonly number[] {
  const listed = text.list('compress_ratios');
  const rates = text.object('compress_rates');
  const ratios =
    listed ??
    (text.list('layer_types') ?? []).map(
      (kind) => rates?.get(String(kind)) ?? ratiosByKind[String(kind)],
    );
  const known = ratios.every((ratio) => Number.isSafeInteger(ratio) && (ratio as number) >= 0);
  if (known && ratios.length >= layers) return ratios as number[];
  const key = listed === undefined ? 'layer_types' : 'compress_ratios';
  throw text.wrong(key, `does not say how ${layers} layers see blocks`);
}

function hashedLayers({ text, layers }: DecoderConfig): number {
  const kinds = text.list('mlp_layer_types');
  if (kinds === undefined) return text.whole('num_hash_layers') ?? Math.min(layers, 3);
  const hashed = kinds.filter((kind) => kind === 'hash_moe').length;
  if (kinds.slice(0, hashed).every((kind) => kind === 'hash_moe')) return hashed;
  throw text.wrong('mlp_layer_types', 'has layers of hash_moe behind others');
}

/** The tensors with what codes and their scales stand for in place of them. */
function decoded(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
): ReadonlyMap<string, SafetensorsTensor> {
  const result = new Map(tensors);
  for (const [name, scales] of tensors) {
    if (!name.endsWith('.scale')) continue;
    const of = `${name.slice(0, -'.scale'.length)}.weight`;
    const codes = tensors.get(of);
    if (codes === undefined) continue;
    const fp8 = codes.codes === 'F8_E4M3';
    result.delete(name);
    result.set(of, fp8 ? scaled(codes, scales, scaleBlock) : mxfp4(codes, scales));
  }
  return result;
}

/** Of other models, or of pictures. */
const left = /^(mtp|vision|aligner)\.|^image_/;

const expertParts: Readonly<Record<string, string>> = {
  w1: 'gate_proj',
  w2: 'down_proj',
  w3: 'up_proj',
};

/** By the names that others have for the token table, layers and experts. */
function renamed(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
): ReadonlyMap<string, SafetensorsTensor> {
  const result = new Map<string, SafetensorsTensor>();
  for (const [name, tensor] of tensors) {
    if (left.test(name)) continue;
    const other = name
      .replace(/^embed\./, 'model.embed_tokens.')
      .replace(/^norm\./, 'model.norm.')
      .replace(/^head\./, 'lm_head.')
      .replace(/^layers\./, 'model.layers.')
      .replace(
        /\.ffn\.experts\.(\d+)\.(w[123])\./,
        (_, expert: string, part: string) => `.mlp.experts.${expert}.${expertParts[part]}.`,
      );
    result.set(other, tensor);
  }
  return result;
}

const outer: ReadonlyMap<string, string> = new Map(
  ['fn', 'base', 'scale'].map((part) => [`hc_head_${part}`, `output_hc_${part}.weight`]),
);

const names: ReadonlyMap<string, string> = new Map([
  ['attn_norm', 'attn_norm'],
  ['attn.wq_a', 'attn_q_a'],
  ['attn.q_norm', 'attn_q_a_norm'],
  ['attn.wq_b', 'attn_q_b'],
  ['attn.wkv', 'attn_kv'],
  ['attn.kv_norm', 'attn_kv_a_norm'],
  ['attn.wo_a', 'attn_output_a'],
  ['attn.wo_b', 'attn_output_b'],
  ['attn.compressor.wkv', 'attn_compressor_kv'],
  ['attn.compressor.wgate', 'attn_compressor_gate'],
  ['attn.compressor.norm', 'attn_compressor_norm'],
  ['attn.indexer.wq_b', 'indexer.attn_q_b'],
  ['attn.indexer.weights_proj', 'indexer.proj'],
  ['attn.indexer.compressor.wkv', 'indexer_compressor_kv'],
  ['attn.indexer.compressor.wgate', 'indexer_compressor_gate'],
  ['attn.indexer.compressor.norm', 'indexer_compressor_norm'],
  ['ffn_norm', 'ffn_norm'],
  ['ffn.gate', 'ffn_gate_inp'],
  ['ffn.shared_experts.w1', 'ffn_gate_shexp'],
  ['ffn.shared_experts.w2', 'ffn_down_shexp'],
  ['ffn.shared_experts.w3', 'ffn_up_shexp'],
]);

/** Parts that have no kind behind their names. */
const bareNames: ReadonlyMap<string, string> = new Map([
  ...['attn', 'ffn'].flatMap((of) =>
    ['fn', 'base', 'scale'].map((part) => [`hc_${of}_${part}`, `hc_${of}_${part}.weight`] as const),
  ),
  ['attn.attn_sink', 'attn_sinks.weight'],
  ['attn.compressor.ape', 'attn_compressor_ape.weight'],
  ['attn.indexer.compressor.ape', 'indexer_compressor_ape.weight'],
  ['ffn.gate.bias', 'exp_probs_b.bias'],
  ['ffn.gate.bias_vl', 'exp_probs_b_vl.bias'],
]);

function specialTensors(
  part: string,
  block: string,
  tensor: SafetensorsTensor,
  hashed: number,
): Special {
  // Where a token's number chooses experts nothing reads it.
  if (part === 'ffn.gate.bias' && Number(block.slice('blk.'.length)) < hashed) return [];
  if (part === 'ffn.gate.tid2eid') {
    return [plain(`${block}.ffn_gate_tid2eid.weight`, narrowed(tensor))];
  }
  const bare = bareNames.get(part);
  return bare === undefined ? undefined : [plain(`${block}.${bare}`, tensor)];
}

/** A table of numbers of experts in 32 bits. */
function narrowed(tensor: SafetensorsTensor): SafetensorsTensor {
  if (tensor.type !== GgmlType.I64) return tensor;
  return derived(tensor, {
    shape: tensor.shape,
    type: GgmlType.I32,
    async read(target, first, signal) {
      const source = new BigInt64Array(target.byteLength / 4);
      await readTensorRows(tensor, new Uint8Array(source.buffer), first, signal);
      const numbers = Int32Array.from(source, Number);
      target.set(new Uint8Array(numbers.buffer));
    },
  });
}

/** What a checkpoint has in F32, and what rates blocks, is not for a shorter type. */
function kept(planned: PlannedTensor): PlannedTensor {
  const own = planned.matrices[0]?.tensor;
  const long = own?.type === GgmlType.F32 && own.natural === undefined;
  const rates = planned.name.endsWith('.indexer.proj.weight');
  return long || rates ? { ...planned, exact: true } : planned;
}
