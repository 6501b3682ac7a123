/**
 * Tokens to text while they arrive. Every string that it returns is whole characters; what is held
 * back comes with the bytes that complete it, or as U+FFFD at the end. What it returns in all is
 * `decode` of everything less `decode` of the preceding tokens. Knows nothing of stop strings.
 */
import type { Tokenizer } from './tokenizer.js';

export interface StreamOptions {
  /** Write control tokens as their texts. Default false. */
  readonly unparseSpecial?: boolean;
}

/** No character takes more bytes, so no more tokens can have begun one. */
const LONGEST_CHARACTER = 4;

export class StreamingDetokenizer {
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** The next token begins a text, so that the space SentencePiece put there is dropped. */
  private atStart: boolean;

  /** @param preceding the tokens before the first that will be pushed; none: a text begins */
  constructor(
    private readonly tokenizer: Tokenizer,
    preceding: ArrayLike<number> = [],
    private readonly options: StreamOptions = {},
  ) {
    this.atStart = tokenizer.vocabulary.addSpacePrefix;
    // A generation may have stopped inside a character, which is to be completed now.
    const from = Math.max(0, preceding.length - LONGEST_CHARACTER);
    for (let index = from; index < preceding.length; index++) this.push(preceding[index] as number);
  }

  /** The text that has become certain with this token; often a word, sometimes nothing. */
  push(id: number): string {
    const { tokenizer, options } = this;
    const special = tokenizer.isSpecial(id);
    let piece = tokenizer.tokenBytes(id);
    if (!special && this.atStart && piece[0] === 0x20) piece = piece.subarray(1);
    this.atStart = special && tokenizer.vocabulary.addSpacePrefix;
    if (!options.unparseSpecial && tokenizer.isControl(id)) return '';
    return this.decoder.decode(piece, { stream: true });
  }

  /** The rest at the end of the text: U+FFFD if the last character is incomplete. */
  flush(): string {
    return this.decoder.decode();
  }
}
