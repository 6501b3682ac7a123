/**
 * Checkpoints of BERT and XLM-RoBERTa (arXiv 1911.02116) that make vectors or rank: hyperparameters,
 * names of tensors, the WordPiece vocabulary, and how sentence-transformers pools. What is for other
 * purposes (the pooler, which vectors do without, and the head that guesses masked words) stays behind.
 */
import { join } from 'node:path';
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import { bertArchitecture } from './classes.js';
import { type JsonObject, readJsonIfThere } from './json.js';
import { layeredName } from './layered-names.js';

/** `pooling_type` of models that rank. */
const rank = 4;

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readBertHyperparameters(config: JsonObject): CheckpointHyperparameters {
  const refuse = (key: string) => {
    const found = `${key} ${JSON.stringify(config.get(key))}`;
    throw new PacelineError('unsupported-architecture', `BERT with ${found} is not supported`);
  };
  if ((config.string('hidden_act') ?? 'gelu') !== 'gelu') refuse('hidden_act');
  if ((config.string('position_embedding_type') ?? 'absolute') !== 'absolute') {
    refuse('position_embedding_type');
  }
  const [name] = config.list('architectures') ?? [];
  const roberta = String(name).startsWith('XLMRoberta');
  const ranks = String(name).endsWith('ForSequenceClassification');
  if (ranks) requireOneClass(config);
  const positionOffset = roberta ? 1 + (config.number('pad_token_id') ?? 1) : 0;
  const layers = config.requiredCount('num_hidden_layers');
  const heads = config.requiredCount('num_attention_heads');
  const metadata = new Map<string, GgufMetadataEntry>();
  const set = (key: string, entry: GgufMetadataEntry) =>
    metadata.set(`${bertArchitecture}.${key}`, entry);
  set('block_count', ggufValue.uint32(layers));
  const positions = config.requiredCount('max_position_embeddings') - positionOffset;
  set('context_length', ggufValue.uint32(positions));
  set('embedding_length', ggufValue.uint32(config.requiredCount('hidden_size')));
  set('feed_forward_length', ggufValue.uint32(config.requiredCount('intermediate_size')));
  set('attention.head_count', ggufValue.uint32(heads));
  set('attention.layer_norm_epsilon', ggufValue.float32(config.number('layer_norm_eps') ?? 1e-12));
  set('attention.causal', ggufValue.boolean(false));
  if (ranks) set('pooling_type', ggufValue.uint32(rank));
  const vocabSize = config.requiredCount('vocab_size');
  const types = config.count('type_vocab_size') ?? 1;
  metadata.set('tokenizer.ggml.token_type_count', ggufValue.uint32(types));
  return {
    shape: {
      ...{ architecture: bertArchitecture, layers, heads, kvHeads: heads, experts: 0 },
      ...{ vocabSize, tied: true, positionOffset, ranks },
    },
    metadata,
    ropeFactors: undefined,
  };
}

/** A text is ranked by one number. @throws {PacelineError} `unsupported-architecture` for other classifiers. */
export function requireOneClass(config: JsonObject): void {
  const labels = config.object('id2label');
  const classes =
    config.count('num_labels') ?? Object.keys(labels?.values ?? { 0: 0, 1: 1 }).length;
  if (classes === 1) return;
  throw new PacelineError(
    'unsupported-architecture',
    `A classifier of ${classes} classes is not supported`,
    { hint: 'What ranks texts has one (num_labels, or id2label in config.json).' },
  );
}

const outer: ReadonlyMap<string, string> = new Map([
  ['embeddings.word_embeddings', 'token_embd'],
  ['embeddings.position_embeddings', 'position_embd'],
  ['embeddings.token_type_embeddings', 'token_types'],
  ['embeddings.LayerNorm', 'token_embd_norm'],
]);

const inLayer: ReadonlyMap<string, string> = new Map([
  ['attention.self.query', 'attn_q'],
  ['attention.self.key', 'attn_k'],
  ['attention.self.value', 'attn_v'],
  ['attention.output.dense', 'attn_output'],
  ['attention.output.LayerNorm', 'attn_output_norm'],
  ['intermediate.dense', 'ffn_up'],
  ['output.dense', 'ffn_down'],
  ['output.LayerNorm', 'layer_output_norm'],
]);

/** With the head of what ranks: BERT's pooler and classifier are what RoBERTa calls dense and out_proj. */
const outerOfRanker: ReadonlyMap<string, string> = new Map([
  ...outer,
  ['pooler.dense', 'cls'],
  ['classifier', 'cls.output'],
  ['classifier.dense', 'cls'],
  ['classifier.out_proj', 'cls.output'],
]);

/** What vectors do without, and what guesses words. */
const unused = /^(embeddings\.position_ids|pooler\..*|cls\..*|lm_head\..*)$/;

/** GGUF's name of a tensor; null: it is left behind; undefined: it is not known. */
export function bertTensorName(
  given: string,
  { ranks }: { readonly ranks?: boolean | undefined },
): string | null | undefined {
  const name = given
    .replace(/^(bert|roberta)\./, '')
    .replace(/\.gamma$/, '.weight')
    .replace(/\.beta$/, '.bias');
  const names = { layers: 'encoder.layer', outer: ranks ? outerOfRanker : outer, inLayer };
  const found = layeredName(name, names);
  return found ?? (unused.test(name) ? null : undefined);
}

/**
 * Texts of a WordPiece vocabulary in GGUF's spelling: what begins a word starts with U+2581.
 * @param isControl whether a token is a mark and no text.
 */
export function wordPieceTexts(
  texts: readonly string[],
  isControl: (id: number) => boolean,
): string[] {
  return texts.map((text, id) => {
    if (isControl(id)) return text;
    return text.startsWith('##') ? text.slice(2) : `\u2581${text}`;
  });
}

/** What the normaliser does to texts, where it is BERT's. @throws {PacelineError} `unsupported-tokenizer`. */
export function wordPieceRules(tokenizer: JsonObject): Map<string, GgufMetadataEntry> {
  const normalizer = tokenizer.object('normalizer');
  const cuts = tokenizer.object('pre_tokenizer')?.string('type');
  if (normalizer?.string('type') !== 'BertNormalizer' || cuts !== 'BertPreTokenizer') {
    throw new PacelineError('unsupported-tokenizer', 'The WordPiece tokenizer is not that of BERT');
  }
  const lowercase = normalizer.boolean('lowercase') ?? true;
  const strips = normalizer.boolean('strip_accents') ?? lowercase;
  return new Map([
    ['tokenizer.ggml.normalizer.lowercase', ggufValue.boolean(lowercase)],
    ['tokenizer.ggml.normalizer.strip_accents', ggufValue.boolean(strips)],
  ]);
}

/** Values of `pooling_type`. */
const poolings = [
  ['pooling_mode_mean_tokens', 1],
  ['pooling_mode_cls_token', 2],
  ['pooling_mode_lasttoken', 3],
] as const;

/**
 * `pooling_type` as sentence-transformers has it in the checkpoint's folder; empty where it says
 * nothing. @throws {PacelineError} `unsupported-architecture` for a pooling that is none of ours.
 */
export async function poolingMetadata(
  folder: string,
  architecture: string,
): Promise<Map<string, GgufMetadataEntry>> {
  const modules = await readJsonIfThere(join(folder, '1_Pooling', 'config.json'));
  if (modules === undefined) return new Map();
  const on = Object.entries(modules.values).filter(
    ([key, value]) => key.startsWith('pooling_mode_') && value === true,
  );
  const type = on.length === 1 ? poolings.find(([key]) => key === on[0]?.[0])?.[1] : undefined;
  if (type === undefined) {
    const names = on.map(([key]) => key).join(', ') || 'nothing';
    throw new PacelineError('unsupported-architecture', `Pooling by ${names} is not supported`);
  }
  return new Map([[`${architecture}.pooling_type`, ggufValue.uint32(type)]]);
}
