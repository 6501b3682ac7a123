/**
 * Contents of strings as languages: patterns, formats and lengths at once. Knows nothing of schemas
 * but the rules of one clause.
 */
import type { Language } from '../core/derivatives.js';
import { KeyList } from '../core/key-list.js';
import { compilePattern } from '../regex/compile.js';
import { MAX_POINT, plainCharacters } from '../text/utf8.js';
import type { Clause } from './clause.js';
import { type Format, formats } from './formats.js';
import type { Json } from './json.js';
import type { Spelling } from './notation.js';

type Characters = Pick<Spelling, 'characters' | 'spelling'>;

export class StringWriter {
  private readonly patterns = new Map<string, number>();
  private readonly plain: Characters;

  constructor(private readonly language: Language) {
    this.plain = { spelling: 'plain', characters: (ranges) => plainCharacters(language, ranges) };
  }

  /** The contents that a clause allows; its list of values is the caller's. */
  content({ string, excluded }: Clause, notation: Spelling): number {
    const { language } = this;
    const texts = excluded.map(({ value }) => value).filter((value) => typeof value === 'string');
    const free = string.patterns.length === 0 && string.formats.length === 0 && texts.length === 0;
    if (free) return language.repeat(notation.anyCharacter, string.least, string.most);
    const parts = string.patterns.map(({ source }) => this.pattern(source, notation));
    for (const { name } of string.formats) parts.push(...this.format(name, notation));
    if (texts.length > 0) parts.push(this.without(texts, notation));
    if (string.least > 0 || string.most !== undefined || parts.length === 0) {
      parts.push(this.length(string.least, string.most, notation));
    }
    return parts.length === 1 ? (parts[0] as number) : language.both(parts);
  }

  private length(least: number, most: number | undefined, notation: Characters): number {
    return this.language.repeat(this.single(notation), least, most);
  }

  /** Any character in one spelling. */
  single(notation: Characters): number {
    const any = notation.characters([[0, MAX_POINT]]);
    this.language.characterNames.set(any, `${notation.spelling} any`);
    return any;
  }

  /** Contents other than some texts. */
  without(texts: readonly Json[], notation: Spelling): number {
    const { language } = this;
    const list = new KeyList(texts.map((text) => notation.content(String(text))));
    return language.both([
      language.repeat(this.single(notation), 0),
      language.not(language.oneOf(list)),
    ]);
  }

  /** Contents that a pattern matches, anywhere. */
  pattern(source: string, notation: Characters, whole = false): number {
    const key = `${notation.spelling} ${whole} ${source}`;
    let id = this.patterns.get(key);
    if (id === undefined) {
      const { characters, spelling } = notation;
      id = compilePattern(this.language, source, { characters, spelling, whole });
      this.patterns.set(key, id);
    }
    return id;
  }

  private format(name: string, notation: Characters): number[] {
    const { pattern, maxLength } = formats[name] as Format;
    const parts = [this.pattern(pattern, notation, true)];
    if (maxLength !== undefined) parts.push(this.length(0, maxLength, notation));
    return parts;
  }

  matches(source: string, text: string): boolean {
    return this.language.matches(this.pattern(source, this.plain), new TextEncoder().encode(text));
  }

  hasFormat(name: string, text: string): boolean {
    const bytes = new TextEncoder().encode(text);
    return this.format(name, this.plain).every((part) => this.language.matches(part, bytes));
  }
}
