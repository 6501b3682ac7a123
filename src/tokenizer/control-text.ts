/**
 * Hides the texts of control tokens in what a caller gives from the tokenizer's search for them:
 * placeholders stand in for them while the template runs and are taken back once the control tokens
 * of the template itself have been found. Placeholders are letters without case, so that they come
 * through `tojson`, Python's `repr` and the template's changes of case. Knows no template.
 */
import { Dict, mapTexts, type Value } from '../template/template.js';
import type { TemplateVariables } from './chat-template.js';
import type { Tokenizer } from './tokenizer.js';
import { wellFormed } from './unicode.js';

/** Letters of the Yi script: one that nobody wrote marks placeholders. */
const MARKS = { first: 0xa000, last: 0xa48c };
/** Hangul syllables write numbers, two digits each. */
const DIGITS = { first: 0xac00, count: 11_172 };

/** Fields of an assistant's message that hold what the model itself said. */
const spoken = new Set(['content', 'reasoning_content', 'reasoning', 'thinking']);

export class ControlTextGuard {
  private mark = '';
  private readonly hidden: string[] = [];
  private readonly placeholderOf = new Map<string, string>();
  private readonly beginnings: ReadonlySet<string>;

  constructor(private readonly tokenizer: Tokenizer) {
    this.beginnings = controlBeginnings(tokenizer);
  }

  /** The same variables with the texts of control tokens replaced. */
  protect(given: TemplateVariables, source: string): TemplateVariables {
    this.mark = unusedMark(source, given);
    const hide = (text: string) => this.hide(text);
    return new Map(
      Array.from(given, ([name, value]) => {
        if (name !== 'messages' || !Array.isArray(value)) return [name, mapTexts(value, hide)];
        return [name, value.map((message) => this.protectMessage(message))];
      }),
    );
  }

  private protectMessage(message: Value): Value {
    const hide = (text: string) => this.hide(text);
    if (!(message instanceof Dict) || message.get('role') !== 'assistant') {
      return mapTexts(message, hide);
    }
    return Dict.of(
      Array.from(message.pairs(), ([key, value]) => {
        const trusted = typeof key === 'string' && spoken.has(key);
        return [mapTexts(key, hide), trusted ? value : mapTexts(value, hide)] as const;
      }),
    );
  }

  private hide(written: string): string {
    // Roles, types and names of fields: templates compare them with their own words.
    if (/^[A-Za-z0-9_]{0,32}$/.test(written)) return written;
    const text = wellFormed(written);
    let result = '';
    let rest = 0;
    for (const { token, start, end } of this.tokenizer.findSpecial(text)) {
      const part = text.slice(start, end);
      const hide = token >= 0 && this.tokenizer.isControl(token);
      result += hide ? this.placeholder(part) : part;
      if (token >= 0) rest = end;
    }
    // A text may end in the beginning of a control token whose end stands in the next one.
    const longest = Math.min(text.length - rest, longestOf(this.beginnings));
    for (let length = longest; length > 0; length--) {
      const end = text.slice(text.length - length);
      if (!this.beginnings.has(end)) continue;
      return result.slice(0, result.length - length) + this.placeholder(end);
    }
    return result;
  }

  private placeholder(text: string): string {
    let placeholder = this.placeholderOf.get(text);
    if (placeholder === undefined) {
      const number = this.hidden.length;
      const digit = (value: number) => String.fromCharCode(DIGITS.first + (value % DIGITS.count));
      placeholder = this.mark + digit(Math.floor(number / DIGITS.count)) + digit(number);
      this.hidden.push(text);
      this.placeholderOf.set(text, placeholder);
    }
    return placeholder;
  }

  /** Puts the hidden texts back into a part of the rendered text. */
  restore(part: string): string {
    if (this.hidden.length === 0) return part;
    const code = this.mark.charCodeAt(0).toString(16);
    // `tojson(ensure_ascii=true)` writes letters as escapes.
    const pattern = new RegExp(
      `${this.mark}([\\uac00-\\ud7a3]{2})|\\\\u${code}\\\\u([0-9a-f]{4})\\\\u([0-9a-f]{4})`,
      'g',
    );
    return part.replace(pattern, (whole, plain: string | undefined, high, low) => {
      const digits = plain
        ? [plain.charCodeAt(0), plain.charCodeAt(1)]
        : [Number.parseInt(high, 16), Number.parseInt(low, 16)];
      const [first = 0, second = 0] = digits.map((value) => value - DIGITS.first);
      return this.hidden[first * DIGITS.count + second] ?? whole;
    });
  }
}

/** A letter that is neither in the template nor in any of the values, plain or as an escape. */
function unusedMark(source: string, given: TemplateVariables): string {
  const texts = [source];
  for (const value of given.values()) {
    mapTexts(value, (text) => {
      texts.push(text);
      return text;
    });
  }
  const all = texts.join('\n');
  for (let point = MARKS.first; point <= MARKS.last; point++) {
    const letter = String.fromCharCode(point);
    if (!all.includes(letter) && !all.includes(`\\u${point.toString(16)}`)) return letter;
  }
  // Whoever writes all of the script gets a letter of another.
  return '\u16a0';
}

const beginningsOf = new WeakMap<Tokenizer, ReadonlySet<string>>();
const lengths = new WeakMap<ReadonlySet<string>, number>();

/** All proper beginnings of control tokens' texts, apart from those that begin like words. */
function controlBeginnings(tokenizer: Tokenizer): ReadonlySet<string> {
  const known = beginningsOf.get(tokenizer);
  if (known) return known;
  const result = new Set<string>();
  let longest = 0;
  for (const id of tokenizer.vocabulary.specialIds) {
    if (!tokenizer.isControl(id)) continue;
    const text = tokenizer.tokenText(id);
    if (/^[\s\p{L}\p{N}]/u.test(text)) continue;
    for (let length = 1; length < text.length; length++) result.add(text.slice(0, length));
    longest = Math.max(longest, text.length - 1);
  }
  beginningsOf.set(tokenizer, result);
  lengths.set(result, longest);
  return result;
}

const longestOf = (beginnings: ReadonlySet<string>) => lengths.get(beginnings) ?? 0;
