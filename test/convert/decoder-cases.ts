/** Checkpoints of decoders with own layouts, and what their logits are. */
import type { Checkpoint } from './checkpoint.js';
import {
  deepSeek2Config,
  deepSeek3Config,
  deepSeekCheckpoint,
  deepSeekLogits,
  glmFlashConfig,
} from './deepseek2-checkpoints.js';
import { deepSeek4Checkpoint, deepSeek4Logits, longText } from './deepseek4-checkpoints.js';
import type { Row } from './double-precision.js';
import { codedWeights, quantization_config } from './fp8.js';
import { glm4Checkpoint, glm4Logits, glm4MoeConfig, glmTokenizer } from './glm4-checkpoints.js';

import { gptOssCheckpoint, gptOssLogits } from './gpt-oss-checkpoints.js';
import { qwen35Checkpoint, qwen35Logits, qwen35MoeConfig } from './qwen35-checkpoints.js';
import { writeCheckpoint } from './written-checkpoint.js';

export const tokens = [7, 300, 12, 45, 45, 201, 3, 99, 150, 31, 77, 260, 8];

export interface DecoderCase {
  readonly architecture: string;
  readonly make: () => Checkpoint;
  /** Default: `tokens`. */
  readonly text?: readonly number[];
  readonly logits: (checkpoint: Checkpoint, tokens: readonly number[]) => Row[];
}

export const decoderCases: Readonly<Record<string, DecoderCase>> = {
  qwen35: { architecture: 'qwen35', make: () => qwen35Checkpoint(), logits: qwen35Logits },
  qwen35moe: {
    architecture: 'qwen35moe',
    make: () => qwen35Checkpoint({ config: qwen35MoeConfig }),
    logits: qwen35Logits,
  },
  deepseek2: {
    architecture: 'deepseek2',
    make: () => deepSeekCheckpoint({ config: deepSeek2Config }),
    logits: deepSeekLogits,
  },
  deepseek3: {
    architecture: 'deepseek2',
    make: () => deepSeekCheckpoint({ config: deepSeek3Config, drafts: true }),
    logits: deepSeekLogits,
  },
  'glm-4.7-flash': {
    architecture: 'deepseek2',
    make: () =>
      deepSeekCheckpoint({
        ...{ config: glmFlashConfig, drafts: true, tokenizer: glmTokenizer(320) },
      }),
    logits: deepSeekLogits,
  },
  deepseek4: {
    architecture: 'deepseek4',
    make: () => deepSeek4Checkpoint(),
    text: longText,
    logits: deepSeek4Logits,
  },
  'gpt-oss': { architecture: 'gpt-oss', make: () => gptOssCheckpoint(), logits: gptOssLogits },
  glm4: { architecture: 'glm4', make: () => glm4Checkpoint(), logits: glm4Logits },
  glm4moe: {
    architecture: 'glm4moe',
    make: () => glm4Checkpoint({ config: glm4MoeConfig }),
    logits: glm4Logits,
  },
};

/** Other forms of the same, whose tensors are compared with those of llama.cpp's converter. */
export const decoderForms: Readonly<Record<string, () => Checkpoint>> = {
  'qwen35 with a draft block': () => qwen35Checkpoint({ drafts: 1 }),
  'qwen35moe in BF16 with a draft block': () =>
    qwen35Checkpoint({ config: qwen35MoeConfig, drafts: 1, type: 'BF16' }),
  'glm4 in F16': () => glm4Checkpoint({ type: 'F16' }),
  'glm4moe with a draft block': () =>
    glm4Checkpoint({ config: glm4MoeConfig, drafts: true, type: 'BF16' }),
  'gpt-oss in BF16': () => gptOssCheckpoint({ type: 'BF16' }),
  'gpt-oss in MXFP4': () => gptOssCheckpoint({ coded: true, type: 'BF16' }),
  'deepseek3 in FP8'() {
    const config = { ...deepSeek3Config, quantization_config };
    const { weights } = deepSeekCheckpoint({ config });
    const fits = /(self_attn|mlp).*_proj(_with_mqa)?\.weight$/;
    const { raw, decoded } = codedWeights(weights, fits);
    return writeCheckpoint({ config, weights: decoded, raw, type: 'BF16' });
  },
  'deepseek4 as released': () => deepSeek4Checkpoint({ released: true }),
};
