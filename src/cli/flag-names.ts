/**
 * The engine speaks of its options, a person at the command line typed flags: this says one in the
 * words of the other.
 */
import type { ChatOptions, LoadOptions } from '../engine/types.js';

/** Options whose names are no words of a language, and the flags that set them. */
const flags: Partial<Record<keyof LoadOptions | keyof ChatOptions, string>> = {
  contextLength: '--ctx',
  kvType: '--kv',
  gpuLayers: '--gpu-layers',
  cpuMoe: '--cpu-moe',
  expertMemory: '--expert-memory',
  reproducible: '--portable',
  draftModels: '--draft-model',
  draftWindow: '--draft-window',
  draftMax: '--draft-max',
  maxTokens: '-n',
  topK: '--top-k',
  topP: '--top-p',
  minP: '--min-p',
  repetitionPenalty: '--repeat-penalty',
  presencePenalty: '--presence-penalty',
  frequencyPenalty: '--frequency-penalty',
  penaltyWindow: '--penalty-window',
};

const quote = "[`']?";
const names = new RegExp(`${quote}\\b(${Object.keys(flags).join('|')})\\b${quote}`, 'g');

/** Options whose names are words: they are options only where a message calls them so. */
const words: Readonly<Record<string, string>> = {
  temperature: '--temp',
  threads: '--threads',
  device: '--device',
  experts: '--experts',
  exact: '--exact',
  seed: '--seed',
  stop: '--stop',
  logprobs: '--logprobs',
  draft: '--draft',
};

/** A message of the engine with flags in place of options. */
export function inFlags(text: string): string {
  return text
    .replace(names, (_all, name: keyof typeof flags) => flags[name] ?? name)
    .replace(/\b([Oo]ption) (\w+)/g, (all, option: string, name: string) => {
      const flag = words[name];
      return flag === undefined ? all : `${option} ${flag}`;
    });
}
