/** Python's classes of characters, and the case of texts. Data and small functions only. */

/** The inside of a regular expression's class with what Python takes for white space. */
export const SPACE =
  '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

const spaceRuns = new RegExp(`[${SPACE}]+`);
const leadingSpace = new RegExp(`^[${SPACE}]+`);
const onlySpace = new RegExp(`^[${SPACE}]+$`);
const isSpace = new RegExp(`[${SPACE}]`);

const stripLeft = (text: string): string => text.replace(leadingSpace, '');

export function stripRight(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace.test(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

export const allSpace = (text: string): boolean => onlySpace.test(text);

/** `text.split()`: the words between white space. */
export function words(text: string): string[] {
  const inner = stripRight(stripLeft(text));
  return inner === '' ? [] : inner.split(spaceRuns);
}

/** The words' first letters up, as `text.capitalize()` for one word. */
export function capitalize(text: string): string {
  const first = String.fromCodePoint(...(text === '' ? [] : [text.codePointAt(0) ?? 0]));
  return titleCase(first) + text.slice(first.length).toLowerCase();
}

/** The letters of two that have a form for titles of their own. */
const digraphs: Readonly<Record<string, string>> = {
  ...{
    ǆ: 'ǅ',
    Ǆ: 'ǅ',
    ǅ: 'ǅ',
    ǉ: 'ǈ',
    Ǉ: 'ǈ',
    ǈ: 'ǈ',
    ǌ: 'ǋ',
    Ǌ: 'ǋ',
    ǋ: 'ǋ',
    ǳ: 'ǲ',
    Ǳ: 'ǲ',
    ǲ: 'ǲ',
  },
};

function titleCase(character: string): string {
  const digraph = digraphs[character];
  if (digraph !== undefined) return digraph;
  const upper = character.toUpperCase();
  // A letter that becomes several, such as ß, has only the first of them large.
  return upper.length > character.length ? upper.charAt(0) + upper.slice(1).toLowerCase() : upper;
}

const cased = /[\p{Lowercase}\p{Uppercase}\p{Lt}]/u;
const lower = /\p{Lowercase}/u;
const upper = /\p{Uppercase}/u;
const title = /\p{Lt}/u;

/** `text.title()`. */
export function titled(text: string): string {
  let result = '';
  let inWord = false;
  for (const character of text) {
    const letter = cased.test(character);
    if (!letter) result += character;
    else result += inWord ? character.toLowerCase() : titleCase(character);
    inWord = letter;
  }
  return result;
}

/** `text.swapcase()`. */
export function swapped(text: string): string {
  let result = '';
  for (const character of text) {
    if (upper.test(character) || title.test(character)) result += character.toLowerCase();
    else result += lower.test(character) ? character.toUpperCase() : character;
  }
  return result;
}

/** `text.islower()` or `text.isupper()`: some letter with a case, and none of the other. */
export function isCase(text: string, wanted: 'lower' | 'upper'): boolean {
  const good = wanted === 'lower' ? lower : upper;
  let found = false;
  for (const character of text) {
    if (good.test(character)) found = true;
    else if (cased.test(character)) return false;
  }
  return found;
}

/** `text.istitle()`. */
function isTitle(text: string): boolean {
  let found = false;
  let inWord = false;
  for (const character of text) {
    if (upper.test(character) || title.test(character)) {
      if (inWord) return false;
      inWord = true;
      found = true;
    } else if (lower.test(character)) {
      if (!inWord) return false;
      found = true;
    } else inWord = false;
  }
  return found;
}

const alpha = /^\p{L}+$/u;
const decimal = /^\p{Nd}+$/u;
const digit =
  /^[\p{Nd}\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792]+$/u;
const numeric =
  /^[\p{N}\u3405\u3483\u382a\u3b4d\u4e00\u4e03\u4e07\u4e09\u4e5d\u4e8c\u4e94\u4ebf\u4edf\u4f0d\u4f70\u5104\u5146\u516b\u516d\u5341-\u5345\u56db\u58f1\u58f9\u5f0c-\u5f0e\u62fe\u634c\u67d2\u7396\u767e\u8086\u842c\u8cae\u8cb3\u8d30\u9646\u964c\u9678\u96f6]+$/u;
const alnum = /^[\p{L}\p{N}]+$/u;
const identifier = /^[\p{XIDS}_][\p{XIDC}]*$/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with control characters.
const ascii = /^[\x00-\x7f]*$/;
const printable = /^[ \p{L}\p{M}\p{N}\p{P}\p{S}]*$/u;

/** The tests that are one class for all characters. */
export const classTests: Readonly<Record<string, (text: string) => boolean>> = {
  isalnum: (text) => alnum.test(text),
  isalpha: (text) => alpha.test(text),
  isascii: (text) => ascii.test(text),
  isdecimal: (text) => decimal.test(text),
  isdigit: (text) => digit.test(text),
  isidentifier: (text) => identifier.test(text),
  islower: (text) => isCase(text, 'lower'),
  isnumeric: (text) => numeric.test(text),
  isprintable: (text) => printable.test(text),
  isspace: (text) => allSpace(text),
  istitle: (text) => isTitle(text),
  isupper: (text) => isCase(text, 'upper'),
};

/** Line ends of `splitlines`. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: some of them end lines.
const lineEnd = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

/** `text.splitlines(keepends)`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  let start = 0;
  for (const match of text.matchAll(lineEnd)) {
    const end = match.index + match[0].length;
    lines.push(text.slice(start, keepEnds ? end : match.index));
    start = end;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

/** `text.casefold()`, as far as the upper and lower cases tell. */
export function caseFold(text: string): string {
  let result = '';
  for (const character of text) {
    // Cherokee folds to its capital letters.
    if (/[\u13a0-\u13fd\uab70-\uabbf]/.test(character)) result += character.toUpperCase();
    else if (character === 'ı' || character === 'İ') result += character.toLowerCase();
    else result += character.toUpperCase().toLowerCase().replaceAll('ς', 'σ');
  }
  return result;
}
