/**
 * What is in the store, in memory: a tree of blocks with their tokens, in which the longest stored
 * prefix of a text is found. Knows neither files nor models.
 */
import type { BlockHeader, BlockKind } from './block-file.js';
import { blockName } from './names.js';

export interface Entry {
  readonly kind: BlockKind;
  readonly name: string;
  readonly header: BlockHeader;
  /** Of the file, or of what waits to be written. */
  bytes: number;
  /** The parts, as long as they are not on the disk. */
  staged?: readonly Uint8Array[] | undefined;
  /** Milliseconds since 1970. */
  lastUse: number;
  hits: number;
  /** Readers that are at work with it. */
  pins: number;
  /** It is kept until its text has a later one. */
  passing?: boolean | undefined;
}

/** The longest stored prefix of a text. */
export interface Match {
  /** Blocks in order; of the last one only the beginning may be of use. */
  readonly blocks: readonly Entry[];
  /** Tokens in common. */
  readonly length: number;
}

/** A block of which the beginning is of use. */
export interface Piece {
  readonly entry: Entry;
  /** Position behind its last useful token. */
  readonly end: number;
}

const nothing: Match = { blocks: [], length: 0 };

export class BlockIndex {
  /** Name of the parent of first blocks. */
  readonly root: string;
  readonly blockTokens: number;
  readonly #entries = new Map<string, Entry>();
  readonly #children = new Map<string, Set<Entry>>();
  #bytes = 0;

  constructor(root: string, blockTokens: number) {
    this.root = root;
    this.blockTokens = blockTokens;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Bytes of all files. */
  get bytes(): number {
    return this.#bytes;
  }

  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  get(kind: BlockKind, name: string): Entry | undefined {
    return this.#entries.get(`${kind} ${name}`);
  }

  /** What follows a block or the root. */
  children(parent: string): Iterable<Entry> {
    return this.#children.get(parent) ?? [];
  }

  hasChildren(name: string): boolean {
    return (this.#children.get(name)?.size ?? 0) > 0;
  }

  /** The block of rows that this one follows; undefined for first ones and for orphans. */
  parent(entry: Entry): Entry | undefined {
    return this.get('rows', entry.header.parent);
  }

  add(entry: Entry): void {
    this.remove(entry);
    this.#entries.set(`${entry.kind} ${entry.name}`, entry);
    const { parent } = entry.header;
    const siblings = this.#children.get(parent) ?? new Set();
    siblings.add(entry);
    this.#children.set(parent, siblings);
    this.#bytes += entry.bytes;
  }

  remove({ kind, name }: Pick<Entry, 'kind' | 'name'>): void {
    const entry = this.get(kind, name);
    if (entry === undefined) return;
    this.#entries.delete(`${kind} ${name}`);
    this.#bytes -= entry.bytes;
    const siblings = this.#children.get(entry.header.parent);
    siblings?.delete(entry);
    if (siblings?.size === 0) this.#children.delete(entry.header.parent);
  }

  resize(entry: Entry, bytes: number): void {
    if (this.get(entry.kind, entry.name) === entry) this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
  }

  /** The longest prefix of `tokens` whose rows are here. */
  find(tokens: ArrayLike<number>): Match {
    const blocks: Entry[] = [];
    let [parent, length] = [this.root, 0];
    for (;;) {
      const best = this.#longest('rows', parent, tokens, length);
      if (best === undefined) return blocks.length === 0 ? nothing : { blocks, length };
      blocks.push(best.entry);
      length += best.common;
      const whole = best.common === best.entry.header.tokens.length;
      if (!whole || best.common < this.blockTokens) return { blocks, length };
      parent = best.entry.name;
    }
  }

  /** What is here of the rows of layers with a window, along a match; in order. */
  windows(tokens: ArrayLike<number>, { blocks, length }: Match): Piece[] {
    const found: Piece[] = [];
    for (const { header } of blocks) {
      const best = this.#longest('window', header.parent, tokens, header.start);
      if (best === undefined) continue;
      found.push({ entry: best.entry, end: Math.min(header.start + best.common, length) });
    }
    return found;
  }

  /**
   * Saved states at most `longest` tokens behind the beginning that a text with these tokens can use:
   * all their tokens are the text's. The longest first.
   */
  states(tokens: ArrayLike<number>, { blocks, length }: Match, longest: number): Entry[] {
    const found: Entry[] = [];
    for (const parent of [this.root, ...blocks.map(({ name }) => name)]) {
      for (const entry of this.children(parent)) {
        const { start, tokens: own } = entry.header;
        const end = start + own.length;
        if (entry.kind !== 'state' || end > Math.min(longest, length)) continue;
        if (commonLength(own, tokens, start) === own.length) found.push(entry);
      }
    }
    return found.sort((a, b) => endOf(b) - endOf(a));
  }

  /**
   * The state saved closest behind `length`, of any text that begins with these tokens.
   * @param useful what it must have besides.
   */
  stateFrom(
    tokens: ArrayLike<number>,
    { blocks }: Match,
    length: number,
    useful: (entry: Entry) => boolean,
  ): Entry | undefined {
    let best: Entry | undefined;
    const parents = [{ name: this.root, end: 0 }, ...blocks.map(nodeOf)];
    for (const { name, end } of parents) {
      if (end > length || length > end + this.blockTokens) continue;
      for (const entry of this.children(name)) {
        if (entry.kind !== 'state' || endOf(entry) < length || !useful(entry)) continue;
        if (commonLength(entry.header.tokens, tokens, end) < length - end) continue;
        if (best === undefined || endOf(entry) < endOf(best)) best = entry;
      }
    }
    return best;
  }

  /** Partial blocks of its kind that are of no more use once a longer one is there. */
  covered(by: Entry): Entry[] {
    const { parent, tokens } = by.header;
    return [...this.children(parent)].filter(({ kind, name, header }) => {
      if (kind !== by.kind || name === by.name || header.tokens.length >= tokens.length)
        return false;
      return commonLength(header.tokens, tokens, 0) === header.tokens.length;
    });
  }

  /** Names of the whole blocks of a text. */
  namesOf(tokens: ArrayLike<number>): string[] {
    const names: string[] = [];
    const size = this.blockTokens;
    for (let end = size; end <= tokens.length; end += size) {
      names.push(blockName(names.at(-1) ?? this.root, slice(tokens, end - size, end)));
    }
    return names;
  }

  #longest(kind: BlockKind, parent: string, tokens: ArrayLike<number>, start: number) {
    let best: { entry: Entry; common: number } | undefined;
    for (const entry of this.children(parent)) {
      if (entry.kind !== kind || entry.header.start !== start) continue;
      const common = commonLength(entry.header.tokens, tokens, start);
      if (common > (best?.common ?? 0)) best = { entry, common };
    }
    return best;
  }
}

/** Position behind the last token. */
export function endOf({ header }: Entry): number {
  return header.start + header.tokens.length;
}

function nodeOf(entry: Entry): { name: string; end: number } {
  return { name: entry.name, end: endOf(entry) };
}

/** How many of `own` are at `start` of `tokens`. */
function commonLength(own: ArrayLike<number>, tokens: ArrayLike<number>, start: number): number {
  const limit = Math.min(own.length, tokens.length - start);
  let common = 0;
  while (common < limit && own[common] === tokens[start + common]) common++;
  return Math.max(0, common);
}

/** Tokens [from, end). */
export function slice(tokens: ArrayLike<number>, from: number, end: number): Uint32Array {
  return Uint32Array.from({ length: end - from }, (_, at) => tokens[from + at] as number);
}
