/** Checkpoints of decoders with own layouts, and what their logits are. */
import type { Checkpoint } from './checkpoint.js';
import {
  deepSeek2Config,
  deepSeek3Config,
  deepSeekCheckpoint,
  deepSeekLogits,
} from './deepseek2-checkpoints.js';
import { deepSeek4Checkpoint, deepSeek4Logits, longText } from './deepseek4-checkpoints.js';
import type { Row } from './double-precision.js';
import { glm4Checkpoint, glm4Logits, glm4MoeConfig } from './glm4-checkpoints.js';

import { gptOssCheckpoint, gptOssLogits } from './gpt-oss-checkpoints.js';
import { qwen35Checkpoint, qwen35Logits, qwen35MoeConfig } from './qwen35-checkpoints.js';

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
