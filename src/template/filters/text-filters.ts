/** Jinja's filters on texts. */
import { spend, spendItems, spendText } from '../budget.js';
import { SPACE, splitLines } from '../characters.js';
import { Fault, typeFault } from '../faults.js';
import { escapeString, escapeText, unescapeText } from '../html.js';
import { requireCount, requireWidth } from '../numbers.js';
import { binary } from '../operators.js';
import { percentFormat } from '../percent-format.js';
import { each, iteratorOf, joinTexts, requireSize, sliceOf, truthy, unpack } from '../sequences.js';
import { pad, replaceText, requireText, stringMethod } from '../string-methods.js';
import { quote, toText } from '../text.js';
import {
  Dict,
  type Keywords,
  Markup,
  noKeywords,
  Tuple,
  textOf,
  Undefined,
  type Value,
} from '../values.js';
import { attributeGetter } from './attribute-path.js';
import { define, type Table } from './define.js';
import { prettyPrint } from './pretty-print.js';
import { urlize } from './urlize.js';
import { wrapText } from './wrap-text.js';

/** A str as it is, anything else as text. */
const softText = (value: Value): string | Markup =>
  typeof value === 'string' || value instanceof Markup ? value : toText(value);

/** Calls a method of str on what may be Markup. */
function callMethod(owner: string | Markup, name: string, ...args: Value[]): Value {
  return stringMethod(owner, name)?.call(args, noKeywords) ?? null;
}

export function addTextFilters(table: Table): void {
  for (const name of ['upper', 'lower', 'capitalize'] as const) {
    define(table, name, 's', (_, value) => callMethod(softText(value), name));
  }
  define(table, 'title', 's', (_, value) => titleFilter(toText(value)));
  define(table, 'string', 'value', (_, value) => softText(value));
  define(table, 'safe', 'value', (_, value) => new Markup(toText(value)));
  for (const name of ['e', 'escape']) define(table, name, 's, /', (_, value) => escapeText(value));
  define(table, 'forceescape', 'value', (_, value) => new Markup(escapeString(toText(value))));
  define(table, 'trim', 'value, chars=None', (_, value, set) =>
    callMethod(softText(value), 'strip', set),
  );
  define(table, 'center', 'value, width=80', (_, value, width) => {
    const text = pad(toText(value), width, ' ', 'center');
    return value instanceof Markup ? new Markup(text) : text;
  });
  define(table, 'replace', 's, old, new, count=None', (runtime, value, old, fresh, count) => {
    const limit = count === null ? -1 : requireCount(count);
    if (!runtime.autoescape) return replaceText(toText(value), toText(old), toText(fresh), limit);
    const marks = old instanceof Markup || (fresh instanceof Markup && !(value instanceof Markup));
    const owner = marks ? escapeText(value) : softText(value);
    return callMethod(owner, 'replace', softText(old), softText(fresh), BigInt(limit));
  });
  define(table, 'join', "value, d='', attribute=None", joinFilter);
  table.set('format', (_, [value = null, ...args], keywords) =>
    formatFilter(value, args, keywords),
  );
  define(table, 'indent', 's, width=4, first=False, blank=False', (_, value, width, first, blank) =>
    indentFilter(value, width, truthy(first), truthy(blank)),
  );
  define(
    table,
    'truncate',
    "s, length=255, killwords=False, end='...', leeway=None",
    (_, ...values) => truncateFilter(values as [Value, Value, Value, Value, Value]),
  );
  define(
    table,
    'wordwrap',
    's, width=79, break_long_words=True, wrapstring=None, break_on_hyphens=True',
    (_, value, width, breakWords, separator, breakHyphens) => {
      const joiner = separator === null ? '\n' : requireText(separator);
      const lines = splitLines(requireText(value)).map((line) =>
        wrapText(line, {
          width: requireCount(width),
          breakLongWords: truthy(breakWords),
          breakOnHyphens: truthy(breakHyphens),
        }).join(joiner),
      );
      return joinTexts(joiner, lines);
    },
  );
  define(table, 'wordcount', 's', (_, value) => {
    const text = toText(value);
    spend(text.length / 8);
    return BigInt(text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0);
  });
  define(table, 'striptags', 'value', (_, value) => stripTags(toText(value)));
  define(table, 'urlencode', 'value', (_, value) => urlEncode(value));
  define(
    table,
    'urlize',
    'value, trim_url_limit=None, nofollow=False, target=None, rel=None, extra_schemes=None',
    (runtime, value, limit, nofollow, target, rel, schemes) => {
      const text = urlize(toText(escapeText(value)), {
        limit: limit === null ? undefined : requireCount(limit),
        nofollow: truthy(nofollow),
        target: target === null ? undefined : toText(target),
        rel: rel === null ? '' : requireText(rel),
        schemes: schemes === null ? [] : Array.from(each(schemes), (item) => requireText(item)),
      });
      return runtime.autoescape ? new Markup(text) : text;
    },
  );
  define(table, 'xmlattr', 'd, autospace=True', (runtime, value, autospace) => {
    const text = xmlAttributes(value, truthy(autospace));
    return runtime.autoescape ? new Markup(text) : text;
  });
  define(table, 'pprint', 'value', (_, value) => prettyPrint(value));
}

const wordStarts = new RegExp(`([-${SPACE}({[<]+)`);

function titleFilter(text: string): string {
  spendText(text.length);
  spend(text.length / 4);
  return text
    .split(wordStarts)
    .map((part) => {
      const first = part === '' ? '' : String.fromCodePoint(part.codePointAt(0) ?? 0);
      return first.toUpperCase() + part.slice(first.length).toLowerCase();
    })
    .join('');
}

function joinFilter(
  runtime: { readonly autoescape: boolean },
  value: Value,
  separator: Value,
  attribute: Value,
): Value {
  const get = attribute === null ? undefined : attributeGetter(attribute);
  const items = function* () {
    for (const item of each(value)) yield get ? get(item) : item;
  };
  if (!runtime.autoescape) return joinTexts(toText(separator), items());
  const list = [...items()];
  if (separator instanceof Markup || list.some((item) => item instanceof Markup)) {
    return new Markup(joinTexts(escapeText(separator).text, list.map(escapeText)));
  }
  return joinTexts(toText(separator), list);
}

function formatFilter(value: Value, args: readonly Value[], keywords: Keywords): Value {
  if (args.length > 0 && keywords.size > 0) {
    throw new Fault(
      'FilterArgumentError',
      "can't handle positional and keyword arguments at the same time",
    );
  }
  return percentFormat(softText(value), keywords.size > 0 ? Dict.of(keywords) : new Tuple(args));
}

function indentFilter(value: Value, width: Value, first: boolean, blank: boolean): Value {
  const text = textOf(value);
  // Anything else meets Python's `+` first, with which only undefined and texts get on.
  if (text === undefined) return binary('+', value, '\n');
  const unit = textOf(width) ?? ' '.repeat(Math.max(0, requireWidth(width)));
  const isMarkup = value instanceof Markup;
  const indention = isMarkup && !(width instanceof Markup) ? escapeString(unit) : unit;
  const lines = splitLines(`${text}\n`);
  spendItems(lines.length);
  spendText(text.length + lines.length * indention.length);
  const rest = lines.slice(1).map((line) => (line !== '' || blank ? indention + line : line));
  const result = (first ? indention : '') + [lines[0] ?? '', ...rest].join('\n');
  return isMarkup ? new Markup(result) : result;
}

function truncateFilter([value, length, killWords, end, leeway]: [
  Value,
  Value,
  Value,
  Value,
  Value,
]): Value {
  const size = requireCount(length);
  const endSize = requireSize(end);
  const slack = leeway === null ? 5 : requireCount(leeway);
  if (size < endSize)
    throw new Fault('AssertionError', `expected length >= ${endSize}, got ${size}`);
  if (slack < 0) throw new Fault('AssertionError', `expected leeway >= 0, got ${slack}`);
  if (requireSize(value) <= size + slack) return value;
  const start = sliceOf(value, null, BigInt(size - endSize), null);
  if (truthy(killWords)) return binary('+', start, end);
  const text = requireText(start);
  const at = text.lastIndexOf(' ');
  const kept = at < 0 ? text : text.slice(0, at);
  return binary('+', start instanceof Markup ? new Markup(kept) : kept, end);
}

function stripTags(text: string): string {
  spend(text.length / 8);
  const plain = cutOut(cutOut(text, '<!--', '-->'), '<', '>');
  const words = plain.split(new RegExp(`[${SPACE}]+`)).filter((word) => word !== '');
  return unescapeText(words.join(' '));
}

/** The text without what lies between marks; what follows a removed part is looked at again. */
function cutOut(text: string, open: string, close: string): string {
  let value = text;
  let from = 0;
  for (;;) {
    const start = value.indexOf(open, Math.max(0, from - open.length));
    if (start < 0) return value;
    const end = value.indexOf(close, start);
    if (end < 0) return value;
    value = value.slice(0, start) + value.slice(end + close.length);
    spend(1 + value.length / 64);
    from = start;
  }
}

function quoteUrl(value: Value, forQuery: boolean): string {
  const text = toText(value);
  spendText(text.length * 3);
  spend(text.length);
  const bytes = new TextEncoder().encode(text);
  let result = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    if (/[A-Za-z0-9_.~-]/.test(character) || (character === '/' && !forQuery)) result += character;
    else if (character === ' ' && forQuery) result += '+';
    else result += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return result;
}

function urlEncode(value: Value): string {
  if (textOf(value) !== undefined || iteratorOf(value) === undefined) return quoteUrl(value, false);
  const pairs =
    value instanceof Dict
      ? [...value.pairs()]
      : Array.from(each(value), (item) => unpack(item, 2) as [Value, Value]);
  return pairs.map(([key, item]) => `${quoteUrl(key, true)}=${quoteUrl(item, true)}`).join('&');
}

function xmlAttributes(value: Value, autospace: boolean): string {
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Dict)) throw typeFault('xmlattr needs a mapping');
  const items: string[] = [];
  for (const [key, item] of value.pairs()) {
    spend(8);
    if (item === null || item instanceof Undefined) continue;
    if (/[ \t\n\r\f\v/>=]/.test(requireText(key))) {
      throw new Fault('ValueError', `Invalid character in attribute name: ${quote(toText(key))}`);
    }
    items.push(`${escapeText(key).text}="${escapeText(item).text}"`);
  }
  const text = items.join(' ');
  return autospace && text !== '' ? ` ${text}` : text;
}
