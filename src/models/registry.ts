/** The architectures by the name that GGUF files give them. */
import { PacelineError } from '../base/errors.js';
import { bert } from './bert.js';
import type { Decoder } from './decoder.js';
import { deepseek } from './deepseek.js';
import { deepseek2 } from './deepseek2.js';
import { deepseek4 } from './deepseek4.js';
import { ernie45 } from './ernie4-5.js';
import { gemmaEmbedding } from './gemma-embedding.js';
import { gemma2 } from './gemma2.js';
import { gemma3 } from './gemma3.js';
import { gemma4 } from './gemma4.js';
import { glm4 } from './glm4.js';
import { glm4moe } from './glm4moe.js';
import { gptOss } from './gpt-oss.js';
import { granite } from './granite.js';
import { hunyuanDense } from './hunyuan-dense.js';
import { lfm2 } from './lfm2.js';
import { llama } from './llama.js';
import { mistral3 } from './mistral3.js';
import { olmo2 } from './olmo2.js';
import { olmoe } from './olmoe.js';
import { phi3 } from './phi3.js';
import { qwen2 } from './qwen2.js';
import { qwen3 } from './qwen3.js';
import { qwen35 } from './qwen35.js';
import { seedOss } from './seed-oss.js';
import { smollm3 } from './smollm3.js';

/** Those that continue texts. */
const decoders: ReadonlyMap<string, Decoder> = new Map([
  ['deepseek', deepseek],
  ['deepseek2', deepseek2],
  ['deepseek4', deepseek4],
  ['ernie4_5', ernie45],
  ['gemma2', gemma2],
  ['gemma3', gemma3],
  ['gemma4', gemma4],
  ['glm4', glm4],
  ['glm4moe', glm4moe],
  ['gpt-oss', gptOss],
  ['granite', granite],
  ['granitemoe', granite],
  ['hunyuan-dense', hunyuanDense],
  ['lfm2', lfm2],
  ['lfm2moe', lfm2],
  ['llama', llama],
  ['mistral3', mistral3],
  ['olmo2', olmo2],
  ['olmoe', olmoe],
  ['phi3', phi3],
  ['qwen2', qwen2],
  ['qwen3', qwen3],
  ['qwen3moe', qwen3],
  ['qwen35', qwen35],
  ['qwen35moe', qwen35],
  ['seed_oss', seedOss],
  ['smollm3', smollm3],
]);

/** Those that make vectors of texts, or rank them. */
const encoders: ReadonlyMap<string, Decoder> = new Map([
  ['bert', bert],
  ['gemma-embedding', gemmaEmbedding],
  ['jina-bert-v2', bert],
  ['nomic-bert', bert],
  ['nomic-bert-moe', bert],
]);

const architectures: ReadonlyMap<string, Decoder> = new Map([...decoders, ...encoders]);

/** Names of the architectures that can be loaded. */
export const supportedArchitectures: readonly string[] = [...architectures.keys()];

/** Those of them that continue texts. */
export const textArchitectures: readonly string[] = [...decoders.keys()];

/** @throws {PacelineError} `unsupported-architecture`, with a list of the supported ones. */
export function architectureOf(name: string): Decoder {
  const found = architectures.get(name);
  if (found !== undefined) return found;
  throw new PacelineError(
    'unsupported-architecture',
    `Models of architecture "${name}" are unknown`,
    {
      hint: `Supported are: ${supportedArchitectures.join(', ')}.`,
      details: { architecture: name, supported: supportedArchitectures },
    },
  );
}
