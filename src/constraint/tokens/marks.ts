/**
 * Marks of formats as expressions: a text that a vocabulary may have special tokens for (all of it,
 * or parts), and free text up to such a mark. Both spellings count: with the special tokens, and
 * letter by letter. Knows nothing of formats.
 */
import { tooComplex } from '../core/budget.js';
import type { Language } from '../core/derivatives.js';
import { EMPTY } from '../core/expressions.js';
import { MarkerSet } from '../core/markers.js';
import { FIRST_SPECIAL, MAX_SPECIAL } from '../core/symbols.js';

const encoder = new TextEncoder();

export interface FreeText {
  /** Whether the text may end without any mark. */
  readonly endOk: boolean;
  /** What follows each mark; the empty language forbids the mark. */
  readonly marks: readonly { readonly text: string; readonly after: number }[];
}

export class Marks {
  /** The symbols of special tokens that were named. */
  readonly symbols = new Map<number, number>();

  constructor(
    private readonly language: Language,
    /** Special tokens by their texts. */
    private readonly specials: ReadonlyMap<string, number>,
  ) {}

  /** A text, in its special tokens or spelled out. */
  mark(text: string): number {
    const { language } = this;
    const spellings = this.spellings(text).map((symbols) => {
      const parts: number[] = [];
      let bytes: number[] = [];
      for (const symbol of symbols) {
        if (symbol < 256) {
          bytes.push(symbol);
          continue;
        }
        parts.push(language.literal(Uint8Array.from(bytes)), language.special(symbol));
        bytes = [];
      }
      return language.concat(...parts, language.literal(Uint8Array.from(bytes)));
    });
    return language.either(spellings);
  }

  /** A special token by its text; undefined where the vocabulary has none. */
  special(text: string): number | undefined {
    const token = this.specials.get(text);
    return token === undefined ? undefined : this.language.special(this.symbol(token));
  }

  /** Any text up to and with the first of a mark. */
  textBefore(text: string): number {
    return this.free({ endOk: false, marks: [{ text, after: EMPTY }] }, false);
  }

  /** Free text up to the first of some marks; special tokens of no mark may come in it. */
  free({ endOk, marks }: FreeText, specials = true): number {
    const markers = marks.flatMap(({ text, after }) =>
      this.spellings(text).map((symbols) => ({ symbols, after })),
    );
    return this.language.until(new MarkerSet(markers, endOk, specials));
  }

  private spellings(text: string): number[][] {
    const plain = [...encoder.encode(text)];
    const found: number[] = [];
    let any = false;
    for (let at = 0; at < text.length; ) {
      let longest = '';
      for (const special of this.specials.keys()) {
        if (special.length > longest.length && text.startsWith(special, at)) longest = special;
      }
      if (longest === '') {
        const character = String.fromCodePoint(text.codePointAt(at) as number);
        found.push(...encoder.encode(character));
        at += character.length;
      } else {
        any = true;
        found.push(this.symbol(this.specials.get(longest) as number));
        at += longest.length;
      }
    }
    return any ? [plain, found] : [plain];
  }

  private symbol(token: number): number {
    let symbol = this.symbols.get(token);
    if (symbol === undefined) {
      if (this.symbols.size >= MAX_SPECIAL) throw tooComplex('too many special tokens are named');
      symbol = FIRST_SPECIAL + this.symbols.size;
      this.symbols.set(token, symbol);
    }
    return symbol;
  }
}
