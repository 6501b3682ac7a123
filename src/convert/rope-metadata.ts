/** Rotary positions of a config, in the form of transformers 5 (`rope_parameters`) or the one before, as GGUF's keys. */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { JsonObject } from './json.js';

/** Takes a key without the architecture's prefix. */
export type SetEntry = (key: string, entry: GgufMetadataEntry) => void;

/**
 * Sets the keys of rotary positions.
 * @returns divisors of the frequencies, where the file has them as a tensor.
 * @throws {PacelineError} `unsupported-architecture`, `broken-file`.
 */
export function setRope(
  set: SetEntry,
  text: JsonObject,
  { gemma, dimensions }: { readonly gemma: boolean; readonly dimensions: number },
): Float32Array | undefined {
  const given = text.object('rope_parameters') ?? text.object('rope_scaling');
  const rope = given?.object('full_attention') ?? given;
  const base = rope?.number('rope_theta') ?? text.number('rope_theta') ?? (gemma ? 1e6 : undefined);
  const local =
    given?.object('sliding_attention')?.number('rope_theta') ?? text.number('rope_local_base_freq');
  if (base !== undefined) set('rope.freq_base', ggufValue.float32(base));
  if (local !== undefined) set('rope.freq_base_swa', ggufValue.float32(local));
  const type = rope?.string('rope_type') ?? rope?.string('type') ?? 'default';
  const factor = rope?.number('factor');
  switch (type) {
    case 'default':
      return undefined;
    case 'linear':
    case 'yarn':
      if (rope === undefined || factor === undefined)
        throw text.wrong('rope_scaling', 'has no factor');
      set('rope.scaling.type', ggufValue.string(type));
      set('rope.scaling.factor', ggufValue.float32(factor));
      if (type === 'yarn') setYarn(set, rope, text);
      return undefined;
    case 'llama3':
      return llama3Factors(rope as JsonObject, base ?? 10_000, dimensions);
    default:
      throw new PacelineError(
        'unsupported-architecture',
        `Rotary positions of type "${type}" cannot be converted`,
        { hint: 'Known are default, linear, yarn and llama3.', details: { type } },
      );
  }
}

function setYarn(set: SetEntry, rope: JsonObject, text: JsonObject): void {
  const original =
    rope.count('original_max_position_embeddings') ?? text.requiredCount('max_position_embeddings');
  set('rope.scaling.original_context_length', ggufValue.uint32(original));
  const more = [
    ['yarn_ext_factor', rope.number('extrapolation_factor')],
    ['yarn_attn_factor', rope.number('attention_factor') ?? rope.number('attn_factor')],
    ['yarn_beta_fast', rope.number('beta_fast')],
    ['yarn_beta_slow', rope.number('beta_slow')],
  ] as const;
  for (const [key, value] of more) {
    if (value !== undefined) set(`rope.scaling.${key}`, ggufValue.float32(value));
  }
}

/** Llama 3.1's smooth step from scaled long waves to unscaled short ones (arXiv 2407.21783). */
function llama3Factors(rope: JsonObject, base: number, dimensions: number): Float32Array {
  const factor = rope.number('factor') ?? 8;
  const low = rope.number('low_freq_factor') ?? 1;
  const high = rope.number('high_freq_factor') ?? 4;
  const original = rope.number('original_max_position_embeddings') ?? 8192;
  return Float32Array.from({ length: Math.floor(dimensions / 2) }, (_, pair) => {
    const frequency = Math.fround(1 / Math.fround(base ** Math.fround((2 * pair) / dimensions)));
    const wave = Math.fround((2 * Math.PI) / frequency);
    if (wave < original / high) return 1;
    if (wave > original / low) return factor;
    const smooth = (original / wave - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
