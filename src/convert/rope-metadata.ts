/**
 * Rotary positions of a checkpoint's config, in the form of transformers 5 (`rope_parameters`) or the one
 * before: the entries that GGUF has for them, and the tensors that divide frequencies. Keys are those of
 * llama.cpp's converter; a kind that GGUF or the engine cannot express is refused.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { JsonObject } from './json.js';

export interface RopeSizes {
  readonly architecture: string;
  /** Elements of a head. */
  readonly dimensions: number;
  /** What Gemma 3's configs may leave out is their own. */
  readonly gemma: boolean;
}

/** Takes a key without the architecture's prefix. */
export type SetEntry = (key: string, entry: GgufMetadataEntry) => void;
type Factors = ReadonlyMap<string, Float32Array>;

/**
 * Sets the entries `rope.*`, and for Ministral the one that goes with them.
 * @returns divisors of frequencies by the names of their tensors; undefined: there are none.
 * @throws {PacelineError} `unsupported-architecture`, `broken-file`.
 */
export function setRope(set: SetEntry, text: JsonObject, sizes: RopeSizes): Factors | undefined {
  const { architecture, dimensions, gemma } = sizes;
  const given = text.object('rope_parameters') ?? text.object('rope_scaling');
  const rope = given?.object('full_attention') ?? given;
  const base = rope?.number('rope_theta') ?? text.number('rope_theta') ?? (gemma ? 1e6 : undefined);
  const local =
    given?.object('sliding_attention')?.number('rope_theta') ?? text.number('rope_local_base_freq');
  if (base !== undefined) set('rope.freq_base', ggufValue.float32(base));
  if (local !== undefined) set('rope.freq_base_swa', ggufValue.float32(local));
  const type = rope?.string('rope_type') ?? rope?.string('type') ?? 'default';
  const factor = rope?.number('factor');
  if (rope === undefined || type === 'default') return undefined;
  if (type === 'linear' || type === 'yarn') {
    if (factor === undefined) throw text.wrong('rope_scaling', 'has no factor');
    set('rope.scaling.type', ggufValue.string(type));
    set('rope.scaling.factor', ggufValue.float32(factor));
    if (type === 'yarn') setYarn(set, rope, text, architecture);
    return undefined;
  }
  if (type === 'llama3') {
    const factors = llama3Factors(rope, base ?? 10_000, dimensions);
    return new Map([['rope_freqs.weight', factors]]);
  }
  if ((type === 'longrope' || type === 'su') && architecture === 'phi3') {
    return setLongRope(set, rope, text, dimensions);
  }
  const alpha = rope.number('alpha');
  if (type === 'dynamic' && architecture === 'hunyuan-dense' && alpha !== undefined) {
    setGrownBase(set, text, { base: base ?? 10_000, alpha, dimensions });
    return undefined;
  }
  throw new PacelineError(
    'unsupported-architecture',
    `Rotary positions of type "${type}" cannot be converted for ${architecture}`,
    {
      hint: 'Known are default, linear, yarn and llama3, LongRoPE for Phi 3, and dynamic with an alpha for Hunyuan.',
      details: { type, architecture },
    },
  );
}

function setYarn(set: SetEntry, rope: JsonObject, text: JsonObject, architecture: string): void {
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
  if (architecture === 'mistral3') setMinistral(set, rope);
}

/** How far queries and keys grow with YaRN's factor, and queries behind the first context. */
function setMinistral(set: SetEntry, rope: JsonObject): void {
  const all = rope.number('mscale_all_dim') ?? 0;
  const one = rope.number('mscale') ?? all;
  if (one !== all) {
    throw new PacelineError(
      'unsupported-architecture',
      `YaRN with mscale ${one} beside mscale_all_dim ${all} is not supported`,
    );
  }
  set('rope.scaling.yarn_log_multiplier', ggufValue.float32(all));
  const growth = rope.number('llama_4_scaling_beta');
  if (growth !== undefined) set('attention.temperature_scale', ggufValue.float32(growth));
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

/**
 * LongRoPE (arXiv 2402.13753): a divisor for each frequency within the first context, others beyond it,
 * and rotated parts that grow with the ratio of the contexts.
 */
function setLongRope(
  set: SetEntry,
  rope: JsonObject,
  text: JsonObject,
  dimensions: number,
): Factors {
  const context = text.requiredCount('max_position_embeddings');
  const original =
    rope.count('original_max_position_embeddings') ??
    text.count('original_max_position_embeddings') ??
    context;
  const ratio = rope.number('factor') ?? context / original;
  const usual = ratio <= 1 ? 1 : Math.sqrt(1 + Math.log(ratio) / Math.log(original));
  // No `rope.scaling.type`: readers know the kind by its tensors.
  set('rope.scaling.attn_factor', ggufValue.float32(rope.number('attention_factor') ?? usual));
  const part = rope.number('partial_rotary_factor') ?? text.number('partial_rotary_factor') ?? 1;
  const pairs = Math.floor(Math.floor(part * dimensions) / 2);
  return new Map(
    (['long', 'short'] as const).map((which) => [
      `rope_factors_${which}.weight`,
      factorsOf(rope, `${which}_factor`, pairs),
    ]),
  );
}

function factorsOf(rope: JsonObject, key: string, length: number): Float32Array {
  const values = rope.list(key);
  if (values === undefined) throw rope.wrong(key, 'is missing');
  const numbers = values.filter((value) => typeof value === 'number' && value > 0) as number[];
  if (values.length !== length || numbers.length !== length) {
    throw rope.wrong(key, `does not hold ${length} numbers above 0`);
  }
  return Float32Array.from(numbers);
}

/** What Hunyuan calls dynamic: a base that is larger by a fixed power of alpha (NTK), and the context that it is good for. */
function setGrownBase(
  set: SetEntry,
  text: JsonObject,
  { base, alpha, dimensions }: { base: number; alpha: number; dimensions: number },
): void {
  const grown = base * alpha ** (dimensions / (dimensions - 2));
  const told = text.requiredCount('max_position_embeddings');
  // Configs tell a context that is too short; the converter's own rule.
  const context = base === 10_000 && told === 32_768 ? 262_144 : told;
  set('rope.freq_base', ggufValue.float32(grown));
  set('rope.scaling.type', ggufValue.string('none'));
  set('rope.scaling.factor', ggufValue.float32(1));
  set('rope.scaling.original_context_length', ggufValue.uint32(context));
  set('context_length', ggufValue.uint32(context));
}
