/**
 * The tokens of a model: texts, scores, types, which are special and which end a text. Decides
 * everything that the reference decides while loading a vocabulary, by the same rules (several go
 * by a token's text, because files do not say). Knows nothing of splitting or merging.
 */
import { PacelineError } from '../base/errors.js';
import { bytesOfText } from '../gguf/text.js';
import { charToByte } from './byte-alphabet.js';
import type { TokenizerMetadata } from './metadata.js';
import { findPreTokenizer, type PreTokenizer, preTokenizerNames } from './pre-tokenizers.js';
import {
  endOfTextTokens,
  fillInTheMiddleTokens,
  plainTextTokens,
  type SpecialTokenName,
  specialTokenKeys,
} from './special-names.js';
import { utf8Length } from './unicode.js';

/** Attributes of a token, as flags. */
export const Attribute = {
  UNKNOWN: 1,
  UNUSED: 2,
  NORMAL: 4,
  CONTROL: 8,
  USER_DEFINED: 16,
  BYTE: 32,
  /** White space on the left, or right, of the token belongs to it. */
  STRIP_LEFT: 64,
  STRIP_RIGHT: 128,
} as const;

/** `tokenizer.ggml.token_type` to attribute; type 0 and unknown types have none. */
const attributeOfType = [
  0,
  Attribute.NORMAL,
  Attribute.UNKNOWN,
  Attribute.CONTROL,
  Attribute.USER_DEFINED,
  Attribute.UNUSED,
  Attribute.BYTE,
];

const HIDDEN = Attribute.UNKNOWN | Attribute.CONTROL;

export type TokenizerKind = 'sentencepiece' | 'byte-bpe' | 'plain-bpe' | 'wordpiece' | 'unigram';

/** Names that `tokenizer.ggml.model` may have. */
const supportedModels = ['llama', 'gpt2', 'gemma4', 'bert', 't5', 'whitespace'] as const;

/** How WordPiece normalises a text. */
export interface WordPieceRules {
  readonly lowercase: boolean;
  readonly stripAccents: boolean;
}

/** How a unigram model normalises a text. */
export interface UnigramRules {
  /** Runs of spaces become one, and none stays at the end. */
  readonly mergeSpaces: boolean;
  /** SentencePiece's `precompiled_charsmap`; undefined: characters stay as they are. */
  readonly characterMap: Uint8Array | undefined;
}

export interface Vocabulary {
  readonly kind: TokenizerKind;
  /** `tokenizer.ggml.model` and `tokenizer.ggml.pre`. */
  readonly model: string;
  readonly pre: string;
  /** Only for the BPE kinds. */
  readonly preTokenizer: PreTokenizer | undefined;
  readonly texts: readonly string[];
  readonly idOf: ReadonlyMap<string, number>;
  readonly attributes: Uint8Array;
  readonly scores: ArrayLike<number> | undefined;
  readonly merges: readonly string[];
  readonly special: Readonly<Partial<Record<SpecialTokenName, number>>>;
  readonly endOfGeneration: ReadonlySet<number>;
  /** Ids found as text before anything else, longest first. */
  readonly specialIds: readonly number[];
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** Whether the separator stands between two texts. */
  readonly addSeparator: boolean;
  readonly addSpacePrefix: boolean;
  readonly cleanSpaces: boolean;
  /** Spaces are U+2581 in tokens. */
  readonly escapeSpaces: boolean;
  /** White space of texts is dropped, and capitals perhaps: files of the model `whitespace`. */
  readonly wordsOnly: { readonly lowercase: boolean } | undefined;
  /** How texts are normalised; only for the kind of that name. */
  readonly wordPiece: WordPieceRules | undefined;
  readonly unigram: UnigramRules | undefined;
}

/** Reads a vocabulary. @throws {PacelineError} `unsupported-tokenizer`, `broken-file`. */
export function readVocabulary(metadata: TokenizerMetadata): Vocabulary {
  const model = metadata.optionalString('tokenizer.ggml.model');
  if (model === undefined) throw broken('tokenizer.ggml.model', 'is missing');
  const { kind, pre, preTokenizer } = chooseKind(model, metadata);

  const texts = readTexts(metadata);
  const idOf = new Map<string, number>();
  for (let id = 0; id < texts.length; id++) idOf.set(texts[id] as string, id);
  const attributes = readAttributes(metadata, texts.length);
  const scores = metadata.optionalNumberArray('tokenizer.ggml.scores');
  if (scores && scores.length < texts.length) {
    throw broken('tokenizer.ggml.scores', `has ${scores.length} items for ${texts.length} tokens`);
  }
  const merges = metadata.optionalStringArray('tokenizer.ggml.merges');
  if (preTokenizer && !merges && pre !== 'kimi-k2') {
    throw broken('tokenizer.ggml.merges', 'is missing');
  }

  const special = readSpecial(metadata, kind, model, preTokenizer, texts.length);
  const draft = { texts, idOf, attributes, special };
  nameFillInTheMiddle(draft);
  markUnused(draft);
  const endOfGeneration = findEndOfGeneration(draft);
  const specialIds = sortSpecial(texts, attributes);
  setStripping(metadata, draft, specialIds);

  const spm = kind === 'sentencepiece';
  const add = (key: string, fallback: boolean) =>
    metadata.optionalBoolean(`tokenizer.ggml.${key}`) ?? fallback;
  const bert = kind === 'wordpiece';
  const addBos = add('add_bos_token', spm || bert || (preTokenizer?.addBos ?? false));
  const vocabulary: Vocabulary = {
    kind,
    model,
    pre,
    preTokenizer,
    scores,
    endOfGeneration,
    specialIds,
    ...draft,
    merges: merges ?? [],
    addBos: addBos || (preTokenizer?.gemma ?? false),
    addEos: add('add_eos_token', kind === 'unigram'),
    addSeparator: add('add_sep_token', bert),
    addSpacePrefix: add('add_space_prefix', spm),
    cleanSpaces: preTokenizer?.cleanSpaces ?? bert,
    escapeSpaces: kind !== 'byte-bpe' && model !== 'whitespace',
    wordsOnly: model === 'whitespace' ? readWordsOnly(metadata) : undefined,
    wordPiece: bert ? readWordPiece(metadata) : undefined,
    unigram: kind === 'unigram' ? readUnigram(metadata) : undefined,
  };
  if (vocabulary.addBos && special.bos === undefined) {
    throw broken('tokenizer.ggml.bos_token_id', 'is missing, but texts begin with that token');
  }
  if (vocabulary.addEos && special.eos === undefined) {
    throw broken('tokenizer.ggml.eos_token_id', 'is missing, but texts end with that token');
  }
  if (bert && (special.bos === undefined || special.separator === undefined)) {
    throw broken('tokenizer.ggml.tokens', 'has no tokens for the beginning and the end of a text');
  }
  return vocabulary;
}

function readWordPiece(metadata: TokenizerMetadata): WordPieceRules {
  const key = 'tokenizer.ggml.normalizer';
  const lowercase = metadata.optionalBoolean(`${key}.lowercase`) ?? true;
  const stripAccents = metadata.optionalBoolean(`${key}.strip_accents`) ?? lowercase;
  return { lowercase, stripAccents };
}

function readWordsOnly(metadata: TokenizerMetadata) {
  return { lowercase: metadata.optionalBoolean('tokenizer.ggml.normalizer.lowercase') ?? false };
}

function readUnigram(metadata: TokenizerMetadata): UnigramRules {
  const map = metadata.optionalNumberArray('tokenizer.ggml.precompiled_charsmap');
  return {
    mergeSpaces: metadata.optionalBoolean('tokenizer.ggml.remove_extra_whitespaces') ?? false,
    characterMap: map && Uint8Array.from(map, (byte) => byte & 0xff),
  };
}

function broken(key: string, problem: string): PacelineError {
  return new PacelineError('broken-file', `Metadata key '${key}' ${problem}`, {
    hint: 'Convert the model again, or get another file.',
    details: { key },
  });
}

function chooseKind(model: string, metadata: TokenizerMetadata) {
  const named = metadata.optionalString('tokenizer.ggml.pre') ?? '';
  if (model === 'llama') {
    return { kind: 'sentencepiece' as const, pre: named, preTokenizer: undefined };
  }
  if (model === 'bert' || model === 't5') {
    const kind = model === 'bert' ? ('wordpiece' as const) : ('unigram' as const);
    return { kind, pre: named, preTokenizer: undefined };
  }
  if (model !== 'gpt2' && model !== 'gemma4' && model !== 'whitespace') {
    throw new PacelineError('unsupported-tokenizer', `Unknown tokenizer model '${model}'`, {
      hint: `Supported models of tokenizers: ${supportedModels.join(', ')}.`,
      details: { model, supported: supportedModels },
    });
  }
  const pre = model === 'gemma4' ? 'gemma4' : named || 'default';
  const preTokenizer = findPreTokenizer(pre);
  if (!preTokenizer || (model === 'whitespace') !== (pre === 'whitespace')) {
    throw new PacelineError('unsupported-tokenizer', `Unknown pre-tokenizer '${pre}'`, {
      hint: `Supported pre-tokenizers: ${preTokenizerNames().join(', ')}.`,
      details: { pre, supported: preTokenizerNames() },
    });
  }
  const kind = preTokenizer.plainText ? ('plain-bpe' as const) : ('byte-bpe' as const);
  return { kind, pre, preTokenizer };
}

function readTexts(metadata: TokenizerMetadata): readonly string[] {
  const tokens = metadata.optionalStringArray('tokenizer.ggml.tokens');
  if (!tokens) throw broken('tokenizer.ggml.tokens', 'is missing');
  if (tokens.length === 0) throw broken('tokenizer.ggml.tokens', 'is empty');
  if (!tokens.includes('')) return tokens;
  return tokens.map((text, id) => text || `[EMPTY_${id}]`);
}

function readAttributes(metadata: TokenizerMetadata, count: number): Uint8Array {
  const attributes = new Uint8Array(count).fill(Attribute.NORMAL);
  const types = metadata.optionalNumberArray('tokenizer.ggml.token_type');
  if (!types) return attributes;
  if (types.length < count) {
    throw broken('tokenizer.ggml.token_type', `has ${types.length} items for ${count} tokens`);
  }
  for (let id = 0; id < count; id++) attributes[id] = attributeOfType[types[id] as number] ?? 0;
  return attributes;
}

type SpecialIds = Partial<Record<SpecialTokenName, number>>;

interface Draft {
  readonly texts: readonly string[];
  readonly idOf: ReadonlyMap<string, number>;
  readonly attributes: Uint8Array;
  readonly special: SpecialIds;
}

function readSpecial(
  metadata: TokenizerMetadata,
  kind: TokenizerKind,
  model: string,
  preTokenizer: PreTokenizer | undefined,
  count: number,
): SpecialIds {
  const special: SpecialIds = {};
  if (kind === 'sentencepiece') Object.assign(special, { bos: 1, eos: 2, unknown: 0 });
  else if (kind === 'wordpiece') {
    Object.assign(special, { bos: 101, unknown: 100, separator: 102, padding: 0, mask: 103 });
  } else if (kind === 'unigram') Object.assign(special, { eos: 1, unknown: 2, padding: 0 });
  else if (model === 'gpt2' || model === 'whitespace') Object.assign(special, { bos: 11, eos: 11 });
  if (preTokenizer?.noBos) delete special.bos;
  for (const [name, key] of specialTokenKeys) {
    if ((special[name] ?? 0) >= count) delete special[name];
    const id = metadata.optionalNumber(`tokenizer.ggml.${key}`);
    // The reference keeps its default for an id that is out of range.
    if (id !== undefined && Number.isInteger(id) && id >= 0 && id < count) special[name] = id;
  }
  return special;
}

/** Finds tokens by their usual texts where the file does not name them; such are control tokens. */
function nameFillInTheMiddle({ idOf, attributes, special }: Draft): void {
  for (const [name, texts] of fillInTheMiddleTokens) {
    if (special[name] !== undefined) continue;
    for (const text of texts) {
      const id = idOf.get(text);
      if (id === undefined) continue;
      special[name] = id;
      attributes[id] = (attributes[id] as number) | Attribute.CONTROL;
      break;
    }
  }
}

function markUnused({ texts, attributes }: Draft): void {
  for (let id = 0; id < texts.length; id++) {
    const attribute = attributes[id] as number;
    if ((attribute & Attribute.CONTROL) !== 0 && texts[id]?.includes('unused')) {
      attributes[id] = attribute | Attribute.UNUSED;
    }
  }
}

function findEndOfGeneration({ idOf, attributes, special }: Draft): Set<number> {
  const found = new Set<number>();
  const add = (id: number | undefined) => {
    if (id !== undefined) found.add(id);
  };
  for (const name of ['fimPad', 'fimRepository', 'fimSeparator'] as const) add(special[name]);
  for (const text of endOfTextTokens) {
    const id = idOf.get(text);
    if (id === undefined) continue;
    found.add(id);
    attributes[id] = (attributes[id] as number) | Attribute.CONTROL;
  }
  for (const text of plainTextTokens) {
    const id = idOf.get(text);
    if (id !== undefined) attributes[id] = Attribute.USER_DEFINED;
  }
  for (const name of ['eos', 'eot', 'eom'] as const) add(special[name]);

  const has = (text: string) => found.has(idOf.get(text) ?? -1);
  const remove = (text: string, attribute: number) => {
    const id = idOf.get(text);
    if (id === undefined || !found.delete(id)) return;
    attributes[id] = attribute;
  };
  // In harmony's format <|end|> ends a message, not the turn.
  const call = has('<|call|>') || has('<|calls|>');
  if (call && (has('<|return|>') || has('<|flush|>'))) remove('<|end|>', Attribute.USER_DEFINED);
  // Gemma 4 has </s> as a mark of HTML.
  if (has('<|tool_response>')) remove('</s>', Attribute.NORMAL);
  return found;
}

function sortSpecial(texts: readonly string[], attributes: Uint8Array): number[] {
  const ids: { id: number; bytes: number }[] = [];
  for (let id = 0; id < texts.length; id++) {
    const attribute = attributes[id] as number;
    if ((attribute & (HIDDEN | Attribute.USER_DEFINED)) !== 0) {
      ids.push({ id, bytes: utf8Length(texts[id] as string) });
    }
  }
  return ids.sort((a, b) => b.bytes - a.bytes).map(({ id }) => id);
}

/** Tokens that swallow white space, which files cannot say: known by the model's name. */
function setStripping(
  metadata: TokenizerMetadata,
  { idOf, attributes }: Draft,
  specialIds: readonly number[],
): void {
  const name = (metadata.optionalString('general.name') ?? '').toLowerCase();
  const pre = metadata.optionalString('tokenizer.ggml.pre') ?? '';
  const set = (text: string, flag: number, on: boolean) => {
    const id = idOf.get(text);
    if (id === undefined) return;
    attributes[id] = on ? (attributes[id] as number) | flag : (attributes[id] as number) & ~flag;
  };
  const architecture = metadata.optionalString('general.architecture') ?? '';
  if (
    ['jina-v2-de', 'jina-v2-es', 'jina-v2-code'].some((part) => pre.includes(part)) ||
    ['nomic-bert-moe', 'jina-bert-v3'].some((part) => architecture.includes(part))
  ) {
    set('<mask>', Attribute.STRIP_LEFT, true);
  } else if (name.includes('phi-3') || name.includes('phi3')) {
    for (const id of specialIds)
      attributes[id] = (attributes[id] as number) | Attribute.STRIP_RIGHT;
    set('</s>', Attribute.STRIP_RIGHT, true);
    for (const text of ['<unk>', '<s>', '<|endoftext|>']) set(text, Attribute.STRIP_RIGHT, false);
  } else if (name.includes('modern-bert')) {
    set('[MASK]', Attribute.STRIP_LEFT, true);
  }
}

/** True when the token is hidden from plain text: a control token or the unknown one. */
export function isHidden(vocabulary: Vocabulary, id: number): boolean {
  return ((vocabulary.attributes[id] ?? 0) & HIDDEN) !== 0;
}

const none = new Uint8Array(0);

/** The bytes that a token stands for in a text, special or not. */
export function pieceBytes(vocabulary: Vocabulary, id: number): Uint8Array {
  const text = vocabulary.texts[id];
  if (text === undefined) return none;
  const attribute = vocabulary.attributes[id] as number;
  if ((attribute & (HIDDEN | Attribute.USER_DEFINED)) !== 0) return bytesOfText(text);
  if ((attribute & Attribute.NORMAL) !== 0) {
    if (vocabulary.escapeSpaces) return bytesOfText(text.replaceAll('\u2581', ' '));
    return unspell(text);
  }
  if ((attribute & Attribute.BYTE) !== 0) {
    const byte = Number.parseInt(text.slice(3, 5), 16);
    return Uint8Array.of(Number.isNaN(byte) ? 0 : byte);
  }
  return none;
}

/** Writes the bytes of a token into a buffer; returns how many they are, also where they do not fit. */
export function writePiece(
  vocabulary: Vocabulary,
  id: number,
  into: Uint8Array,
  at: number,
): number {
  const text = vocabulary.texts[id] as string;
  const plain = (vocabulary.attributes[id] as number) === Attribute.NORMAL;
  let end = at;
  if (plain && vocabulary.escapeSpaces) {
    // Most tokens are ASCII, which a loop writes faster than an encoder.
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      if (unit === 0x2581) into[end++] = 0x20;
      else if (unit < 0x80) into[end++] = unit;
      else return writeSlowly(vocabulary, id, into, at);
    }
    return end - at;
  }
  if (plain) {
    for (let index = 0; index < text.length; index++) {
      const byte = charToByte(text.charCodeAt(index));
      if (byte < 0) return writeSlowly(vocabulary, id, into, at);
      into[end++] = byte;
    }
    return end - at;
  }
  return writeSlowly(vocabulary, id, into, at);
}

function writeSlowly(vocabulary: Vocabulary, id: number, into: Uint8Array, at: number): number {
  const bytes = pieceBytes(vocabulary, id);
  if (at + bytes.length <= into.length) into.set(bytes, at);
  return bytes.length;
}

/** Bytes of a text in the byte alphabet. */
function unspell(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) {
    const byte = charToByte(text.charCodeAt(index));
    if (byte < 0) return unspellForeign(text);
    bytes[index] = byte;
  }
  return bytes;
}

/** The reference spells out characters that are not of the alphabet. */
function unspellForeign(text: string): Uint8Array {
  const parts: Buffer[] = [];
  for (const char of text) {
    const byte = charToByte(char.codePointAt(0) ?? 0);
    if (byte >= 0) parts.push(Buffer.from([byte]));
    else parts.push(bytesOfText(`[UNK_BYTE_0x${Buffer.from(char).toString('hex')}${text}]`));
  }
  return Buffer.concat(parts);
}
