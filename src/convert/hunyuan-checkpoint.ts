/** What dense checkpoints of Hunyuan (`HunYuanDenseV1ForCausalLM`) have of their own beside tensors and rotation. */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import { hunyuanArchitecture } from './classes.js';
import type { JsonObject } from './json.js';

/** @throws {PacelineError} `unsupported-architecture` where layers share keys and values. */
export function requireOwnKeys(text: JsonObject): void {
  if (text.boolean('use_cla') !== true) return;
  throw new PacelineError(
    'unsupported-architecture',
    'Hunyuan whose layers share keys and values (use_cla) is not supported',
  );
}

/**
 * The ends of texts and of turns, which these configs call otherwise than others: the converter's own rule.
 * Empty for other architectures.
 */
export function hunyuanSpecials(
  config: JsonObject,
  generation: JsonObject | undefined,
  { architecture, size }: { readonly architecture: string; readonly size: number },
): Map<string, GgufMetadataEntry> {
  const entries = new Map<string, GgufMetadataEntry>();
  if (architecture !== hunyuanArchitecture) return entries;
  const set = (name: string, id: unknown) => {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= size) return;
    entries.set(`tokenizer.ggml.${name}_token_id`, ggufValue.uint32(id as number));
  };
  set('eos', config.get('eod_token_id'));
  const ends = generation?.get('eos_token_id');
  if (Array.isArray(ends) && ends.length > 1) set('eot', ends[0]);
  return entries;
}
