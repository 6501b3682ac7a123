/** Regular expressions as grammars in GBNF, for backends that have these and no regular expressions. */
import { refuseField } from '../../chat/refusals.js';
import { type Pattern, parsePattern } from '../../constraint/regex/syntax.js';
import { normalized, type Ranges } from '../../constraint/text/utf8.js';

/**
 * The grammar of the texts that match a pattern as a whole.
 * @throws {PacelineError} `usage` for what is no pattern, or has `^` or `$` inside of it
 */
export function patternGrammar(source: string): string {
  return `root ::= ${written(atItsEnds(parsePattern(source)))}`;
}

/** Without a `^` at the beginning and a `$` at the end, which say nothing where the whole text matches. */
function atItsEnds(pattern: Pattern): Pattern {
  if (pattern.type === 'start' || pattern.type === 'end') return { type: 'empty' };
  if (pattern.type !== 'sequence') return pattern;
  const { parts } = pattern;
  const from = parts[0]?.type === 'start' ? 1 : 0;
  const to = parts.at(-1)?.type === 'end' ? parts.length - 1 : parts.length;
  return { type: 'sequence', parts: parts.slice(from, to) };
}

function written(pattern: Pattern): string {
  switch (pattern.type) {
    case 'empty':
      return '""';
    case 'characters':
      return characterClass(pattern.ranges);
    case 'sequence':
      return pattern.parts.length === 0 ? '""' : pattern.parts.map(written).join(' ');
    case 'either':
      return `(${pattern.parts.map(written).join(' | ')})`;
    case 'repeat': {
      const { part, least, most } = pattern;
      return `(${written(part)}){${least},${most ?? ''}}`;
    }
    default:
      throw refuseField(
        'response_format',
        'response_format: the backend takes ^ and $ at the ends of a pattern only',
        'Leave them out: the whole text has to match anyway.',
      );
  }
}

function characterClass(ranges: Ranges): string {
  const parts = normalized(ranges).map(([first, last]) =>
    first === last ? point(first) : `${point(first)}-${point(last)}`,
  );
  return `[${parts.join('')}]`;
}

/** A code point as GBNF has it, whatever it means in a class. */
function point(code: number): string {
  return `\\U${code.toString(16).toUpperCase().padStart(8, '0')}`;
}
