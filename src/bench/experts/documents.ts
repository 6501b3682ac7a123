/** Texts as a model reads them here: document by document, each from an empty state. */
import { PacelineError } from '../../base/errors.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';

/** What separates documents in a file. */
const separator = '\0';

/** Tokens that are read from an empty state. */
export interface Passage {
  readonly tokens: readonly number[];
  /** Tokens at the beginning that are no text: BOS. */
  readonly lead: number;
}

/**
 * A text in documents, which NUL bytes separate, and these in passages of at most `length` tokens. Each
 * passage begins with BOS where the model begins texts with it. Texts of control tokens are plain text.
 * @param most passages; default: all.
 * @throws {PacelineError} `usage` when there is nothing to read.
 */
export function passagesOf(
  tokenizer: Tokenizer,
  text: string,
  length: number,
  most = Number.POSITIVE_INFINITY,
): readonly Passage[] {
  const { addsBos, bosId } = tokenizer;
  const lead = addsBos && bosId !== undefined ? [bosId] : [];
  const room = length - lead.length;
  const passages: Passage[] = [];
  for (const document of text.split(separator)) {
    const tokens = tokenizer.encode(document, { addSpecial: false, parseSpecial: false });
    for (let at = 0; at < tokens.length && passages.length < most; at += room) {
      passages.push({ tokens: [...lead, ...tokens.slice(at, at + room)], lead: lead.length });
    }
  }
  if (passages.some(({ tokens }) => tokens.length > 1)) return passages;
  throw new PacelineError('usage', 'The text has no tokens to learn from', {
    hint: 'Give a text like those that the model is for.',
  });
}
