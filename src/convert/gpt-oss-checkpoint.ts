/**
 * Checkpoints of gpt-oss (`GptOssForCausalLM`, arXiv 2508.10925): experts in MXFP4, as blocks of codes beside their
 * scales, which stay what they are, or in BF16, as matrices that are turned round; gate and up alternate row by row. Keys
 * and names are those of llama.cpp's converter.
 */
import { GgmlType, rowBytes } from '../ggml/types.js';
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import {
  type DecoderConfig,
  readDecoderConfig,
  refuseConfig,
  requireValues,
} from './decoder-metadata.js';
import { planDecoder, type Special } from './decoder-tensors.js';
import { columnsOf, derived, readTensorRows, transposed } from './derived-tensors.js';
import type { JsonObject } from './json.js';
import { matrixStack, plain, wrongShape } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readGptOssHyperparameters(
  config: JsonObject,
  architecture: string,
): CheckpointHyperparameters {
  const read = readDecoderConfig(config, architecture);
  const { text, set, metadata, ropeFactors, layers } = read;
  requireValues(read, {
    ...{ hidden_act: 'silu', swiglu_limit: 7, swiglu_alpha: 1.702, tie_word_embeddings: false },
  });
  requireAlternating(read);
  set('attention.sliding_window', ggufValue.uint32(text.requiredCount('sliding_window')));
  set('expert_feed_forward_length', ggufValue.uint32(text.requiredCount('intermediate_size')));
  return {
    shape: read,
    metadata,
    ropeFactors,
    plan(tensors) {
      const scales = new Map(
        [...tensors]
          .filter(([name]) => name.endsWith('_scales'))
          .map(([name, tensor]) => [name, tensor]),
      );
      const others = new Map([...tensors].filter(([name]) => !scales.has(name)));
      const special = (part: string, block: string, tensor: SafetensorsTensor) =>
        experts(part, block, tensor, scales);
      return { planned: planDecoder(others, read, { names, blocks: layers, special }) };
    },
  };
}

/** Every other layer has a window, the first too: what the engine takes for granted. */
function requireAlternating(read: DecoderConfig): void {
  const kinds = read.text.list('layer_types');
  const usual = kinds?.every((kind, layer) => (kind === 'sliding_attention') === (layer % 2 === 0));
  if (usual === false) refuseConfig('gpt-oss with windows in other layers than usual', read);
}

const names: ReadonlyMap<string, string> = new Map([
  ['post_attention_layernorm', 'post_attention_norm'],
  ['mlp.router', 'ffn_gate_inp'],
]);

/** Gate and up, which alternate, and what they are called. */
const halves = [
  ['ffn_gate_exps', 0],
  ['ffn_up_exps', 1],
] as const;

function experts(
  part: string,
  block: string,
  tensor: SafetensorsTensor,
  scales: ReadonlyMap<string, SafetensorsTensor>,
): Special {
  const half = (first: number) =>
    columnsOf(tensor, (tensor.shape.at(-1) ?? 0) / 2, (column) => 2 * column + first);
  const coded = () => {
    const found = scales.get(tensor.name.replace(/_blocks$/, '_scales'));
    if (found === undefined) throw wrongShape(tensor.name, tensor);
    return found;
  };
  switch (part) {
    case 'self_attn.sinks':
      return [plain(`${block}.attn_sinks.weight`, tensor)];
    case 'mlp.experts.gate_up_proj_bias':
      return halves.map(([name, first]) => plain(`${block}.${name}.bias`, half(first)));
    case 'mlp.experts.down_proj_bias':
      return [plain(`${block}.ffn_down_exps.bias`, tensor)];
    case 'mlp.experts.gate_up_proj':
      return halves.map(([name, first]) =>
        matrixStack(`${block}.${name}.weight`, transposed(tensor, { first, step: 2 })),
      );
    case 'mlp.experts.down_proj':
      return [matrixStack(`${block}.ffn_down_exps.weight`, transposed(tensor))];
    case 'mlp.experts.gate_up_proj_blocks':
      return halves.map(([name, first]) =>
        matrixStack(`${block}.${name}.weight`, mxfp4(tensor, coded(), { first, step: 2 })),
      );
    case 'mlp.experts.down_proj_blocks':
      return [matrixStack(`${block}.ffn_down_exps.weight`, mxfp4(tensor, coded()))];
    default:
      return undefined;
  }
}

/** Elements that share a scale, and the bytes of their codes. */
const blockLength = 32;
const codeBytes = blockLength / 2;

/**
 * Blocks [experts, rows, blocks, 16] and scales [experts, rows, blocks] as ggml's MXFP4: a block's scale, then its codes,
 * of which ggml pairs those half a block apart, and checkpoints neighbours.
 * @param part which rows of each expert are taken: every `step`th from `first` on. Default: all.
 */
function mxfp4(
  blocks: SafetensorsTensor,
  scales: SafetensorsTensor,
  { first: begin, step }: { readonly first: number; readonly step: number } = { first: 0, step: 1 },
): SafetensorsTensor {
  const [count = 0, rows = 0, perRow = 0, bytes = 0] = blocks.shape;
  const fits =
    blocks.shape.length === 4 &&
    bytes === codeBytes &&
    String(scales.shape) === String([count, rows, perRow]);
  if (!fits || blocks.codes !== 'U8' || scales.codes !== 'U8')
    throw wrongShape(blocks.name, blocks);
  // Whole rows, whatever they are made of.
  const codes = { ...blocks, shape: [count * rows, perRow * bytes] };
  const exponents = { ...scales, shape: [count * rows, perRow] };
  const taken = Math.floor((rows - begin + step - 1) / step);
  const rowLength = perRow * blockLength;
  const size = rowBytes(GgmlType.MXFP4, rowLength);
  return derived(blocks, {
    shape: [count, taken, rowLength],
    type: GgmlType.MXFP4,
    async read(target, first, signal) {
      const wanted = target.byteLength / size;
      for (let row = 0; row < wanted; ) {
        const expert = Math.floor((first + row) / taken);
        const within = (first + row) % taken;
        const run = Math.min(wanted - row, taken - within);
        const from = expert * rows + begin + step * within;
        const span = (run - 1) * step + 1;
        const packed = new Uint8Array(span * perRow * codeBytes);
        const powers = new Uint8Array(span * perRow);
        await readTensorRows(codes, packed, from, signal);
        await readTensorRows(exponents, powers, from, signal);
        for (let at = 0; at < run; at++) {
          const part = target.subarray((row + at) * size, (row + at + 1) * size);
          repack(
            part,
            packed.subarray(at * step * perRow * codeBytes),
            powers.subarray(at * step * perRow),
          );
        }
        row += run;
      }
    },
  });
}

/** A row of ggml's blocks from codes and scales of a checkpoint. */
function repack(target: Uint8Array, codes: Uint8Array, scales: Uint8Array): void {
  const blocks = target.byteLength / (1 + codeBytes);
  const codeAt = (block: number, at: number): number => {
    const byte = codes[block * codeBytes + (at >> 1)] as number;
    return at % 2 === 0 ? byte & 15 : byte >> 4;
  };
  for (let block = 0; block < blocks; block++) {
    const to = block * (1 + codeBytes);
    target[to] = scales[block] as number;
    for (let at = 0; at < codeBytes; at++) {
      target[to + 1 + at] = codeAt(block, at) | (codeAt(block, at + codeBytes) << 4);
    }
  }
}
