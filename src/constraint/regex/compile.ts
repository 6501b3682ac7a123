/**
 * Regular expressions as languages. `^` and `$` hold at the ends of the text only, so that each part
 * of a pattern is at most four languages: bound to the start or not, to the end or not. Knows
 * nothing of JSON: how a character is written is the caller's.
 */
import { refused, work } from '../core/budget.js';
import type { Language } from '../core/derivatives.js';
import { EMPTY, NOTHING } from '../core/expressions.js';
import { MAX_POINT, normalized, type Ranges } from '../text/utf8.js';
import { type Pattern, parsePattern } from './syntax.js';

export interface PatternOptions {
  /** How characters are written in the text. */
  readonly characters: (ranges: Ranges) => number;
  /** Makes a name for masks of these characters that is the same for every constraint. */
  readonly spelling: string;
  /** The whole text has to match, not a part of it. */
  readonly whole: boolean;
}

/** Languages by what they are bound to: bit 0 the start, bit 1 the end of the text. */
type Bound = readonly [number, number, number, number];

const nothing: Bound = [NOTHING, NOTHING, NOTHING, NOTHING];

/** The language of a pattern. @throws {PacelineError} `usage`, with the position. */
export function compilePattern(
  language: Language,
  source: string,
  options: PatternOptions,
): number {
  const compiler = new PatternCompiler(language, source, options);
  const bound = compiler.compile(parsePattern(source));
  if (options.whole) return language.either(bound);
  const free = language.repeat(compiler.characters([[0, MAX_POINT]]), 0);
  return language.either(
    bound.map((inner, flags) =>
      language.concat((flags & 1) === 1 ? EMPTY : free, inner, (flags & 2) === 2 ? EMPTY : free),
    ),
  );
}

class PatternCompiler {
  /** Kinds of characters, by their ranges. */
  private readonly known = new Map<string, number>();

  constructor(
    private readonly language: Language,
    private readonly source: string,
    private readonly options: PatternOptions,
  ) {}

  characters(ranges: Ranges): number {
    const clean = normalized(ranges);
    const key = clean.join(' ');
    let id = this.known.get(key);
    if (id !== undefined) return id;
    // Each range is split where the bytes of UTF-8 want it.
    work(32 + 8 * clean.length);
    id = this.options.characters(clean);
    this.known.set(key, id);
    if (id !== NOTHING) this.language.characterNames.set(id, `${this.options.spelling} ${key}`);
    return id;
  }

  compile(pattern: Pattern): Bound {
    work(2);
    switch (pattern.type) {
      case 'empty':
        return this.free(EMPTY);
      case 'characters':
        return this.free(this.characters(pattern.ranges));
      case 'start':
        return [NOTHING, EMPTY, NOTHING, NOTHING];
      case 'end':
        return [NOTHING, NOTHING, EMPTY, NOTHING];
      case 'either':
        return this.union(pattern.parts.map((part) => this.compile(part)));
      case 'sequence': {
        let result = this.free(EMPTY);
        for (let index = pattern.parts.length - 1; index >= 0; index--) {
          result = this.sequence(this.compile(pattern.parts[index] as Pattern), result);
        }
        return result;
      }
      case 'repeat':
        return this.repeat(pattern);
    }
  }

  private free(expression: number): Bound {
    return [expression, NOTHING, NOTHING, NOTHING];
  }

  private union(bounds: readonly Bound[]): Bound {
    const column = (flags: 0 | 1 | 2 | 3) =>
      this.language.either(bounds.map((bound) => bound[flags]));
    return [column(0), column(1), column(2), column(3)];
  }

  private sequence(first: Bound, second: Bound): Bound {
    const parts: number[][] = [[], [], [], []];
    for (let left = 0; left < 4; left++) {
      for (let right = 0; right < 4; right++) {
        let [before, after] = [first[left] as number, second[right] as number];
        if (before === NOTHING || after === NOTHING) continue;
        // Nothing may stand after the end or before the start.
        if ((left & 2) === 2) after = this.onlyEmpty(after);
        if ((right & 1) === 1) before = this.onlyEmpty(before);
        parts[left | right]?.push(this.language.concat(before, after));
      }
    }
    const column = (flags: number) => this.language.either(parts[flags] as number[]);
    return [column(0), column(1), column(2), column(3)];
  }

  private onlyEmpty(expression: number): number {
    return this.language.nullable(expression) ? EMPTY : NOTHING;
  }

  private repeat(pattern: Extract<Pattern, { type: 'repeat' }>): Bound {
    const { least, most, at } = pattern;
    const part = this.compile(pattern.part);
    const [plain, ...bound] = part;
    if (bound.every((expression) => expression === NOTHING)) {
      return this.free(this.language.repeat(plain, least, most));
    }
    if (most === 0) return this.free(EMPTY);
    if (least > 1 || (most !== undefined && most > 1)) {
      throw refused(`Pattern at ${at}: an assertion inside of a counted repeat is not supported`, {
        pattern: this.source.slice(0, 200),
        position: at,
      });
    }
    // Only the first turn can be at the start, and only the last at the end.
    const middle = this.free(most === 1 ? EMPTY : this.language.repeat(plain, 0));
    const several = most === 1 ? nothing : this.sequence(part, this.sequence(middle, part));
    return this.union([part, several, this.free(least === 0 ? EMPTY : NOTHING)]);
  }
}
