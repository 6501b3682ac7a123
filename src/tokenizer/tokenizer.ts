/**
 * Text to tokens and back, as the reference does it. `decode` undoes `encode` for any text, but for
 * WordPiece and unigram models, which normalise texts; with `compatible` it repeats the reference's
 * detokenizer instead, which changes some spaces. Knows nothing of chats or models.
 */
import { PacelineError } from '../base/errors.js';
import { createEncoder } from './encoders.js';
import type { FragmentEncoder } from './fragment-encoder.js';
import { type Fragment, SpecialFinder } from './fragments.js';
import type { TokenizerMetadata } from './metadata.js';
import { cleanSpaces } from './spaces.js';
import { wellFormed } from './unicode.js';
import { isHidden, pieceBytes, readVocabulary, type Vocabulary, writePiece } from './vocabulary.js';

export interface EncodeOptions {
  /** Put BOS before and EOS after the text where the model wants them. Default true. */
  readonly addSpecial?: boolean;
  /** Texts of control tokens become those tokens. Default false: they are text like any other. */
  readonly parseSpecial?: boolean;
}

export interface DecodeOptions {
  /** Drop the BOS and EOS that `encode` added. Default true. */
  readonly removeSpecial?: boolean;
  /** Write control tokens as their texts. Default false: they are invisible. */
  readonly unparseSpecial?: boolean;
  /** Do as the reference: keep the space after a removed BOS, drop spaces before punctuation. */
  readonly compatible?: boolean;
}

export interface PromptTokens {
  readonly tokens: readonly number[];
  /** Sentences for the user; usually none. */
  readonly warnings: readonly string[];
}

/** @internal Builds the tokenizer of a model file. @throws {PacelineError} `unsupported-tokenizer`, `broken-file` */
export function createTokenizer(metadata: TokenizerMetadata): Tokenizer {
  return new Tokenizer(readVocabulary(metadata));
}

export class Tokenizer {
  private readonly encoder: FragmentEncoder;
  private readonly finders = new Map<boolean, SpecialFinder>();
  private readonly pieces: (Uint8Array | undefined)[];
  private readonly specials: ReadonlySet<number>;

  /** @internal */
  readonly vocabulary: Vocabulary;

  /** @internal Use `createTokenizer`; a loaded model has one. */
  constructor(vocabulary: Vocabulary) {
    this.vocabulary = vocabulary;
    this.encoder = createEncoder(vocabulary);
    this.pieces = new Array(vocabulary.texts.length);
    this.specials = new Set(vocabulary.specialIds);
  }

  /** Number of tokens; a model's output may have more columns. */
  get vocabSize(): number {
    return this.vocabulary.texts.length;
  }

  get bosId(): number | undefined {
    return this.vocabulary.special.bos;
  }

  get eosId(): number | undefined {
    return this.vocabulary.special.eos;
  }

  /** Whether texts begin with BOS. */
  get addsBos(): boolean {
    return this.vocabulary.addBos;
  }

  /** True when a model that says this token has finished. */
  isEndOfGeneration(id: number): boolean {
    return this.vocabulary.endOfGeneration.has(id);
  }

  /** True for tokens that are not text: control tokens and the unknown one. */
  isControl(id: number): boolean {
    return isHidden(this.vocabulary, id);
  }

  /** True for tokens that are found in a text before it is split: control and user-defined ones. */
  isSpecial(id: number): boolean {
    return this.specials.has(id);
  }

  /** The id of the token whose text in the vocabulary is exactly `text`. */
  tokenId(text: string): number | undefined {
    return this.vocabulary.idOf.get(text);
  }

  /** The token's text as the vocabulary spells it. */
  tokenText(id: number): string {
    this.check(id);
    return this.vocabulary.texts[id] as string;
  }

  /** The bytes that the token stands for; those of a control token are its text's. Do not change. */
  tokenBytes(id: number): Uint8Array {
    let piece = this.pieces[id];
    if (!piece) {
      this.check(id);
      piece = pieceBytes(this.vocabulary, id);
      this.pieces[id] = piece;
    }
    return piece;
  }

  /**
   * Writes the bytes of a token into a buffer, without remembering them as `tokenBytes` does; for
   * whoever needs those of all tokens. Returns how many they are; where they do not fit, the buffer's
   * rest is undefined.
   */
  writeTokenBytes(id: number, into: Uint8Array, at: number): number {
    return writePiece(this.vocabulary, id, into, at);
  }

  private check(id: number): void {
    if (Number.isInteger(id) && id >= 0 && id < this.vocabSize) return;
    throw new PacelineError('usage', `Token ${id} is not in the vocabulary of ${this.vocabSize}`, {
      hint: `Token ids are whole numbers from 0 to ${this.vocabSize - 1}.`,
      details: { id, vocabSize: this.vocabSize },
    });
  }

  /** The tokens of a text. Lone surrogates count as U+FFFD. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    const { addSpecial = true, parseSpecial = false } = options;
    const { first, last } = this.ends();
    const output: number[] = [];
    if (addSpecial && first !== undefined) output.push(first);
    this.appendText(output, text, parseSpecial);
    if (addSpecial && last !== undefined) output.push(last);
    return output;
  }

  /** The tokens that a text begins and ends with. WordPiece knows no text without them. */
  private ends() {
    const { kind, addBos, addEos, special } = this.vocabulary;
    if (kind === 'wordpiece') return { first: special.bos, last: special.separator };
    return { first: addBos ? special.bos : undefined, last: addEos ? special.eos : undefined };
  }

  /**
   * The tokens of two texts that belong together, with what the vocabulary has to tell them apart.
   * Names of control tokens are text. @throws {PacelineError} `platform` when it has nothing.
   */
  encodePair(first: string, second: string): number[] {
    const { kind, addEos, addSeparator, special } = this.vocabulary;
    const ends = this.ends();
    const between = [
      ...(addEos && kind !== 'wordpiece' ? [special.eos] : []),
      ...(addSeparator ? [special.separator ?? special.eos] : []),
    ].filter((id) => id !== undefined);
    if (between.length === 0) {
      throw new PacelineError('platform', 'The vocabulary has nothing to put between two texts', {
        hint: 'Take a conversion of the model that has a template for ranking.',
      });
    }
    const tokens = ends.first === undefined ? [] : [ends.first];
    this.appendText(tokens, first, false);
    tokens.push(...between);
    this.appendText(tokens, second, false);
    if (ends.last !== undefined) tokens.push(ends.last);
    return tokens;
  }

  /**
   * The tokens of a raw prompt: texts of control tokens become those tokens, and where the text
   * itself begins with BOS, or ends with EOS, no second one is added. `warnings` says so.
   */
  encodePrompt(text: string): PromptTokens {
    const { first, last } = this.ends();
    const tokens: number[] = [];
    const warnings: string[] = [];
    this.appendText(tokens, text, true);
    const doubled = (id: number, where: string) =>
      `The prompt ${where} with ${this.tokenText(id)}, which is added to every prompt; it is there once.`;
    if (first !== undefined) {
      if (tokens[0] === first) warnings.push(doubled(first, 'begins'));
      else tokens.unshift(first);
    }
    if (last !== undefined) {
      if (tokens.length > 1 && tokens.at(-1) === last) warnings.push(doubled(last, 'ends'));
      else tokens.push(last);
    }
    return { tokens, warnings };
  }

  /**
   * @internal Appends the tokens of a text, without BOS and EOS.
   * @param rewrite applied to each part between special tokens, which are not looked for again
   */
  appendText(
    output: number[],
    text: string,
    parseSpecial: boolean,
    rewrite?: (part: string) => string,
  ): void {
    const clean = wellFormed(text);
    let afterSpecial = true;
    for (const { token, start, end } of this.finder(parseSpecial).split(clean)) {
      if (token >= 0) {
        output.push(token);
      } else {
        const part = clean.slice(start, end);
        this.encoder.encode(rewrite ? rewrite(part) : part, afterSpecial, output);
      }
      afterSpecial = token >= 0;
    }
  }

  /** @internal Where special tokens, control tokens too, stand in a well-formed text, and what is between. */
  findSpecial(text: string): Fragment[] {
    return this.finder(true).split(text);
  }

  private finder(parseSpecial: boolean): SpecialFinder {
    let finder = this.finders.get(parseSpecial);
    if (!finder) {
      finder = new SpecialFinder(this.vocabulary, parseSpecial);
      this.finders.set(parseSpecial, finder);
    }
    return finder;
  }

  /** The text of tokens; invalid UTF-8 becomes U+FFFD. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.decodeBytes(ids, options));
  }

  /** As `decode`, but the bytes. */
  decodeBytes(ids: ArrayLike<number>, options: DecodeOptions = {}): Uint8Array {
    const { removeSpecial = true, unparseSpecial = false, compatible = false } = options;
    const { addBos, addEos, addSpacePrefix, special } = this.vocabulary;
    let [start, end] = [0, ids.length];
    let stripSpace = addSpacePrefix;
    if (removeSpecial && addBos && end > 0 && ids[0] === special.bos) {
      start++;
      if (compatible) stripSpace = false;
    }
    if (removeSpecial && addEos && end > start && ids[end - 1] === special.eos) end--;

    const parts: Uint8Array[] = [];
    for (let index = start; index < end; index++) {
      const id = ids[index] as number;
      let piece = this.tokenBytes(id);
      if (!unparseSpecial && this.isControl(id)) piece = piece.subarray(0, 0);
      if (compatible) {
        if (stripSpace && piece[0] === 0x20) piece = piece.subarray(1);
        stripSpace = false;
      } else if (this.isSpecial(id)) {
        stripSpace = addSpacePrefix;
      } else {
        if (stripSpace && piece[0] === 0x20) piece = piece.subarray(1);
        stripSpace = false;
      }
      parts.push(piece);
    }
    const bytes = Buffer.concat(parts);
    return compatible && this.vocabulary.cleanSpaces ? cleanSpaces(bytes) : bytes;
  }
}
