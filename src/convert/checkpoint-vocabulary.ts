/**
 * From a checkpoint's tokenizer to GGUF's metadata. Known are SentencePiece (tokenizer.model, or a
 * tokenizer.json whose BPE falls back to bytes, where the order of the merges gives the scores; its
 * unigram models too), BERT's WordPiece, and byte-level BPE (tokenizer.json), whose pre-tokenizer is
 * recognised by its description. One that is not known is refused, since a text cut differently is
 * another text.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { isRecord } from '../base/records.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import { wordPieceRules, wordPieceTexts } from './bert-checkpoint.js';
import { gemma4Architecture, glmFlashClass, jinaArchitecture } from './classes.js';
import { gemma4Rules, markGemma4Tokens } from './gemma4-vocabulary.js';
import { JsonObject, readJsonIfThere, readTextIfThere } from './json.js';
import { betweenTexts, templateOf } from './post-processor.js';
import { preTokenizerOf, unsupportedTokenizer as unsupported } from './pre-tokenizer-names.js';
import { readSentencePieces } from './sentencepiece.js';
import { readUnigramVocabulary } from './unigram-vocabulary.js';

const tokenType = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 } as const;

interface Vocabulary {
  readonly model: 'llama' | 'gpt2' | 'bert' | 't5' | 'gemma4' | 'whitespace';
  readonly pre?: string;
  readonly tokens: string[];
  readonly types: number[];
  readonly scores?: number[];
  readonly merges?: string[];
  /** Entries beside those that every vocabulary has. */
  readonly rules?: ReadonlyMap<string, GgufMetadataEntry>;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

interface TokenizerFiles {
  readonly tokenizer: JsonObject | undefined;
  readonly config: JsonObject;
  readonly modelConfig: JsonObject;
  readonly added: readonly AddedToken[];
}

export interface VocabularyOptions {
  readonly folder: string;
  readonly modelConfig: JsonObject;
  readonly architecture: string;
  /** Rows of the token table; missing tokens are filled up. */
  readonly size: number;
}

/**
 * The entries `tokenizer.*`.
 * @throws {PacelineError} `unsupported-tokenizer`, `broken-file`, `io`.
 */
export async function readVocabulary(
  options: VocabularyOptions,
): Promise<Map<string, GgufMetadataEntry>> {
  const { folder, modelConfig, size } = options;
  // GLM-4.7-Flash is DeepSeek's architecture with GLM-4.5's tokenizer.
  const glm = modelConfig.list('architectures')?.[0] === glmFlashClass;
  const architecture = glm ? 'glm4moe' : options.architecture;
  const config =
    (await readJsonIfThere(join(folder, 'tokenizer_config.json'))) ??
    new JsonObject('tokenizer_config.json', {});
  const tokenizer = await readJsonIfThere(join(folder, 'tokenizer.json'));
  const older = await readJsonIfThere(join(folder, 'added_tokens.json'));
  const files = { tokenizer, config, modelConfig, added: addedTokens(older, config, tokenizer) };
  const pieces = await readIfThere(join(folder, 'tokenizer.model'));
  const gemma4 = architecture === gemma4Architecture;
  const vocabulary =
    pieces === undefined || gemma4
      ? fromTokenizerJson(files, architecture, size)
      : fromPieces(pieces, files, size);
  const entries = new Map<string, GgufMetadataEntry>();
  const set = (key: string, entry: GgufMetadataEntry) =>
    entries.set(`tokenizer.ggml.${key}`, entry);
  set('model', ggufValue.string(vocabulary.model));
  if (vocabulary.pre !== undefined) set('pre', ggufValue.string(vocabulary.pre));
  set('tokens', ggufValue.strings(vocabulary.tokens));
  if (vocabulary.scores) set('scores', ggufValue.numbers('float32', vocabulary.scores));
  set('token_type', ggufValue.numbers('int32', vocabulary.types));
  if (vocabulary.merges) set('merges', ggufValue.strings(vocabulary.merges));
  setSpecials(set, files, vocabulary);
  for (const [key, content] of Object.entries(ownSpecials[architecture] ?? {})) {
    const found = files.added.find((token) => token.content === content);
    const full = `tokenizer.ggml.${key}_token_id`;
    if (found && !entries.has(full)) entries.set(full, ggufValue.uint32(found.id));
  }
  const prefix = config.boolean('add_prefix_space');
  if (architecture.startsWith('gemma')) set('add_space_prefix', ggufValue.boolean(false));
  else if (prefix !== undefined && architecture === 'llama') {
    set('add_space_prefix', ggufValue.boolean(prefix));
  }
  for (const [key, entry] of vocabulary.rules ?? []) entries.set(key, entry);
  if (vocabulary.model === 'bert' && tokenizer) setWordPiece(entries, tokenizer, vocabulary);
  await setTemplates(entries, folder, config);
  return entries;
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new PacelineError('io', `Cannot read ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Tokens beside the vocabulary, from up to three files; the last that names an id counts. */
function addedTokens(
  older: JsonObject | undefined,
  config: JsonObject,
  tokenizer: JsonObject | undefined,
): AddedToken[] {
  const bare = Object.entries(older?.values ?? {}).map(
    ([content, id]) => [undefined, { id, content }] as const,
  );
  const listed = (tokenizer?.list('added_tokens') ?? []).map(
    (token) => [undefined, token] as const,
  );
  const decoder = config.object('added_tokens_decoder');
  const decoded = Object.entries(decoder?.values ?? {});
  return [...bare, ...decoded, ...listed].flatMap(([key, token]) => {
    if (!isRecord(token)) return [];
    const id = key === undefined ? token.id : Number(key);
    const { content, special } = token;
    if (!Number.isSafeInteger(id) || (id as number) < 0 || typeof content !== 'string') return [];
    return [{ id: id as number, content, special: special === true }];
  });
}

/** Some checkpoints do not mark as special what is never text. */
function looksSpecial(text: string): boolean {
  return (
    ['<pad>', '<mask>', '<2mass>', '[@BOS@]'].includes(text) ||
    /^<\|.*\|>$|^<｜.*｜>$|^<unused.*>$/su.test(text)
  );
}

function padding(size: number) {
  return {
    tokens: Array.from({ length: size }, (_, id) => `[PAD${id}]`),
    types: new Array<number>(size).fill(tokenType.unused),
  };
}

function putAdded(
  added: readonly AddedToken[],
  tokens: string[],
  types: number[],
  scores?: number[],
): void {
  for (const { id, content, special } of added) {
    if (id >= tokens.length) continue;
    const control = special || looksSpecial(content);
    // What users define is looked for in the text as it was written.
    tokens[id] = control ? content : content.replaceAll('\u2581', ' ');
    if (types[id] !== tokenType.unknown) types[id] = control ? tokenType.control : tokenType.user;
    if (scores !== undefined) scores[id] = -1000;
  }
}

function fromPieces(bytes: Uint8Array, { added }: TokenizerFiles, size: number): Vocabulary {
  const pieces = readSentencePieces(bytes, 'tokenizer.model');
  const { tokens, types } = padding(Math.max(size, 1));
  const scores = new Array<number>(tokens.length).fill(-10_000);
  for (const [id, { text, score, type }] of pieces.entries()) {
    if (id >= tokens.length) break;
    tokens[id] = text;
    types[id] = type;
    scores[id] = score;
  }
  // Control pieces of the model stay what they are; the others follow the list of added tokens.
  const unknown = types.indexOf(tokenType.unknown);
  putAdded(added, tokens, types, scores);
  if (unknown >= 0) types[unknown] = tokenType.unknown;
  return { model: 'llama', pre: 'default', tokens, types, scores };
}

function fromTokenizerJson(
  { tokenizer, added }: TokenizerFiles,
  architecture: string,
  size: number,
): Vocabulary {
  const model = tokenizer?.object('model');
  if (tokenizer !== undefined && model?.string('type') === 'Unigram') {
    return fromUnigram(tokenizer, model, added, size);
  }
  const vocab = model?.object('vocab');
  if (tokenizer === undefined || model === undefined || vocab === undefined) {
    throw unsupported('There is neither a tokenizer.json with a vocabulary nor a tokenizer.model');
  }
  const wordPiece = model.string('type') === 'WordPiece';
  if (!wordPiece && model.string('type') !== 'BPE') {
    throw unsupported(
      `The tokenizer is ${model.string('type') ?? 'of no type'}, neither BPE, Unigram nor WordPiece`,
    );
  }
  const { tokens, types } = padding(size);
  for (const [text, id] of Object.entries(vocab.values)) {
    if (!Number.isSafeInteger(id) || (id as number) < 0 || (id as number) >= size) {
      throw vocab.wrong(JSON.stringify(text), `has the id ${String(id)} of ${size} rows`);
    }
    tokens[id as number] = text;
    types[id as number] = tokenType.normal;
  }
  if (wordPiece) {
    putAdded(added, tokens, types);
    const texts = wordPieceTexts(tokens, (id) => types[id] !== tokenType.normal);
    return { model: 'bert', pre: 'default', tokens: texts, types };
  }
  const merges = readMerges(model);
  if (cutsAtSpaces(tokenizer, architecture)) {
    putAdded(added, tokens, types);
    const kind = tokenizer.object('normalizer')?.string('type');
    const lowercase = ggufValue.boolean(kind === 'Lowercase');
    const rules = new Map([['tokenizer.ggml.normalizer.lowercase', lowercase]]);
    const named = { model: 'whitespace', pre: 'whitespace' } as const;
    return { ...named, tokens, types, merges: merges.map(joined), rules };
  }
  if (model.boolean('byte_fallback') !== true) {
    putAdded(added, tokens, types);
    const pre = preTokenizerOf(tokenizer, architecture);
    return { model: 'gpt2', pre, tokens, types, merges: merges.map(joined) };
  }
  if (architecture === gemma4Architecture) {
    markGemma4Tokens({ tokens, types, added });
    return { model: 'gemma4', tokens, types, merges: merges.map(joined), ...gemma4Rules(tokens) };
  }
  const scores = scoresOf(tokens, merges);
  for (const [id, text] of tokens.entries()) {
    if (/^<0x[0-9A-Fa-f]{2}>$/.test(text)) types[id] = tokenType.byte;
  }
  const unknown = model.string('unk_token');
  const unknownId = unknown === undefined ? -1 : tokens.indexOf(unknown);
  putAdded(added, tokens, types, scores);
  if (unknownId >= 0) types[unknownId] = tokenType.unknown;
  return { model: 'llama', pre: 'default', tokens, types, scores };
}

/** Of Jina's model for Chinese: words of plain letters, not of bytes. */
function cutsAtSpaces(tokenizer: JsonObject, architecture: string): boolean {
  const cuts = tokenizer.object('pre_tokenizer')?.string('type');
  return architecture === jinaArchitecture && cuts === 'Whitespace';
}

function fromUnigram(
  tokenizer: JsonObject,
  model: JsonObject,
  added: readonly AddedToken[],
  size: number,
): Vocabulary {
  const { texts, scores: given, unknown, rules } = readUnigramVocabulary(tokenizer, model);
  const { tokens, types } = padding(Math.max(size, 1));
  if (texts.length > tokens.length) {
    throw model.wrong('vocab', `has ${texts.length} tokens for ${tokens.length} rows`);
  }
  const scores = new Array<number>(tokens.length).fill(-10_000);
  for (const [id, text] of texts.entries()) {
    tokens[id] = text;
    types[id] = id === unknown ? tokenType.unknown : tokenType.normal;
    scores[id] = given[id] as number;
  }
  putAdded(added, tokens, types);
  return { model: 't5', pre: 'default', tokens, types, scores, rules };
}

/** Merges as pairs: older files write them as texts with a space between. */
function readMerges(model: JsonObject): (readonly [string, string])[] {
  return (model.list('merges') ?? []).map((merge, index) => {
    const pair = typeof merge === 'string' ? merge.split(' ') : merge;
    if (
      Array.isArray(pair) &&
      pair.length === 2 &&
      pair.every((part) => typeof part === 'string')
    ) {
      return pair as [string, string];
    }
    throw model.wrong('merges', `has no pair at place ${index}`);
  });
}

/** GGUF has texts with one space: spaces within a part are written as the byte alphabet does. */
function joined(pair: readonly [string, string]): string {
  return pair.map((part) => part.replaceAll(' ', '\u0120')).join(' ');
}

/** SentencePiece merges the pair with the highest score first: earlier merges get higher ones. */
function scoresOf(
  tokens: readonly string[],
  merges: readonly (readonly [string, string])[],
): number[] {
  const ids = new Map(tokens.map((text, id) => [text, id]));
  const scores = new Array<number>(tokens.length).fill(-1e6);
  for (const [rank, [left, right]] of merges.entries()) {
    const id = ids.get(left + right);
    // A token may come of several merges; the earliest counts.
    if (id !== undefined && scores[id] === -1e6) scores[id] = -rank;
  }
  return scores;
}

type SetEntry = (key: string, entry: GgufMetadataEntry) => void;

/** Ids of BOS, EOS and the like, and which of them texts begin and end with. */
function setSpecials(set: SetEntry, files: TokenizerFiles, { tokens }: Vocabulary): void {
  const { tokenizer, config, modelConfig, added } = files;
  const text = modelConfig.object('text_config');
  const contentOf = (name: string): string | undefined => {
    const entry = config.get(`${name}_token`);
    const content = isRecord(entry) ? entry.content : entry;
    return typeof content === 'string' ? content : undefined;
  };
  const ids = { bos: 'bos', eos: 'eos', unk: 'unknown', sep: 'seperator', pad: 'padding' };
  for (const [name, key] of Object.entries(ids)) {
    const content = contentOf(name);
    const named = added.find((token) => token.content === content)?.id;
    const listed = modelConfig.get(`${name}_token_id`) ?? text?.get(`${name}_token_id`);
    const id = named ?? (Number.isSafeInteger(listed) ? (listed as number) : undefined);
    if (id !== undefined && id >= 0 && id < tokens.length) {
      set(`${key}_token_id`, ggufValue.uint32(id));
    }
  }
  const single = templateOf(tokenizer);
  for (const [name, token] of [
    ['bos', single[0]],
    ['eos', single.length > 1 ? single.at(-1) : undefined],
  ] as const) {
    const content = contentOf(name);
    const byTemplate = token !== undefined && token === content ? true : undefined;
    const adds = config.boolean(`add_${name}_token`) ?? byTemplate;
    if (adds !== undefined) set(`add_${name}_token`, ggufValue.boolean(adds));
  }
  if (betweenTexts(tokenizer) === 2) set('add_sep_token', ggufValue.boolean(true));
  // The converter's own rule for small Granite and SmolLM models.
  if (modelConfig.get('vocab_size') === 49_152) set('add_bos_token', ggufValue.boolean(false));
}

/** What single architectures have for tokens of their own, where the configs do not say others. */
const ownSpecials: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  glm4: { bos: '<|endoftext|>', eos: '<|endoftext|>', eot: '<|user|>', unknown: '<|endoftext|>' },
  glm4moe: {
    ...{ bos: '[gMASK]', eot: '<|user|>', eom: '<|observation|>' },
    unknown: '<|endoftext|>',
  },
};

/** A text of BERT begins and ends with tokens that have names of their own. */
function setWordPiece(
  entries: Map<string, GgufMetadataEntry>,
  tokenizer: JsonObject,
  { tokens }: Vocabulary,
): void {
  const [first, last] = [templateOf(tokenizer)[0], templateOf(tokenizer).at(-1)];
  for (const [key, text] of [
    ['bos_token_id', first],
    ['seperator_token_id', last],
    ['mask_token_id', '[MASK]'],
  ] as const) {
    const id = text === undefined ? -1 : tokens.indexOf(text);
    if (id >= 0) entries.set(`tokenizer.ggml.${key}`, ggufValue.uint32(id));
  }
  for (const [key, entry] of wordPieceRules(tokenizer)) entries.set(key, entry);
}

/** The chat template of the config, or that of the file beside it; several have names. */
async function setTemplates(
  entries: Map<string, GgufMetadataEntry>,
  folder: string,
  config: JsonObject,
): Promise<void> {
  const given =
    config.get('chat_template') ?? (await readTextIfThere(join(folder, 'chat_template.jinja')));
  const choices = Array.isArray(given) ? given : [{ name: 'default', template: given }];
  const named: string[] = [];
  for (const choice of choices) {
    if (!isRecord(choice) || typeof choice.template !== 'string') continue;
    const name = String(choice.name).replaceAll(/[^A-Za-z0-9]/g, '_');
    const key = name === 'default' ? 'tokenizer.chat_template' : `tokenizer.chat_template.${name}`;
    entries.set(key, ggufValue.string(choice.template));
    if (name !== 'default') named.push(name);
  }
  if (named.length > 0) entries.set('tokenizer.chat_templates', ggufValue.strings(named));
}
