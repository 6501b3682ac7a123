/**
 * What decoders have beside the hyperparameters of Llama: Gemma 2, Granite, Mistral 3, OLMo 2 and 3, Phi 3, SmolLM3. Keys and
 * types are those of llama.cpp's converter. Variants that the engine would compute otherwise are refused.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { JsonObject } from './json.js';

export interface VariantSizes {
  readonly architecture: string;
  readonly layers: number;
  readonly heads: number;
  readonly embedding: number;
  readonly headDim: number;
}

/** Entries without the architecture's prefix. @throws {PacelineError} `unsupported-architecture`, `broken-file`. */
export function variantMetadata(
  text: JsonObject,
  sizes: VariantSizes,
): Map<string, GgufMetadataEntry> {
  switch (sizes.architecture) {
    case 'gemma2':
      return gemma2(text, sizes);
    case 'granite':
    case 'granitemoe':
      return granite(text, sizes);
    case 'mistral3':
      return mistral3(text, sizes);
    case 'olmo2':
      return olmo2(text, sizes);
    case 'phi3':
      return phi3(text, sizes);
    case 'smollm3':
      return smollm3(text, sizes);
    default:
      return new Map();
  }
}

function refuse(what: string, { architecture }: VariantSizes): never {
  throw new PacelineError('unsupported-architecture', `${what} is not supported`, {
    details: { architecture },
  });
}

function gemma2(text: JsonObject, sizes: VariantSizes): Map<string, GgufMetadataEntry> {
  const { layers, heads, embedding, headDim } = sizes;
  // The 27B model, known by its depth, scales by the width per head.
  const expected = layers === 46 ? Math.floor(embedding / heads) : headDim;
  const scale = text.number('query_pre_attn_scalar') ?? 256;
  if (scale !== expected) refuse(`Gemma 2 whose scores are scaled by ${scale}`, sizes);
  requireAlternating(text, sizes);
  const cap = (key: string, usual: number) => ggufValue.float32(text.number(key) ?? usual);
  return new Map([
    ['attn_logit_softcapping', cap('attn_logit_softcapping', 50)],
    ['final_logit_softcapping', cap('final_logit_softcapping', 30)],
  ]);
}

function granite(text: JsonObject, sizes: VariantSizes): Map<string, GgufMetadataEntry> {
  if (sizes.headDim !== sizes.embedding / sizes.heads) {
    refuse(`Granite with heads of ${sizes.headDim}`, sizes);
  }
  const scale = (key: string) => ggufValue.float32(text.number(key) ?? 1);
  return new Map([
    ['attention.scale', scale('attention_multiplier')],
    ['embedding_scale', scale('embedding_multiplier')],
    ['residual_scale', scale('residual_multiplier')],
    ['logit_scale', scale('logits_scaling')],
  ]);
}

/** Ministral 3, and Mistral Small 3.1 and 3.2, whose text model is the older Mistral. */
function mistral3(text: JsonObject, sizes: VariantSizes): Map<string, GgufMetadataEntry> {
  const kind = text.string('model_type') ?? 'mistral';
  if (!['mistral', 'ministral3'].includes(kind)) refuse(`A text model of type ${kind}`, sizes);
  if (text.get('sliding_window') !== undefined) refuse('Mistral 3 with sliding windows', sizes);
  return new Map();
}

/** Only OLMo 3 has windows. */
function olmo2(text: JsonObject, sizes: VariantSizes): Map<string, GgufMetadataEntry> {
  const { layers } = sizes;
  const window = text.count('sliding_window');
  if (window === undefined) return new Map();
  const bases = ['full_attention', 'sliding_attention'].map((kind) =>
    text.object('rope_parameters')?.object(kind)?.number('rope_theta'),
  );
  if (bases[0] !== bases[1]) refuse('OLMo 3 that turns layers with a window otherwise', sizes);
  const types = text.list('layer_types');
  const slides = Array.from({ length: layers }, (_, layer) =>
    types === undefined ? (layer + 1) % 4 !== 0 : types[layer] === 'sliding_attention',
  );
  return new Map([
    ['attention.sliding_window', ggufValue.uint32(window)],
    ['attention.sliding_window_pattern', ggufValue.booleans(slides)],
  ]);
}

/** A part of each head may be rotated; the window is told, and not applied. */
function phi3(text: JsonObject, sizes: VariantSizes): Map<string, GgufMetadataEntry> {
  const rope = text.object('rope_parameters') ?? text;
  const part = rope.number('partial_rotary_factor') ?? text.number('partial_rotary_factor') ?? 1;
  const dimensions = Math.floor(Math.floor(part * sizes.embedding) / sizes.heads);
  const original =
    text.count('original_max_position_embeddings') ?? text.requiredCount('max_position_embeddings');
  return new Map([
    ['rope.dimension_count', ggufValue.uint32(dimensions)],
    ['rope.scaling.original_context_length', ggufValue.uint32(original)],
    ['attention.sliding_window', ggufValue.uint32(text.count('sliding_window') ?? 0)],
  ]);
}

function smollm3(text: JsonObject, sizes: VariantSizes): Map<string, GgufMetadataEntry> {
  if (text.boolean('use_sliding_window') === true) refuse('SmolLM3 with sliding windows', sizes);
  const interval = text.count('no_rope_layer_interval') ?? 4;
  const listed = text.list('no_rope_layers');
  for (let layer = 0; layer < sizes.layers; layer++) {
    const rotates = (layer + 1) % 4 !== 0;
    const asked = listed === undefined ? (layer + 1) % interval !== 0 : listed[layer] === 1;
    if (asked !== rotates) refuse('SmolLM3 with positions in other layers than usual', sizes);
  }
  return new Map();
}

/** Requires that, where layers are listed, every other one has a window, the first too. */
function requireAlternating(text: JsonObject, sizes: VariantSizes): void {
  const types = text.list('layer_types');
  const usual = types?.every((type, layer) => (type === 'sliding_attention') === (layer % 2 === 0));
  if (usual === false) refuse('An unusual order of kinds of layers', sizes);
}
