/**
 * Plain text to tokens, after special tokens were cut out: SentencePiece-BPE and the two kinds of
 * merge-list BPE (over bytes, and over characters with byte tokens to fall back on). Linear for
 * usual text, n log n for any. Knows nothing of BOS, EOS or special tokens.
 */
import { PacelineError } from '../base/errors.js';
import { byteToChar, spellBytes } from './byte-alphabet.js';
import type { FragmentEncoder } from './fragment-encoder.js';
import { MAX_RANK, mergePairs } from './merge.js';
import { PairTable } from './pair-table.js';
import { PieceCache } from './piece-cache.js';
import { SymbolTable } from './symbols.js';
import { classify, splitWords } from './unicode.js';
import { UnigramEncoder } from './unigram.js';
import type { Vocabulary } from './vocabulary.js';
import { lower, WordPieceEncoder } from './wordpiece.js';

export function createEncoder(vocabulary: Vocabulary): FragmentEncoder {
  if (vocabulary.kind === 'sentencepiece') return new SentencePieceEncoder(vocabulary);
  const { wordPiece, unigram } = vocabulary;
  if (wordPiece) return new WordPieceEncoder(vocabulary, wordPiece);
  if (unigram) return new UnigramEncoder(vocabulary, unigram);
  return vocabulary.kind === 'byte-bpe'
    ? new ByteEncoder(vocabulary)
    : new CharacterEncoder(vocabulary);
}

const utf8 = new TextEncoder();
let byteScratch = new Uint8Array(256);
let symbolScratch = new Int32Array(256);

function append(output: number[], tokens: readonly number[]): void {
  for (let index = 0; index < tokens.length; index++) output.push(tokens[index] as number);
}

/** The table of a merge list. A line that is not two texts merges nothing. */
function mergeTable(vocabulary: Vocabulary, symbols: SymbolTable): PairTable {
  const { merges } = vocabulary;
  if (merges.length > MAX_RANK) {
    throw new PacelineError('unsupported-tokenizer', `${merges.length} merges are too many`, {
      hint: `At most ${MAX_RANK} merges are supported.`,
    });
  }
  const table = new PairTable(merges.length, undefined, (left, right) =>
    symbols.intern(symbols.text(left) + symbols.text(right)),
  );
  for (let rank = 0; rank < merges.length; rank++) {
    const merge = merges[rank] as string;
    const space = merge.indexOf(' ', 1);
    if (space < 0) continue;
    table.add(symbols.intern(merge.slice(0, space)), symbols.intern(merge.slice(space + 1)), rank);
  }
  return table;
}

/** Byte-level BPE: pieces of the pre-tokenizer, each as bytes in the printable alphabet. */
class ByteEncoder implements FragmentEncoder {
  private readonly symbols: SymbolTable;
  private readonly pairs: PairTable;
  private readonly cache = new PieceCache();
  private readonly byteSymbols = new Int32Array(256);
  private readonly longestToken: number;

  constructor(private readonly vocabulary: Vocabulary) {
    this.symbols = new SymbolTable(vocabulary);
    this.pairs = mergeTable(vocabulary, this.symbols);
    for (let byte = 0; byte < 256; byte++) {
      this.byteSymbols[byte] = this.symbols.ofPoint(byteToChar(byte).charCodeAt(0));
    }
    let longest = 0;
    for (const text of vocabulary.texts) if (text.length > longest) longest = text.length;
    this.longestToken = longest;
  }

  encode(text: string, _afterSpecial: boolean, output: number[]): void {
    let ends = [text.length];
    const source = { text, ...classify(text) };
    for (const stage of this.vocabulary.preTokenizer?.stages ?? []) {
      const cuts: number[] = [];
      let start = 0;
      for (const end of ends) {
        stage(source, start, end, cuts);
        start = end;
      }
      ends = cuts;
    }
    let start = 0;
    for (let index = 0; index < ends.length; index++) {
      const end = ends[index] as number;
      const piece = text.slice(start, end);
      start = end;
      let tokens = this.cache.get(piece);
      if (!tokens) {
        tokens = this.encodePiece(piece);
        this.cache.set(piece, tokens);
      }
      append(output, tokens);
    }
  }

  private encodePiece(piece: string): number[] {
    if (byteScratch.length < piece.length * 3) byteScratch = new Uint8Array(piece.length * 4);
    const count = utf8.encodeInto(piece, byteScratch).written;
    if (this.vocabulary.preTokenizer?.ignoreMerges && count <= this.longestToken) {
      const whole = this.vocabulary.idOf.get(spellBytes(byteScratch, count));
      if (whole !== undefined) return [whole];
    }
    if (symbolScratch.length < count) symbolScratch = new Int32Array(count * 2);
    for (let index = 0; index < count; index++) {
      symbolScratch[index] = this.byteSymbols[byteScratch[index] as number] as number;
    }
    const length = mergePairs(symbolScratch, count, this.pairs);
    const tokens: number[] = [];
    for (let index = 0; index < length; index++) {
      const symbol = symbolScratch[index] as number;
      const token = this.symbols.token(symbol);
      if (token >= 0) tokens.push(token);
      else this.fallBack(symbol, tokens);
    }
    return tokens;
  }

  /** A merged text without a token: the reference keeps only its ASCII characters. */
  private fallBack(symbol: number, tokens: number[]): void {
    for (const char of this.symbols.text(symbol)) {
      const token = char < '\x80' ? this.vocabulary.idOf.get(char) : undefined;
      if (token !== undefined) tokens.push(token);
    }
  }
}

/** Cuts before a U+2581 that no token can join to what is before it; then merging is local. */
class WordCutter {
  /** Characters that some token has before a U+2581. */
  private readonly joined = new Set<number>();

  constructor(texts: readonly string[]) {
    for (const text of texts) {
      let at = text.indexOf('\u2581', 1);
      for (; at > 0; at = text.indexOf('\u2581', at + 1)) {
        // In a line of the merge list, a space stands between the two texts.
        const before = text.charCodeAt(at - 1) === 0x20 ? at - 2 : at - 1;
        if (before >= 0) this.joined.add(text.charCodeAt(before));
        if (before !== at - 1) this.joined.add(0x20);
      }
    }
    this.joined.add(0x2581);
  }

  /** The end of the word that starts at `start`. */
  end(text: string, start: number): number {
    for (let at = start; ; ) {
      at = text.indexOf('\u2581', at + 1);
      if (at < 0) return text.length;
      if (!this.joined.has(text.charCodeAt(at - 1))) return at;
    }
  }
}

/** Bytes of a text as byte tokens; `missing` says what to do about bytes without one. */
function byteTokens(
  text: string,
  table: Int32Array,
  tokens: number[],
  missing: (byte: number) => void,
): void {
  for (const byte of utf8.encode(text)) {
    const token = table[byte] as number;
    if (token >= 0) tokens.push(token);
    else missing(byte);
  }
}

function byteTokenTable(vocabulary: Vocabulary, alsoPlain: boolean): Int32Array {
  const table = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const hex = byte.toString(16).toUpperCase().padStart(2, '0');
    const plain = alsoPlain && byte < 0x80 ? vocabulary.idOf.get(String.fromCharCode(byte)) : -1;
    table[byte] = vocabulary.idOf.get(`<0x${hex}>`) ?? plain ?? -1;
  }
  return table;
}

/** Merges a word's characters and appends its tokens. */
function encodeCharacters(
  word: string,
  symbols: SymbolTable,
  pairs: PairTable,
  fallBack: (text: string, tokens: number[]) => void,
): number[] {
  if (symbolScratch.length < word.length) symbolScratch = new Int32Array(word.length * 2);
  let count = 0;
  for (let index = 0; index < word.length; index++) {
    const point = word.codePointAt(index) as number;
    if (point > 0xffff) index++;
    symbolScratch[count++] = symbols.ofPoint(point);
  }
  const length = mergePairs(symbolScratch, count, pairs);
  const tokens: number[] = [];
  for (let index = 0; index < length; index++) {
    const symbol = symbolScratch[index] as number;
    const token = symbols.token(symbol);
    if (token >= 0) tokens.push(token);
    else fallBack(symbols.text(symbol), tokens);
  }
  return tokens;
}

/** SentencePiece-BPE: any two neighbours that make a token merge, the best score first. */
class SentencePieceEncoder implements FragmentEncoder {
  private readonly symbols: SymbolTable;
  private readonly pairs: PairTable;
  private readonly cutter: WordCutter;
  private readonly bytes: Int32Array;
  private readonly cache = new PieceCache();

  constructor(private readonly vocabulary: Vocabulary) {
    const symbols = new SymbolTable(vocabulary);
    const ranks = ranksOfScores(vocabulary);
    this.symbols = symbols;
    this.pairs = new PairTable(
      1 << 14,
      (left, right) => {
        const id = vocabulary.idOf.get(symbols.text(left) + symbols.text(right));
        return id === undefined ? undefined : [ranks[id] as number, id];
      },
      () => 0,
    );
    this.cutter = new WordCutter(vocabulary.texts);
    this.bytes = byteTokenTable(vocabulary, true);
  }

  encode(text: string, afterSpecial: boolean, output: number[]): void {
    const prefix = this.vocabulary.addSpacePrefix && afterSpecial ? '\u2581' : '';
    const escaped = prefix + text.replaceAll(' ', '\u2581');
    for (let start = 0; start < escaped.length; ) {
      const end = this.cutter.end(escaped, start);
      const word = escaped.slice(start, end);
      let tokens = this.cache.get(word);
      if (!tokens) {
        tokens = encodeCharacters(word, this.symbols, this.pairs, this.fallBack);
        this.cache.set(word, tokens);
      }
      append(output, tokens);
      start = end;
    }
  }

  private readonly fallBack = (text: string, tokens: number[]): void => {
    byteTokens(text, this.bytes, tokens, (byte) => {
      const { unknown } = this.vocabulary.special;
      if (unknown === undefined) throw missingByte(byte);
      tokens.push(unknown);
    });
  };
}

function missingByte(byte: number): PacelineError {
  return new PacelineError(
    'broken-file',
    `The vocabulary has no token for byte 0x${byte.toString(16).padStart(2, '0')}`,
    { hint: 'Get another file of this model.' },
  );
}

/** Scores as ranks: equal scores share one, the best is 0. */
function ranksOfScores({ scores, texts }: Vocabulary): Int32Array {
  const ranks = new Int32Array(texts.length);
  if (!scores) return ranks;
  const order = Float64Array.from({ length: texts.length }, (_, id) => -(scores[id] as number));
  const sorted = Float64Array.from(order).sort();
  const rankOf = new Map<number, number>();
  for (const score of sorted) if (!rankOf.has(score)) rankOf.set(score, rankOf.size);
  for (let id = 0; id < ranks.length; id++) ranks[id] = rankOf.get(order[id] as number) ?? 0;
  return ranks;
}

/** BPE with a merge list over characters, as Gemma 4 has it. */
class CharacterEncoder implements FragmentEncoder {
  private readonly symbols: SymbolTable;
  private readonly pairs: PairTable;
  private readonly cutter: WordCutter;
  private readonly bytes: Int32Array;
  private readonly cache = new PieceCache();

  constructor(private readonly vocabulary: Vocabulary) {
    this.symbols = new SymbolTable(vocabulary);
    this.pairs = mergeTable(vocabulary, this.symbols);
    this.cutter = new WordCutter(vocabulary.merges);
    this.bytes = byteTokenTable(vocabulary, false);
  }

  encode(text: string, _afterSpecial: boolean, output: number[]): void {
    for (const line of this.lines(text)) {
      for (let start = 0; start < line.length; ) {
        const end = this.cutter.end(line, start);
        const piece = line.slice(start, end);
        let tokens = this.cache.get(piece);
        if (!tokens) {
          tokens = this.encodePiece(piece);
          this.cache.set(piece, tokens);
        }
        append(output, tokens);
        start = end;
      }
    }
  }

  /** What is merged by itself: lines and runs of line ends, or words. */
  private lines(text: string): Iterable<string> {
    const { wordsOnly } = this.vocabulary;
    if (!wordsOnly) return text.replaceAll(' ', '\u2581').match(/\n+|[^\n]+/g) ?? [];
    const words = splitWords(text);
    if (!wordsOnly.lowercase) return words;
    return words.map((word) =>
      Array.from(word, (char) => lower(char.codePointAt(0) as number)).join(''),
    );
  }

  private encodePiece(piece: string): number[] {
    if (this.vocabulary.preTokenizer?.gemma && piece.startsWith('\n')) {
      const whole = this.vocabulary.idOf.get(piece);
      if (whole !== undefined) return [whole];
    }
    return encodeCharacters(piece, this.symbols, this.pairs, this.fallBack);
  }

  private readonly fallBack = (text: string, tokens: number[]): void => {
    // The reference drops bytes that have no token.
    byteTokens(text, this.bytes, tokens, () => undefined);
  };
}
