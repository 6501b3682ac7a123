/** The architectures by the name that GGUF files give them. */
import { PacelineError } from '../base/errors.js';
import type { Decoder } from './decoder.js';
import { gemma3 } from './gemma3.js';
import { gemma4 } from './gemma4.js';
import { llama } from './llama.js';
import { olmoe } from './olmoe.js';
import { qwen2 } from './qwen2.js';
import { qwen3 } from './qwen3.js';

const architectures: ReadonlyMap<string, Decoder> = new Map([
  ['gemma3', gemma3],
  ['gemma4', gemma4],
  ['llama', llama],
  ['olmoe', olmoe],
  ['qwen2', qwen2],
  ['qwen3', qwen3],
  ['qwen3moe', qwen3],
]);

/** Names of the architectures that can be loaded. */
export const supportedArchitectures: readonly string[] = [...architectures.keys()];

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
