/**
 * Markdown while it grows. A text is cut into blocks; appended text can only change the last of them,
 * so all others keep their identity and are never parsed or drawn again. Nothing here makes HTML:
 * blocks are data, and HTML in a text stays text.
 */
import { lexer, type Token, type Tokens } from 'marked';

export interface Block {
  /** Where it begins in the text, in UTF-16 units. */
  readonly start: number;
  readonly raw: string;
  readonly token: Token;
}

export class GrowingMarkdown {
  #text = '';
  #blocks: readonly Block[] = [];
  /** The blocks are the text, cut: not so where the parser has changed it, as with CRLF. */
  #faithful = true;

  get blocks(): readonly Block[] {
    return this.#blocks;
  }

  /** Takes the whole text, usually the last one with something behind it. */
  update(text: string): readonly Block[] {
    if (text === this.#text) return this.#blocks;
    const grown = this.#faithful && text.startsWith(this.#text);
    this.#text = text;
    const settled = grown ? this.#blocks.slice(0, -1) : [];
    const last = settled.at(-1);
    const from = last === undefined ? 0 : last.start + last.raw.length;
    const { blocks, faithful } = blocksOf(text, from);
    this.#faithful = faithful;
    this.#blocks = [...settled, ...blocks];
    return this.#blocks;
  }
}

/** The blocks of a text from a position on, white space between them belonging to the one before. */
function blocksOf(text: string, from: number) {
  const blocks: { start: number; raw: string; token: Token }[] = [];
  let start = from;
  let faithful = true;
  const tokens = lexer(text.slice(from));
  for (const [index, token] of tokens.entries()) {
    // The parser ends a last line that has no end.
    const raw = index === tokens.length - 1 ? text.slice(start) : token.raw;
    faithful &&= text.startsWith(raw, start);
    const before = blocks.at(-1);
    if (token.type === 'space' && before !== undefined) before.raw += raw;
    else blocks.push({ start, raw, token });
    start += raw.length;
  }
  return { blocks, faithful };
}

/** Whether a code block has its end, so that no more of it can come. */
export function isClosedCode(token: Tokens.Code): boolean {
  const fence = /^ {0,3}(`{3,}|~{3,})/.exec(token.raw)?.[1];
  return fence === undefined || new RegExp(`\\n {0,3}${fence}\\s*$`).test(token.raw);
}

/** Finds pieces of a text in their order, so that what is drawn knows where it stands in the source. */
export class PieceFinder {
  #at: number;

  constructor(
    readonly source: string,
    readonly base: number,
  ) {
    this.#at = 0;
  }

  /** Where a piece stands in the text; undefined when it is not written there like this. */
  find(piece: string): number | undefined {
    if (piece === '') return this.base + this.#at;
    const found = this.source.indexOf(piece, this.#at);
    if (found < 0) return undefined;
    this.#at = found + piece.length;
    return this.base + found;
  }
}

/** Addresses that a link may lead to; others are shown as text. */
export function safeLink(address: string): string | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  return url !== undefined && ['http:', 'https:', 'mailto:'].includes(url.protocol)
    ? url.href
    : undefined;
}

const entities: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u00a0',
};

/** The usual entities as their characters. */
export function decodeEntities(text: string): string {
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));/gi,
    (all, ten, hex, name) => {
      if (name !== undefined) return entities[name] ?? all;
      const code = ten === undefined ? Number.parseInt(hex, 16) : Number(ten);
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : all;
    },
  );
}
