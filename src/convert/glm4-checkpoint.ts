/**
 * Checkpoints of GLM-4 (`Glm4ForCausalLM`, the 0414 models) and of GLM-4.5 and 4.6 (`Glm4MoeForCausalLM`, arXiv
 * 2508.06471). Keys and names are those of llama.cpp's converter.
 */
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import {
  type DecoderConfig,
  gatings,
  readDecoderConfig,
  refuseConfig,
  requireValues,
  ropeOf,
  rotatedOf,
} from './decoder-metadata.js';
import { countDraftBlocks, planDecoder } from './decoder-tensors.js';
import type { JsonObject } from './json.js';
import { sparseEntries } from './sparse-metadata.js';

const glm4Names: ReadonlyMap<string, string> = new Map([
  ['post_self_attn_layernorm', 'post_attention_norm'],
  ['post_attention_layernorm', 'ffn_norm'],
  ['post_mlp_layernorm', 'post_ffw_norm'],
  // Gate above up.
  ['mlp.gate_up_proj', 'ffn_up'],
]);

const glm4MoeNames: ReadonlyMap<string, string> = new Map([
  ['post_attention_layernorm', 'post_attention_norm'],
]);

/** Half of each head is rotated where a config does not say so. */
const usualRotation = 0.5;

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readGlm4Hyperparameters(
  config: JsonObject,
  architecture: string,
): CheckpointHyperparameters {
  const read = readDecoderConfig(config, architecture);
  const { text, set, metadata, ropeFactors, layers } = read;
  requireValues(read, { hidden_act: 'silu' });
  refuseSections(read);
  set('rope.dimension_count', ggufValue.uint32(rotatedOf(read, usualRotation)));
  if (architecture === 'glm4') {
    return {
      shape: read,
      metadata,
      ropeFactors,
      plan: (tensors) => ({
        planned: planDecoder(tensors, read, { names: glm4Names, blocks: layers }),
      }),
    };
  }
  for (const [key, entry] of sparseEntries(text, { gating: gatings.sigmoid, normalises: true })) {
    set(key, entry);
  }
  return {
    shape: read,
    metadata,
    ropeFactors,
    plan(tensors) {
      const drafting = countDraftBlocks(tensors, read);
      return {
        planned: planDecoder(tensors, read, { names: glm4MoeNames, blocks: layers + drafting }),
        drafting,
      };
    },
  };
}

function refuseSections(read: DecoderConfig): void {
  if (ropeOf(read.text)?.get('mrope_section') === undefined) return;
  refuseConfig(`${read.architecture} with positions in sections`, read);
}
