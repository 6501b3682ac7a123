/** All backends, by name. A new one is a descriptor of its own file and a line here. */
import { PacelineError } from '../base/errors.js';
import { type BackendDescriptor, type BackendName, backendNames } from './descriptor.js';
import { llamaServer } from './llama-server.js';
import { ollama } from './ollama.js';
import { openai } from './openai.js';
import { paceline } from './paceline.js';
import { sglang } from './sglang.js';
import { vllm } from './vllm.js';

const descriptors: Readonly<Record<BackendName, BackendDescriptor>> = {
  paceline,
  vllm,
  sglang,
  'llama-server': llamaServer,
  ollama,
  openai,
};

/** In the order of `backendNames`. */
export const backends: readonly BackendDescriptor[] = backendNames.map((name) => descriptors[name]);

/** @throws {PacelineError} `usage` for a name that no backend has */
export function backendNamed(name: string): BackendDescriptor {
  const found = backends.find((backend) => backend.name === name);
  if (found === undefined) {
    throw new PacelineError('usage', `There is no backend ${JSON.stringify(name)}`, {
      hint: `There are: ${backendNames.join(', ')}.`,
    });
  }
  return found;
}
