/** Readers of the configs of decoders whose tensors are laid out in their own ways. */
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import { readDeepSeek2Hyperparameters } from './deepseek2-checkpoint.js';
import { readDeepSeek4Hyperparameters } from './deepseek4-checkpoint.js';
import { readGlm4Hyperparameters } from './glm4-checkpoint.js';
import { readGptOssHyperparameters } from './gpt-oss-checkpoint.js';
import type { JsonObject } from './json.js';
import { readQwen35Hyperparameters } from './qwen35-checkpoint.js';

export type HyperparameterReader = (
  config: JsonObject,
  architecture: string,
) => CheckpointHyperparameters;

/** By GGUF's names of the architectures. */
export const decoderReaders: ReadonlyMap<string, HyperparameterReader> = new Map([
  ['deepseek2', readDeepSeek2Hyperparameters],
  ['deepseek4', readDeepSeek4Hyperparameters],
  ['glm4', readGlm4Hyperparameters],
  ['glm4moe', readGlm4Hyperparameters],
  ['gpt-oss', readGptOssHyperparameters],
  ['qwen35', readQwen35Hyperparameters],
  ['qwen35moe', readQwen35Hyperparameters],
]);
