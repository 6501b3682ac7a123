/**
 * Texts as integers for merging. Ids of tokens are symbols; texts that only merges know get numbers
 * after them; a character that is in neither is `SINGLE` plus its code point. The same text is
 * always the same symbol. Knows nothing of ranks.
 */
import type { Vocabulary } from './vocabulary.js';

/** Symbols from here on are single characters outside the vocabulary. */
const SINGLE = 1 << 24;

export class SymbolTable {
  private readonly extraTexts: string[] = [];
  private readonly extraOf = new Map<string, number>();
  private readonly tokens: number;
  /** Symbol of each BMP character, found when first asked for; -1 before. */
  private readonly ofUnit = new Int32Array(0x10000).fill(-1);

  constructor(private readonly vocabulary: Vocabulary) {
    this.tokens = vocabulary.texts.length;
  }

  /** The symbol of a text of two or more characters, or of a part of a merge. */
  intern(text: string): number {
    const known = this.vocabulary.idOf.get(text) ?? this.extraOf.get(text);
    if (known !== undefined) return known;
    const symbol = this.tokens + this.extraTexts.length;
    this.extraTexts.push(text);
    this.extraOf.set(text, symbol);
    return symbol;
  }

  /** The symbol of one character. */
  ofPoint(point: number): number {
    if (point < 0x10000) {
      const cached = this.ofUnit[point] as number;
      if (cached >= 0) return cached;
    }
    const text = String.fromCodePoint(point);
    const symbol = this.vocabulary.idOf.get(text) ?? this.extraOf.get(text) ?? SINGLE + point;
    if (point < 0x10000) this.ofUnit[point] = symbol;
    return symbol;
  }

  /** The token that a symbol is, or -1. */
  token(symbol: number): number {
    return symbol < this.tokens ? symbol : -1;
  }

  text(symbol: number): string {
    if (symbol < this.tokens) return this.vocabulary.texts[symbol] as string;
    if (symbol >= SINGLE) return String.fromCodePoint(symbol - SINGLE);
    return this.extraTexts[symbol - this.tokens] as string;
  }
}
