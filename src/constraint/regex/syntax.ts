/**
 * The syntax of ECMA-262 regular expressions (flag u, and the harmless freedoms of the older
 * syntax), as a tree. What is not regular, or not supported, is refused with its position. Written
 * by hand, so that no pattern of a stranger ever reaches the engine of JavaScript.
 */
import { refused } from '../core/budget.js';
import { complement, MAX_POINT, type Ranges } from '../text/utf8.js';
import { anyCharacter, digits, propertyRanges, spaces, wordCharacters } from './classes.js';

export type Pattern =
  | { readonly type: 'empty' }
  | { readonly type: 'characters'; readonly ranges: Ranges }
  | { readonly type: 'sequence'; readonly parts: readonly Pattern[] }
  | { readonly type: 'either'; readonly parts: readonly Pattern[] }
  | {
      readonly type: 'repeat';
      readonly part: Pattern;
      readonly least: number;
      readonly most: number | undefined;
      readonly at: number;
    }
  | { readonly type: 'start' }
  | { readonly type: 'end' };

const MAX_LENGTH = 20_000;
const MAX_DEPTH = 200;

/** Parses a pattern. @throws {PacelineError} `usage` with the position of what is refused. */
export function parsePattern(source: string): Pattern {
  if (source.length > MAX_LENGTH) {
    throw refused(`A pattern of ${source.length} characters is longer than ${MAX_LENGTH}`, {
      length: source.length,
    });
  }
  return new Parser(source).parse();
}

class Parser {
  private at = 0;
  private depth = 0;

  constructor(private readonly source: string) {}

  parse(): Pattern {
    const result = this.alternatives();
    if (this.at < this.source.length) throw this.fail(`unmatched '${this.source[this.at]}'`);
    return result;
  }

  private fail(problem: string, at = this.at) {
    return refused(`Pattern ${JSON.stringify(shortened(this.source))} at ${at}: ${problem}`, {
      pattern: this.source.slice(0, 200),
      position: at,
    });
  }

  private alternatives(): Pattern {
    if (++this.depth > MAX_DEPTH) throw this.fail(`groups nest more than ${MAX_DEPTH} deep`);
    const parts = [this.sequence()];
    while (this.source[this.at] === '|') {
      this.at++;
      parts.push(this.sequence());
    }
    this.depth--;
    return parts.length === 1 ? (parts[0] as Pattern) : { type: 'either', parts };
  }

  private sequence(): Pattern {
    const parts: Pattern[] = [];
    while (this.at < this.source.length) {
      const next = this.source[this.at] as string;
      if (next === '|' || next === ')') break;
      const start = this.at;
      parts.push(this.quantified(this.atom(), start));
    }
    if (parts.length === 0) return { type: 'empty' };
    return parts.length === 1 ? (parts[0] as Pattern) : { type: 'sequence', parts };
  }

  private quantified(part: Pattern, start: number): Pattern {
    const next = this.source[this.at];
    let bounds: [number, number | undefined] | undefined;
    if (next === '*') bounds = [0, undefined];
    else if (next === '+') bounds = [1, undefined];
    else if (next === '?') bounds = [0, 1];
    if (bounds) this.at++;
    else if (next === '{') bounds = this.braces();
    if (!bounds) return part;
    if (this.source[this.at] === '?') this.at++;
    const [least, most] = bounds;
    if (most !== undefined && most < least)
      throw this.fail('the bounds of a repeat are out of order');
    if (part.type === 'start' || part.type === 'end') {
      throw this.fail('an assertion cannot be repeated', start);
    }
    const after = this.source[this.at];
    if (after === '*' || after === '+' || after === '?') throw this.fail('nothing to repeat');
    return { type: 'repeat', part, least, most, at: start };
  }

  private braces(): [number, number | undefined] | undefined {
    const start = this.at;
    this.at++;
    const least = this.number();
    let most: number | undefined = least;
    if (this.source[this.at] === ',') {
      this.at++;
      most = this.number();
    }
    if (least === undefined || this.source[this.at] !== '}') {
      throw this.fail("a '{' that begins no repeat has to be escaped", start);
    }
    this.at++;
    return [least, most];
  }

  private number(): number | undefined {
    const start = this.at;
    while (isDigit(this.source[this.at])) this.at++;
    if (start === this.at) return undefined;
    const value = Number(this.source.slice(start, this.at));
    if (value > 1_000_000_000) throw this.fail('a repeat of more than 1,000,000,000', start);
    return value;
  }

  private atom(): Pattern {
    const start = this.at;
    const point = this.next();
    switch (point) {
      case '^':
        return { type: 'start' };
      case '$':
        return { type: 'end' };
      case '.':
        return { type: 'characters', ranges: anyCharacter };
      case '(':
        return this.group(start);
      case '[':
        return { type: 'characters', ranges: this.characterClass(start) };
      case '\\':
        return { type: 'characters', ranges: this.escape(false, start) };
      case '*':
      case '+':
      case '?':
      case '{':
        throw this.fail('nothing to repeat', start);
      default:
        return { type: 'characters', ranges: single(point.codePointAt(0) as number) };
    }
  }

  private next(): string {
    const point = String.fromCodePoint(this.source.codePointAt(this.at) as number);
    this.at += point.length;
    return point;
  }

  private group(start: number): Pattern {
    if (this.source[this.at] === '?') {
      const kind = this.source.slice(this.at, this.at + 3);
      if (kind.startsWith('?:')) this.at += 2;
      else if (kind.startsWith('?=') || kind.startsWith('?!')) {
        throw this.fail('look-ahead is not supported', start);
      } else if (kind === '?<=' || kind === '?<!') {
        throw this.fail('look-behind is not supported', start);
      } else if (kind.startsWith('?<')) {
        const end = this.source.indexOf('>', this.at);
        if (end < 0) throw this.fail('the name of a group does not end', start);
        this.at = end + 1;
      } else throw this.fail('flags and other groups of this kind are not supported', start);
    }
    const inner = this.alternatives();
    if (this.source[this.at] !== ')') throw this.fail("a '(' is not closed", start);
    this.at++;
    return inner;
  }

  private characterClass(start: number): Ranges {
    const negated = this.source[this.at] === '^';
    if (negated) this.at++;
    const ranges: (readonly [number, number])[] = [];
    for (;;) {
      if (this.at >= this.source.length) throw this.fail("a '[' is not closed", start);
      if (this.source[this.at] === ']') break;
      const low = this.classMember();
      if (this.source[this.at] !== '-' || this.source[this.at + 1] === ']') {
        ranges.push(...low);
        continue;
      }
      const dash = this.at++;
      const high = this.classMember();
      const [from, to] = [onlyPoint(low), onlyPoint(high)];
      if (from === undefined || to === undefined) {
        ranges.push(...low, ...single(0x2d), ...high);
      } else {
        if (to < from) throw this.fail('a range of characters is out of order', dash);
        ranges.push([from, to]);
      }
    }
    this.at++;
    return negated ? complement(ranges) : ranges;
  }

  private classMember(): Ranges {
    const start = this.at;
    if (this.at >= this.source.length) throw this.fail("a '[' is not closed");
    const point = this.next();
    return point === '\\' ? this.escape(true, start) : single(point.codePointAt(0) as number);
  }

  private escape(inClass: boolean, start: number): Ranges {
    if (this.at >= this.source.length) throw this.fail('the pattern ends in a backslash', start);
    const point = this.next();
    switch (point) {
      case 'd':
        return digits;
      case 'D':
        return complement(digits);
      case 'w':
        return wordCharacters;
      case 'W':
        return complement(wordCharacters);
      case 's':
        return spaces;
      case 'S':
        return complement(spaces);
      case 'n':
        return single(10);
      case 'r':
        return single(13);
      case 't':
        return single(9);
      case 'v':
        return single(11);
      case 'f':
        return single(12);
      case 'c':
        return single((this.next().codePointAt(0) as number) & 31);
      case 'x':
        return single(this.hex(2, start));
      case 'u':
        return single(this.unicode(start));
      case 'p':
      case 'P':
        return this.property(point === 'P', start);
      case 'b':
        if (inClass) return single(8);
        throw this.fail('word boundaries are not supported', start);
      case 'B':
        throw this.fail('word boundaries are not supported', start);
      case 'k':
        throw this.fail('back-references are not supported', start);
    }
    if (point === '0' && !isDigit(this.source[this.at])) return single(0);
    if (isDigit(point)) throw this.fail('back-references are not supported', start);
    if (/^[A-Za-z]$/.test(point)) throw this.fail(`unknown escape '\\${point}'`, start);
    return single(point.codePointAt(0) as number);
  }

  private hex(length: number, start: number): number {
    const digitsOf = this.source.slice(this.at, this.at + length);
    if (digitsOf.length !== length || !/^[0-9A-Fa-f]+$/.test(digitsOf)) {
      throw this.fail(`an escape needs ${length} hexadecimal digits`, start);
    }
    this.at += length;
    return Number.parseInt(digitsOf, 16);
  }

  private unicode(start: number): number {
    if (this.source[this.at] === '{') {
      const end = this.source.indexOf('}', this.at);
      const digitsOf = end < 0 ? '' : this.source.slice(this.at + 1, end);
      const point = /^[0-9A-Fa-f]{1,6}$/.test(digitsOf) ? Number.parseInt(digitsOf, 16) : Infinity;
      if (point > MAX_POINT) throw this.fail('not a code point', start);
      this.at = end + 1;
      return point;
    }
    const unit = this.hex(4, start);
    const low = this.source.slice(this.at, this.at + 6);
    if (unit >= 0xd800 && unit < 0xdc00 && /^\\u[dD][c-fC-F][0-9A-Fa-f]{2}$/.test(low)) {
      this.at += 6;
      return 0x10000 + ((unit - 0xd800) << 10) + (Number.parseInt(low.slice(2), 16) - 0xdc00);
    }
    return unit;
  }

  private property(negated: boolean, start: number): Ranges {
    const end = this.source[this.at] === '{' ? this.source.indexOf('}', this.at) : -1;
    const name = end < 0 ? '' : this.source.slice(this.at + 1, end);
    const ranges = propertyRanges(name);
    if (!ranges) throw this.fail(`the Unicode property '${name}' is not supported`, start);
    this.at = end + 1;
    return negated ? complement(ranges) : ranges;
  }
}

function single(point: number): Ranges {
  return [[point, point]];
}

function onlyPoint(ranges: Ranges): number | undefined {
  const [first] = ranges;
  return ranges.length === 1 && first && first[0] === first[1] ? first[0] : undefined;
}

function isDigit(character: string | undefined): boolean {
  return character !== undefined && character >= '0' && character <= '9';
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
