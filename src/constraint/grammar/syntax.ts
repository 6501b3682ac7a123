/**
 * The syntax of grammars: GBNF as llama.cpp has it, and the usual variations of EBNF that do not
 * contradict it: single quotes, `#x41`, `;` at the end of a rule, comments between slashes and stars.
 * Knows nothing of languages.
 */
import { refused } from '../core/budget.js';
import { complement, MAX_POINT, type Ranges } from '../text/utf8.js';

export type Node =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'characters'; readonly ranges: Ranges }
  | { readonly type: 'rule'; readonly name: string; readonly at: number }
  | { readonly type: 'token'; readonly text: string; readonly at: number }
  | { readonly type: 'sequence'; readonly parts: readonly Node[] }
  | { readonly type: 'either'; readonly parts: readonly Node[] }
  | {
      readonly type: 'repeat';
      readonly part: Node;
      readonly least: number;
      readonly most?: number;
    };

export interface GrammarRule {
  readonly name: string;
  readonly body: Node;
  readonly at: number;
}

const MAX_LENGTH = 1_000_000;
const MAX_DEPTH = 200;
const MAX_COUNT = 1_000_000_000;

/** Parses a grammar. @throws {PacelineError} `usage`, with line and column. */
export function parseGrammar(source: string): readonly GrammarRule[] {
  if (source.length > MAX_LENGTH) {
    throw refused(`A grammar of ${source.length} characters is longer than ${MAX_LENGTH}`, {});
  }
  return new GrammarParser(source).rules();
}

/** An error at a place of a grammar. */
export function grammarError(source: string, at: number, problem: string) {
  const before = source.slice(0, at);
  const line = before.split('\n').length;
  const column = at - before.lastIndexOf('\n');
  return refused(`Grammar, line ${line}, column ${column}: ${problem}`, {
    line,
    column,
    position: at,
  });
}

const escapes: Readonly<Record<string, number>> = {
  n: 10,
  r: 13,
  t: 9,
  f: 12,
  v: 11,
  b: 8,
  '0': 0,
};
const hexLengths: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

class GrammarParser {
  private at = 0;
  private depth = 0;

  constructor(private readonly source: string) {}

  private fail(problem: string, at = this.at) {
    return grammarError(this.source, at, problem);
  }

  rules(): GrammarRule[] {
    const rules: GrammarRule[] = [];
    this.space();
    while (this.at < this.source.length) {
      const at = this.at;
      const name = this.name();
      this.space();
      const sign = this.definition();
      if (sign === 0) throw this.fail("expected '::=' after the name of a rule");
      this.at += sign;
      this.space();
      rules.push({ name, body: this.alternatives(), at });
      if (this.source[this.at] === ';') this.at++;
      this.space();
    }
    if (rules.length === 0) throw this.fail('a grammar needs a rule');
    return rules;
  }

  /** The length of the sign of a definition here, or 0. */
  private definition(): number {
    if (this.source.startsWith('::=', this.at)) return 3;
    if (this.source.startsWith(':=', this.at)) return 2;
    return this.source[this.at] === '=' ? 1 : 0;
  }

  private space(): void {
    for (;;) {
      const start = this.at;
      while (/\s/.test(this.source[this.at] ?? '')) this.at++;
      const isComment =
        this.source[this.at] === '#' &&
        !/^#x[0-9A-Fa-f]/.test(this.source.slice(this.at, this.at + 3));
      if (isComment || this.source.startsWith('//', this.at)) {
        const end = this.source.indexOf('\n', this.at);
        this.at = end < 0 ? this.source.length : end;
      } else if (this.source.startsWith('/*', this.at)) {
        const end = this.source.indexOf('*/', this.at);
        if (end < 0) throw this.fail('a comment does not end');
        this.at = end + 2;
      }
      if (this.at === start) return;
    }
  }

  private name(): string {
    const start = this.at;
    while (/[A-Za-z0-9_-]/.test(this.source[this.at] ?? '')) this.at++;
    if (start === this.at) throw this.fail('expected the name of a rule');
    return this.source.slice(start, this.at);
  }

  private alternatives(): Node {
    if (++this.depth > MAX_DEPTH) throw this.fail(`groups nest more than ${MAX_DEPTH} deep`);
    const parts = [this.sequence()];
    while (this.source[this.at] === '|') {
      this.at++;
      this.space();
      parts.push(this.sequence());
    }
    this.depth--;
    return parts.length === 1 ? (parts[0] as Node) : { type: 'either', parts };
  }

  private sequence(): Node {
    const parts: Node[] = [];
    while (!this.atEnd()) {
      const part = this.quantified(this.atom());
      parts.push(part);
      this.space();
    }
    return parts.length === 1 ? (parts[0] as Node) : { type: 'sequence', parts };
  }

  /** Whether a sequence ends: at a closing sign, or where the next rule begins. */
  private atEnd(): boolean {
    const next = this.source[this.at];
    if (next === undefined || next === '|' || next === ')' || next === ';') return true;
    if (!/[A-Za-z0-9_-]/.test(next)) return false;
    const start = this.at;
    this.name();
    this.space();
    const ends = this.definition() > 0;
    this.at = start;
    return ends;
  }

  private quantified(given: Node): Node {
    let part = given;
    for (let turns = 0; ; turns++) {
      const next = this.source[this.at];
      let bounds: { least: number; most?: number } | undefined;
      if (next === '*') bounds = { least: 0 };
      else if (next === '+') bounds = { least: 1 };
      else if (next === '?') bounds = { least: 0, most: 1 };
      if (bounds) this.at++;
      else if (next === '{') bounds = this.braces();
      if (!bounds) return part;
      if (turns > 8) throw this.fail('too many repeats of one part');
      part = { type: 'repeat', part, ...bounds };
    }
  }

  private braces(): { least: number; most?: number } {
    const found = /^\{\s*([0-9]*)\s*(,?)\s*([0-9]*)\s*\}/.exec(
      this.source.slice(this.at, this.at + 40),
    );
    if (!found || (found[1] === '' && found[3] === ''))
      throw this.fail('a repeat needs {m}, {m,}, {,n} or {m,n}');
    const least = Number(found[1] ?? 0);
    const most = found[2] === '' ? least : found[3] === '' ? undefined : Number(found[3]);
    if (least > MAX_COUNT || (most !== undefined && (most > MAX_COUNT || most < least))) {
      throw this.fail('the bounds of a repeat are out of order or too large');
    }
    this.at += found[0].length;
    return most === undefined ? { least } : { least, most };
  }

  private atom(): Node {
    const start = this.at;
    const next = this.source[this.at] as string;
    if (next === '"' || next === "'") return { type: 'text', text: this.quoted(next) };
    if (next === '[') return { type: 'characters', ranges: this.characterClass() };
    if (next === '#') {
      this.at += 2;
      const digits = /^[0-9A-Fa-f]{1,6}/.exec(this.source.slice(this.at))?.[0] ?? '';
      this.at += digits.length;
      return { type: 'text', text: this.character(Number.parseInt(digits, 16), start) };
    }
    if (next === '<') {
      const end = this.source.indexOf('>', this.at);
      const text = end < 0 ? '' : this.source.slice(this.at, end + 1);
      if (!/^<[^\s<>]+>$/.test(text)) throw this.fail('a token is written as <text>');
      this.at = end + 1;
      return { type: 'token', text, at: start };
    }
    this.at++;
    if (next === '.') return { type: 'characters', ranges: [[0, MAX_POINT]] };
    if (next === '(') {
      this.space();
      const inner = this.alternatives();
      if (this.source[this.at] !== ')') throw this.fail("a '(' is not closed", start);
      this.at++;
      return inner;
    }
    this.at = start;
    if (!/[A-Za-z0-9_-]/.test(next)) throw this.fail(`unexpected '${next}'`);
    return { type: 'rule', name: this.name(), at: start };
  }

  private quoted(quote: string): string {
    const start = this.at++;
    let text = '';
    for (;;) {
      if (this.at >= this.source.length) throw this.fail('a text does not end', start);
      if (this.source[this.at] === quote) break;
      text += String.fromCodePoint(this.point());
    }
    this.at++;
    return text;
  }

  private character(point: number, at: number): string {
    if (!(point <= MAX_POINT)) throw this.fail('not a code point', at);
    return String.fromCodePoint(point);
  }

  /** One character, perhaps escaped. */
  private point(): number {
    const start = this.at;
    const point = this.source.codePointAt(this.at) as number;
    this.at += point > 0xffff ? 2 : 1;
    if (point !== 0x5c) return point;
    const kind = this.source[this.at++] ?? '';
    if (Object.hasOwn(hexLengths, kind)) {
      const length = hexLengths[kind] as number;
      const digits = this.source.slice(this.at, this.at + length);
      if (!/^[0-9A-Fa-f]+$/.test(digits) || digits.length !== length)
        throw this.fail('hexadecimal digits are missing', start);
      this.at += length;
      return this.character(Number.parseInt(digits, 16), start).codePointAt(0) as number;
    }
    if (Object.hasOwn(escapes, kind)) return escapes[kind] as number;
    if (/^[A-Za-z0-9]?$/.test(kind)) throw this.fail(`unknown escape '\\${kind}'`, start);
    return kind.charCodeAt(0);
  }

  private characterClass(): Ranges {
    const start = this.at++;
    const negated = this.source[this.at] === '^';
    if (negated) this.at++;
    const ranges: [number, number][] = [];
    for (;;) {
      if (this.at >= this.source.length) throw this.fail("a '[' is not closed", start);
      if (this.source[this.at] === ']') break;
      const low = this.point();
      let high = low;
      if (this.source[this.at] === '-' && this.source[this.at + 1] !== ']') {
        this.at++;
        high = this.point();
      }
      if (high < low) throw this.fail('a range of characters is out of order');
      ranges.push([low, high]);
    }
    this.at++;
    return negated ? complement(ranges) : ranges;
  }
}
