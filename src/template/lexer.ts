/**
 * Template source to tokens, with Jinja's rules for white space as Hugging Face sets them
 * (`trim_blocks`, `lstrip_blocks`, no newline at the end). Knows no grammar.
 */
import { SPACE, stripRight } from './characters.js';
import { SyntaxFault } from './faults.js';

export type TokenType =
  | 'data'
  | 'variable_begin'
  | 'variable_end'
  | 'block_begin'
  | 'block_end'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'eof';

export interface Token {
  readonly type: TokenType;
  /** Text, name or operator; the decoded value of a string. */
  readonly text: string;
  readonly value?: bigint | number;
  /** Offset in the source. */
  readonly at: number;
}

/** The source as tokens' offsets count it: line ends are `\n`, the last one is dropped. */
export function normalizeSource(source: string): string {
  return source.replace(/\r\n|\r/g, '\n').replace(/\n$/, '');
}

/** Line and column of an offset, both from 1. */
export function positionOf(source: string, at: number): { line: number; column: number } {
  const before = source.slice(0, at);
  const start = before.lastIndexOf('\n') + 1;
  return { line: before.split('\n').length, column: at - start + 1 };
}

const s = `[${SPACE}]*`;
const rawBegin = new RegExp(`\\{%([-+]?)${s}raw${s}(?:-%\\}${s}|%\\})`, 'y');
const rawEnd = new RegExp(`\\{%([-+]?)${s}endraw${s}(?:\\+%\\}|-%\\}${s}|%\\}\\n?)`, 'g');
const commentEnd = new RegExp(`\\+#\\}|-#\\}${s}|#\\}\\n?`, 'g');
const blockEnd = new RegExp(`\\+%\\}|-%\\}${s}|%\\}\\n?`, 'y');
const variableEnd = new RegExp(`-\\}\\}${s}|\\}\\}`, 'y');
const opening = /\{[{%#]/g;

const digits = '(?:[0-9]+_)*[0-9]+';
const tokens: readonly (readonly [TokenType | 'space', RegExp])[] = [
  ['space', new RegExp(`[${SPACE}]+`, 'y')],
  ['float', new RegExp(`(?<!\\.)${digits}(?:(?:\\.${digits})?e[+-]?${digits}|\\.${digits})`, 'iy')],
  ['integer', /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[0-9a-f])+|[1-9](?:_?[0-9])*|0(?:_?0)*/iy],
  ['name', /[\p{XIDC}\p{N}_]+/uy],
  ['string', /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy],
  ['operator', /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y],
];

const identifier = /^[\p{XIDS}_][\p{XIDC}]*$/u;
const closing: Readonly<Record<string, string>> = { '{': '}', '(': ')', '[': ']' };

/** @throws {SyntaxFault} */
export function tokenize(source: string): Token[] {
  return new Lexer(source).run();
}

class Lexer {
  private readonly result: Token[] = [];
  private at = 0;
  private lineStarting = true;

  constructor(private readonly source: string) {}

  run(): Token[] {
    const { source } = this;
    while (this.at < source.length) {
      opening.lastIndex = this.at;
      const found = opening.exec(source);
      if (!found) {
        this.push('data', source.slice(this.at), this.at);
        break;
      }
      this.open(found.index);
    }
    this.push('eof', '', source.length);
    return this.result;
  }

  private push(type: TokenType, text: string, at: number): void {
    this.result.push({ type, text, at });
  }

  /** The text before a tag, and the tag. */
  private open(start: number): void {
    const { source } = this;
    const kind = source.charAt(start + 1);
    rawBegin.lastIndex = start;
    const raw = kind === '%' ? rawBegin.exec(source) : null;
    const mark = source.charAt(start + 2);
    const sign = raw ? (raw[1] ?? '') : mark === '-' || mark === '+' ? mark : '';
    this.data(this.at, start, sign, kind !== '{');
    this.at = raw ? rawBegin.lastIndex : start + 2 + sign.length;
    this.lineStarting = source.charAt(this.at - 1) === '\n';
    if (raw) this.raw();
    else if (kind === '#') this.comment(start);
    else this.tag(kind === '%' ? 'block' : 'variable', start);
  }

  /** Text up to a tag, stripped as the tag's sign and the environment's settings say. */
  private data(start: number, end: number, sign: string, strips: boolean): void {
    let text = this.source.slice(start, end);
    if (sign === '-') text = stripRight(text);
    else if (sign !== '+' && strips) {
      const line = text.lastIndexOf('\n') + 1;
      if ((line > 0 || this.lineStarting) && stripRight(text.slice(line)) === '') {
        text = text.slice(0, line);
      }
    }
    if (text !== '') this.push('data', text, start);
  }

  private raw(): void {
    const { source, at } = this;
    rawEnd.lastIndex = at;
    const end = rawEnd.exec(source);
    if (!end && at === source.length) return;
    if (!end) throw new SyntaxFault('Missing end of raw directive', at);
    this.data(at, end.index, end[1] ?? '', true);
    this.finish(rawEnd.lastIndex);
  }

  private comment(start: number): void {
    commentEnd.lastIndex = this.at;
    // A tag at the very end of the source is let off, as in the reference.
    if (!commentEnd.exec(this.source)) {
      if (this.at === this.source.length) return;
      throw new SyntaxFault('Missing end of comment tag', start);
    }
    this.finish(commentEnd.lastIndex);
  }

  private finish(end: number): void {
    this.at = end;
    this.lineStarting = this.source.charAt(end - 1) === '\n';
  }

  private tag(kind: 'block' | 'variable', start: number): void {
    const { source } = this;
    this.push(`${kind}_begin`, '', start);
    const end = kind === 'block' ? blockEnd : variableEnd;
    const open: string[] = [];
    while (this.at < source.length) {
      end.lastIndex = this.at;
      if (open.length === 0 && end.test(source)) {
        this.push(`${kind}_end`, '', this.at);
        this.finish(end.lastIndex);
        return;
      }
      this.inner(open);
    }
  }

  private inner(open: string[]): void {
    const { source, at } = this;
    for (const [type, pattern] of tokens) {
      pattern.lastIndex = at;
      const match = pattern.exec(source);
      if (!match) continue;
      const [text] = match;
      this.finish(pattern.lastIndex);
      if (type === 'operator') balance(text, open, at);
      if (type !== 'space') this.result.push(token(type, text, at));
      return;
    }
    throw new SyntaxFault(`unexpected character ${JSON.stringify(source.charAt(at))}`, at);
  }
}

/** Keeps account of brackets, within which a tag does not end. */
function balance(text: string, open: string[], at: number): void {
  const close = closing[text];
  if (close !== undefined) open.push(close);
  if (text !== '}' && text !== ')' && text !== ']') return;
  const expected = open.pop();
  if (expected === undefined) throw new SyntaxFault(`unexpected '${text}'`, at);
  if (expected !== text) throw new SyntaxFault(`unexpected '${text}', expected '${expected}'`, at);
}

/** Digits of an integer in a template, as Python bounds them. */
const MAX_DIGITS = 4300;

function token(type: TokenType, text: string, at: number): Token {
  if (type === 'string') return { type, text: unescapeString(text.slice(1, -1), at), at };
  if (type === 'name' && !identifier.test(text)) {
    throw new SyntaxFault('Invalid character in identifier', at);
  }
  const plain = text.replaceAll('_', '');
  if (type === 'float') return { type, text, value: Number(plain), at };
  if (type !== 'integer') return { type, text, at };
  if (plain.length > MAX_DIGITS) throw new SyntaxFault(`more than ${MAX_DIGITS} digits`, at);
  return { type, text, value: BigInt(plain), at };
}

const simple: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Python's escapes in a string; unknown ones stay. */
function unescapeString(body: string, at: number): string {
  if (!body.includes('\\')) return body;
  // Other letters become escapes first, as in the reference, so that `\é` is `\xe9` as written.
  const ascii = body.replace(/\\?[^\0-\x7f]/gu, (found) =>
    found.startsWith('\\') ? `\\\\${hexEscape(found.slice(1)).slice(1)}` : found,
  );
  return ascii.replace(
    /\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.)|$)/gs,
    (whole, octal, x, u, U, other) => {
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      const hex = x ?? u ?? U;
      if (hex !== undefined) {
        const code = Number.parseInt(hex, 16);
        if (code > 0x10ffff) throw new SyntaxFault('illegal Unicode character', at);
        return String.fromCodePoint(code);
      }
      if (other === undefined) throw new SyntaxFault('\\ at end of string', at);
      if ('xuUN'.includes(other))
        throw new SyntaxFault(`truncated or unknown \\${other} escape`, at);
      return simple[other] ?? whole;
    },
  );
}

function hexEscape(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}
