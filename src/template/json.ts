/**
 * JSON as Python's `json` module reads and writes it: integers of any size stay integers, a float
 * stays a float, keys keep their order. Texts come from clients: depth is bounded, and everything
 * but JSON is refused.
 */
import { deeper, spend, spendText } from './budget.js';
import { sorted } from './compare.js';
import { floatText } from './decimals.js';
import { typeFault, valueFault } from './faults.js';
import { intText, requireInt } from './numbers.js';
import { iteratorOf, listOf, truthy } from './sequences.js';
import { requireText } from './string-methods.js';
import { Dict, Markup, Tuple, textOf, typeName, type Value } from './values.js';

export interface JsonOptions {
  readonly ensureAscii?: Value;
  readonly indent?: Value;
  readonly separators?: Value;
  readonly sortKeys?: Value;
}

interface Style {
  readonly ascii: boolean;
  readonly indent: string | undefined;
  readonly between: string;
  readonly colon: string;
  readonly sort: boolean;
}

/** `json.dumps`. @throws {Fault} `TypeError` for what JSON has no form for */
export function toJson(value: Value, options: JsonOptions = {}): string {
  const { ensureAscii = false, indent = null, separators = null, sortKeys = false } = options;
  let [between, colon] = [indent === null ? ', ' : ',', ': '];
  if (separators !== null) {
    const parts = iteratorOf(separators) === undefined ? [] : listOf(separators);
    if (parts.length !== 2) throw valueFault('separators must be a pair of texts');
    between = requireText(parts[0] as Value);
    colon = requireText(parts[1] as Value);
  }
  return write(value, '\n', {
    ascii: truthy(ensureAscii),
    indent: indentText(indent),
    between,
    colon,
    sort: truthy(sortKeys),
  });
}

function indentText(indent: Value): string | undefined {
  if (indent === null) return undefined;
  const text = textOf(indent);
  if (text !== undefined) return text;
  const width = Math.max(0, Number(requireInt(indent)));
  spendText(width);
  return ' '.repeat(width);
}

/** @param line a line end with the indent of what surrounds the value */
function write(value: Value, line: string, style: Style): string {
  spend(3);
  if (value === null) return 'null';
  if (typeof value === 'string') return quoteJson(value, style.ascii);
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'bigint') return intText(value);
  if (typeof value === 'number') return floatJson(value);
  if (value instanceof Markup) return quoteJson(value.text, style.ascii);
  if (Array.isArray(value) || value instanceof Tuple) {
    const items = Array.isArray(value) ? value : value.items;
    return wrap('[', ']', line, style, (inner) => items.map((item) => write(item, inner, style)));
  }
  if (value instanceof Dict) {
    const pairs = [...value.pairs()];
    const ordered = style.sort ? sorted(pairs, ([key, item]) => new Tuple([key, item])) : pairs;
    return wrap('{', '}', line, style, (inner) =>
      ordered.map(
        ([key, item]) =>
          quoteJson(keyText(key), style.ascii) + style.colon + write(item, inner, style),
      ),
    );
  }
  throw typeFault(`Object of type ${typeName(value)} is not JSON serializable`);
}

function wrap(
  open: string,
  close: string,
  line: string,
  style: Style,
  items: (inner: string) => readonly string[],
): string {
  return deeper(() => {
    const inner = style.indent === undefined ? '' : line + style.indent;
    const written = items(inner);
    if (written.length === 0) return open + close;
    const text = written.join(style.between + inner);
    spendText(text.length);
    return open + inner + text + (style.indent === undefined ? '' : line) + close;
  });
}

function keyText(key: Value): string {
  const text = textOf(key);
  if (text !== undefined) return text;
  if (key === null) return 'null';
  if (typeof key === 'boolean') return key ? 'true' : 'false';
  if (typeof key === 'bigint') return intText(key);
  if (typeof key === 'number') return floatJson(key);
  throw typeFault(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function floatJson(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value < 0 ? '-Infinity' : 'Infinity';
  return floatText(value);
}

const short: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\b': '\\b',
};
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes control characters.
const special = /["\\\x00-\x1f]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above.
const specialAscii = /["\\\x00-\x1f]|[^ -~]/g;

function quoteJson(text: string, ascii: boolean): string {
  spendText(text.length);
  const encoded = (character: string) =>
    short[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `"${text.replace(ascii ? specialAscii : special, encoded)}"`;
}

/** Levels of arrays and objects in a text. */
const MAX_DEPTH = 200;

/** JSON text as a value. @throws {Fault} `ValueError` that says where it is no JSON */
export function parseJson(text: string): Value {
  const reader = new JsonReader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

const number = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const blank = /[ \t\n\r]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them in strings.
const chunk = /[^"\\\x00-\x1f]*/y;
const words = { true: true, false: false, null: null } as const;

class JsonReader {
  private at = 0;
  constructor(private readonly text: string) {}

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match) this.at = pattern.lastIndex;
    return match;
  }

  private fail(what: string): never {
    throw valueFault(`${what} at character ${this.at} of the JSON text`);
  }

  private take(character: string): boolean {
    if (this.text.charAt(this.at) !== character) return false;
    this.at++;
    return true;
  }

  end(): void {
    this.match(blank);
    if (this.at < this.text.length) this.fail('Something follows the value');
  }

  value(depth: number): Value {
    if (depth > MAX_DEPTH) this.fail(`More than ${MAX_DEPTH} levels`);
    this.match(blank);
    const character = this.text.charAt(this.at);
    if (character === '"') return this.string();
    if (this.take('[')) return this.array(depth);
    if (this.take('{')) return this.object(depth);
    for (const [word, value] of Object.entries(words)) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    const found = this.match(number);
    if (!found) return this.fail('A value is missing');
    const [whole, fraction, exponent] = found;
    if (fraction !== undefined || exponent !== undefined) return Number(whole);
    if (whole.length > 4300) this.fail('An integer of more than 4300 digits');
    return BigInt(whole);
  }

  private array(depth: number): Value[] {
    const items: Value[] = [];
    this.match(blank);
    if (this.take(']')) return items;
    do {
      items.push(this.value(depth + 1));
      this.match(blank);
    } while (this.take(','));
    if (!this.take(']')) this.fail('A comma or ] is missing');
    return items;
  }

  private object(depth: number): Dict {
    const dict = new Dict();
    this.match(blank);
    if (this.take('}')) return dict;
    do {
      this.match(blank);
      if (this.text.charAt(this.at) !== '"') this.fail('A key in quotes is missing');
      const key = this.string();
      this.match(blank);
      if (!this.take(':')) this.fail('A colon is missing');
      dict.set(key, this.value(depth + 1));
      this.match(blank);
    } while (this.take(','));
    if (!this.take('}')) this.fail('A comma or } is missing');
    return dict;
  }

  private string(): string {
    this.at++;
    let result = '';
    for (;;) {
      result += this.match(chunk)?.[0] ?? '';
      if (this.take('"')) return result;
      if (!this.take('\\')) this.fail('A string does not end, or holds a control character');
      result += this.escape();
    }
  }

  private escape(): string {
    const character = this.text.charAt(this.at++);
    const plain = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }[
      character
    ];
    if (plain !== undefined) return plain;
    const hex = this.text.slice(this.at, this.at + 4);
    if (character !== 'u' || !/^[0-9a-fA-F]{4}$/.test(hex)) this.fail('An unknown escape');
    this.at += 4;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }
}
