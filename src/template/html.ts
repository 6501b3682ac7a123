/** Text in HTML: escapes, and their opposite for what templates meet. */
import { spendText } from './budget.js';
import { toText } from './text.js';
import { Markup, type Value } from './values.js';

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
};

/** `escape(value)`: Markup stays as it is. */
export function escapeText(value: Value): Markup {
  if (value instanceof Markup) return value;
  return new Markup(escapeString(toText(value)));
}

export function escapeString(text: string): string {
  const result = text.replace(/[&<>"']/g, (character) => escapes[character] ?? character);
  spendText(result.length);
  return result;
}

/** The names of the characters from U+00A0 on. */
const latin = (
  'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn ' +
  'sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave ' +
  'Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ' +
  'ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN ' +
  'szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave ' +
  'iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ' +
  'ucirc uuml yacute thorn yuml'
).split(' ');

const named = new Map<string, string>([
  ...latin.map((name, index) => [name, String.fromCharCode(0xa0 + index)] as const),
  ...Object.entries({
    amp: '&',
    lt: '<',
    gt: '>',
    quot: '"',
    apos: "'",
    hellip: '…',
    mdash: '—',
    ndash: '–',
    lsquo: '‘',
    rsquo: '’',
    ldquo: '“',
    rdquo: '”',
    bull: '•',
    euro: '€',
    trade: '™',
    larr: '←',
    uarr: '↑',
    rarr: '→',
    darr: '↓',
    le: '≤',
    ge: '≥',
    ne: '≠',
    infin: '∞',
  }),
]);
/** Names that HTML knows without their semicolon, too. */
const bare = new RegExp(`&(amp|lt|gt|quot|${latin.join('|')})(?!;)`, 'g');

/** The characters that references stand for; unknown names stay. */
export function unescapeText(text: string): string {
  return text
    .replace(bare, '&$1;')
    .replace(/&(?:#[xX]([0-9a-fA-F]+)|#([0-9]+)|([a-zA-Z]+));?/g, (whole, hex, decimal, name) => {
      if (name !== undefined) {
        return whole.endsWith(';') ? (named.get(name as string) ?? whole) : whole;
      }
      const code = Number.parseInt(String(hex ?? decimal), hex === undefined ? 10 : 16);
      if (code > 0x10ffff || code === 0 || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd';
      return String.fromCodePoint(code);
    });
}
