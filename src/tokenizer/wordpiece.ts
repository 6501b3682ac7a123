/**
 * WordPiece, as BERT and its descendants have it: the text is normalised, cut into words and signs,
 * and each word becomes the longest tokens from left to right. Vocabularies are in the spelling of
 * GGUF: tokens that begin a word start with U+2581. What normalising drops does not come back, so
 * decoding does not undo encoding. Knows nothing of BOS, EOS or special tokens.
 */
import type { FragmentEncoder } from './fragment-encoder.js';
import { TokenSearch } from './token-search.js';
import { isControl, Kind, kindTable } from './unicode.js';
import type { Vocabulary, WordPieceRules } from './vocabulary.js';

export class WordPieceEncoder implements FragmentEncoder {
  private readonly search: TokenSearch;

  constructor(
    private readonly vocabulary: Vocabulary,
    private readonly rules: WordPieceRules,
  ) {
    this.search = new TokenSearch(vocabulary.texts, vocabulary.idOf.values());
  }

  encode(text: string, _afterSpecial: boolean, output: number[]): void {
    for (const word of words(text, this.rules)) this.encodeWord(`\u2581${word}`, output);
  }

  /** A word of which any part is in no token is unknown as a whole. */
  private encodeWord(word: string, output: number[]): void {
    const first = output.length;
    for (let start = 0; start < word.length; ) {
      let longest = -1;
      let next = start;
      this.search.matches(word, start, (id, end) => {
        longest = id;
        next = end;
      });
      if (longest < 0) {
        const { unknown } = this.vocabulary.special;
        output.length = first;
        if (unknown !== undefined) output.push(unknown);
        return;
      }
      output.push(longest);
      start = next;
    }
  }
}

/** Words and single signs of a text, normalised; white space and control characters are gone. */
export function words(text: string, { lowercase, stripAccents }: WordPieceRules): string[] {
  const table = kindTable();
  const result: string[] = [];
  let word = '';
  const finish = () => {
    if (word.length > 0) result.push(word);
    word = '';
  };
  for (const char of text) {
    const point = stripAccents ? baseOf(char) : (char.codePointAt(0) as number);
    const kind = table[point] as number;
    if (kind === Kind.WHITESPACE) {
      finish();
      continue;
    }
    if (point === 0 || point === 0xfffd || isControl(point)) continue;
    if (stripAccents && kind === Kind.MARK) continue;
    const shown = lowercase ? lower(point) : String.fromCodePoint(point);
    const sign = kind === Kind.PUNCTUATION || (point < 0x7f && kind === Kind.SYMBOL);
    if (sign || isChinese(point)) {
      finish();
      result.push(shown);
    } else {
      word += shown;
    }
  }
  finish();
  return result;
}

/** What a character begins with when it is decomposed, if the table of categories knows it. */
function baseOf(char: string): number {
  const point = char.codePointAt(0) as number;
  // Newer versions of Unicode, which Node may have, only decompose what is unassigned in the table.
  if (point < 0xc0 || kindTable()[point] === Kind.OTHER) return point;
  return char.normalize('NFD').codePointAt(0) as number;
}

/** The simple lower case of one character. */
export function lower(point: number): string {
  const char = String.fromCodePoint(point);
  if (point >= 0x80 && kindTable()[point] === Kind.OTHER) return char;
  return String.fromCodePoint(char.toLowerCase().codePointAt(0) as number);
}

/** Characters that are words by themselves, in the ranges of the reference. */
function isChinese(point: number): boolean {
  return (
    (point >= 0x4e00 && point <= 0x9fff) ||
    (point >= 0x3400 && point <= 0x4dbf) ||
    (point >= 0x20000 && point <= 0x2a6df) ||
    (point >= 0x2a700 && point <= 0x2b81f) ||
    (point >= 0x2b920 && point <= 0x2ceaf) ||
    (point >= 0xf900 && point <= 0xfaff) ||
    (point >= 0x2f800 && point <= 0x2fa1f)
  );
}
