/**
 * Tokens to text while they arrive. Every string that it returns is whole characters; what is held
 * back comes with the bytes that complete it, or as U+FFFD at the end. Knows nothing of stop
 * strings.
 */
import type { Tokenizer } from './tokenizer.js';

export interface StreamOptions {
  /** Write control tokens as their texts. Default false. */
  readonly unparseSpecial?: boolean;
  /**
   * The first token begins a text, so the space that SentencePiece puts there is dropped. Default
   * false: the tokens continue a prompt.
   */
  readonly atStart?: boolean;
}

export class StreamingDetokenizer {
  private decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  private stripSpace: boolean;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: StreamOptions = {},
  ) {
    this.stripSpace = options.atStart === true && tokenizer.vocabulary.addSpacePrefix;
  }

  /** The text that has become certain with this token; often a word, sometimes nothing. */
  push(id: number): string {
    const { tokenizer, options } = this;
    let piece = tokenizer.tokenBytes(id);
    if (!options.unparseSpecial && tokenizer.isControl(id)) return '';
    if (this.stripSpace && !tokenizer.isSpecial(id)) {
      if (piece[0] === 0x20) piece = piece.subarray(1);
      this.stripSpace = false;
    }
    return this.decoder.decode(piece, { stream: true });
  }

  /** The rest: U+FFFD if the last character is incomplete. The next `push` starts a new text. */
  end(): string {
    const rest = this.decoder.decode();
    this.decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    this.stripSpace = this.options.atStart === true && this.tokenizer.vocabulary.addSpacePrefix;
    return rest;
  }
}
