/**
 * Checkpoints of gpt-oss (`GptOssForCausalLM`, arXiv 2508.10925): experts in MXFP4, as blocks of codes beside their
 * scales, which stay what they are, or in BF16, as matrices that are turned round; gate and up alternate row by row. Keys
 * and names are those of llama.cpp's converter.
 */
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import {
  type DecoderConfig,
  readDecoderConfig,
  refuseConfig,
  requireValues,
} from './decoder-metadata.js';
import { planDecoder, type Special } from './decoder-tensors.js';
import { columnsOf, transposed } from './derived-tensors.js';
import { matrixStack } from './expert-stacks.js';
import type { JsonObject } from './json.js';
import { mxfp4, type Rows } from './mxfp4.js';
import { plain, wrongShape } from './planned-tensors.js';
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
  const coded = (rows?: Rows) => {
    const found = scales.get(tensor.name.replace(/_blocks$/, '_scales'));
    const [experts = 0, outs = 0, blocks = 0, bytes = 0] = tensor.shape;
    if (found === undefined || tensor.shape.length !== 4) throw wrongShape(tensor.name, tensor);
    return mxfp4({ ...tensor, shape: [experts, outs, blocks * bytes] }, found, rows);
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
        matrixStack(`${block}.${name}.weight`, coded({ first, step: 2 })),
      );
    case 'mlp.experts.down_proj_blocks':
      return [matrixStack(`${block}.ffn_down_exps.weight`, coded())];
    default:
      return undefined;
  }
}
