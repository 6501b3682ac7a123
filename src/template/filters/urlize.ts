/** Web and mail addresses in a text as links, as Jinja's `urlize` finds them. */
import { spend, spendText } from '../budget.js';
import { SPACE } from '../characters.js';
import { Fault } from '../faults.js';
import { escapeString } from '../html.js';
import { lengthOf, quote, sliceText } from '../text.js';

export interface UrlizeOptions {
  /** Longer addresses are shown with an ellipsis. */
  readonly limit: number | undefined;
  readonly nofollow: boolean;
  readonly target: string | undefined;
  readonly rel: string;
  readonly schemes: readonly string[];
}

const w = '\\p{L}\\p{N}_';
const web = new RegExp(
  `^(?:(?:https?://|www\\.)(?:[${w}%-]+\\.)*(?:[a-z]{2,63}|xn--[${w}%]{2,59})|` +
    `(?:[${w}%-]{2,63}\\.)+(?:com|net|int|edu|gov|org|info|mil)|` +
    'https?://(?:[0-9]{1,3}(?:\\.[0-9]{1,3}){3}|\\[(?:[0-9a-f]{0,4}:){2}(?:[0-9a-f]{0,4}:?){1,6}\\]))' +
    `(?::[0-9]{1,5})?(?:[/?#][^${SPACE}]*)?$`,
  'iu',
);
const mail = new RegExp(`^[^${SPACE}]+@[${w}][${w}.-]*\\.[${w}]+$`, 'u');
const scheme = new RegExp(`^[${w}.+-]{2,}:/{0,2}$`, 'u');
const separators = new RegExp(`([${SPACE}]+)`);

/** @param text escaped already @throws {Fault} `FilterArgumentError` for a scheme that is none */
export function urlize(text: string, options: UrlizeOptions): string {
  for (const extra of options.schemes) {
    if (!scheme.test(extra)) {
      throw new Fault('FilterArgumentError', `${quote(extra)} is not a valid URI scheme prefix.`);
    }
  }
  spendText(text.length * 4);
  const rel = new Set(options.rel.split(separators).filter((part) => /\S/.test(part)));
  if (options.nofollow) rel.add('nofollow');
  rel.add('noopener');
  const attributes =
    ` rel="${escapeString([...rel].sort().join(' '))}"` +
    (options.target ? ` target="${escapeString(options.target)}"` : '');
  return text
    .split(separators)
    .map((part) => linked(part, attributes, options))
    .join('');
}

function linked(part: string, attributes: string, options: UrlizeOptions): string {
  // The patterns look back at most once from each @ of a word.
  spend(8 + part.length * part.split('@').length);
  const head = /^(?:[(<]|&lt;)+/.exec(part)?.[0] ?? '';
  let middle = part.slice(head.length);
  let tail = /(?:[)>.,\n]|&gt;)+$/.exec(middle)?.[0] ?? '';
  middle = middle.slice(0, middle.length - tail.length);
  for (const [open, close] of [
    ['(', ')'],
    ['<', '>'],
    ['&lt;', '&gt;'],
  ] as const) {
    const count = (text: string, what: string) => text.split(what).length - 1;
    const opened = count(middle, open);
    if (opened <= count(middle, close)) continue;
    for (let left = Math.min(opened, count(tail, close)); left > 0; left--) {
      spend();
      const end = tail.indexOf(close) + close.length;
      middle += tail.slice(0, end);
      tail = tail.slice(end);
    }
  }
  return head + link(middle, attributes, options) + tail;
}

function link(text: string, attributes: string, options: UrlizeOptions): string {
  if (web.test(text)) {
    const address = /^https?:\/\//.test(text) ? text : `https://${text}`;
    const { limit } = options;
    const shown =
      limit !== undefined && lengthOf(text) > limit ? `${sliceText(text, 0, limit)}...` : text;
    return `<a href="${address}"${attributes}>${shown}</a>`;
  }
  if (text.startsWith('mailto:') && mail.test(text.slice(7))) {
    return `<a href="${text}">${text.slice(7)}</a>`;
  }
  if (text.includes('@') && !/^(?:www\.|@)/.test(text) && !text.includes(':') && mail.test(text)) {
    return `<a href="mailto:${text}">${text}</a>`;
  }
  let result = text;
  for (const extra of options.schemes) {
    if (result !== extra && result.startsWith(extra)) {
      result = `<a href="${result}"${attributes}>${result}</a>`;
    }
  }
  return result;
}
