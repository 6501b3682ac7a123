/** Lines of a width, as Python's `textwrap` breaks them. */
import { spend, spendText } from '../budget.js';
import { allSpace } from '../characters.js';
import { valueFault } from '../faults.js';
import { lengthOf, sliceText } from '../text.js';

export interface WrapOptions {
  readonly width: number;
  readonly breakLongWords: boolean;
  readonly breakOnHyphens: boolean;
}

const ws = '[\\t\\n\\x0b\\x0c\\r ]';
const nws = '[^\\t\\n\\x0b\\x0c\\r ]';
const punctuation = '[\\p{L}\\p{N}_!"\'&.,?]';
const word = '[\\p{L}\\p{N}_]';
const letter = '[\\p{L}\\p{Nl}\\p{No}_]';
const pieces = new RegExp(
  `(${ws}+|(?<=${punctuation})-{2,}(?=${word})|${nws}+?(?:` +
    `-(?:(?<=${letter}{2}-)|(?<=${letter}-${letter}-))(?=${letter}-?${letter})|` +
    `(?=${ws}|$)|(?<=${punctuation})(?=-{2,}${word})))`,
  'u',
);
const simplePieces = new RegExp(`(${ws}+)`);

/** The lines of a text without line ends. @throws {Fault} `ValueError` for a width below 1 */
export function wrapText(text: string, options: WrapOptions): string[] {
  const { width } = options;
  spendText(text.length);
  const chunks = text
    .split(options.breakOnHyphens ? pieces : simplePieces)
    .filter((chunk) => chunk !== '')
    .reverse();
  if (width <= 0) throw valueFault(`invalid width ${width} (must be > 0)`);
  const lines: string[] = [];
  while (chunks.length > 0) {
    spend();
    if (lines.length > 0 && allSpace(chunks.at(-1) ?? '')) chunks.pop();
    const line = fillLine(chunks, options);
    if (allSpace(line.at(-1) ?? '')) line.pop();
    if (line.length > 0) lines.push(line.join(''));
  }
  return lines;
}

/** Takes from the end of the chunks what fits into a line. */
function fillLine(chunks: string[], options: WrapOptions): string[] {
  const line: string[] = [];
  let length = 0;
  for (let next = chunks.at(-1); next !== undefined; next = chunks.at(-1)) {
    spend();
    if (length + lengthOf(next) > options.width) break;
    length += lengthOf(next);
    line.push(next);
    chunks.pop();
  }
  const long = chunks.at(-1);
  if (long !== undefined && lengthOf(long) > options.width) {
    breakWord(chunks, line, options.width - length, options);
  }
  return line;
}

/** Puts the part of a long word into the line that fits, or the whole into an empty one. */
function breakWord(chunks: string[], line: string[], room: number, options: WrapOptions): void {
  const chunk = chunks.pop() ?? '';
  if (!options.breakLongWords) {
    if (line.length === 0) line.push(chunk);
    else chunks.push(chunk);
    return;
  }
  let end = room;
  if (options.breakOnHyphens && room > 0) {
    const hyphen = sliceText(chunk, 0, room).lastIndexOf('-');
    if (hyphen > 0 && /[^-]/.test(chunk.slice(0, hyphen))) {
      end = lengthOf(chunk.slice(0, hyphen)) + 1;
    }
  }
  line.push(sliceText(chunk, 0, end));
  chunks.push(sliceText(chunk, end));
}
