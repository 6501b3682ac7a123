/**
 * Texts and the store of prefixes: before a prompt is read, what is known of it is brought into the
 * text's state, from another text in memory or from the disk, whichever has more; while a text grows,
 * its blocks are saved in the background. Nothing of it changes a text, and no failure of it ends one.
 */
import { union } from '../cache/ranges.js';
import type { RowKind, SequenceState } from '../cache/state.js';
import { type Entry, endOf, type Match, type Piece } from '../cache/store/index.js';
import type { PrefixStore, ReadTarget } from '../cache/store/store.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { Boundaries } from './boundaries.js';
import { exactTokens, type KnownTokens } from './exact-tokens.js';
import { commonPrefix, type Text } from './text.js';
import { TextSaver } from './text-saver.js';

export interface TextCacheOptions {
  readonly store: PrefixStore;
  /** The texts in memory. */
  readonly live: () => Iterable<Text>;
  readonly tokenizer: Tokenizer;
}

/** Bytes that are copied from another text before it is asked whether it has gone back meanwhile. */
const pieceBytes = 64 << 20;

/** What of a prompt is known, and where. */
interface Source {
  /** Tokens that can be had. */
  readonly length: number;
  /** Brings them into the text; how many came. */
  readonly bring: () => Promise<Brought>;
}

interface Brought {
  readonly length: number;
  readonly fixed: Uint8Array;
  readonly drafters: Readonly<Record<string, Uint8Array>>;
}

export class TextCache {
  readonly store: PrefixStore;
  readonly #options: TextCacheOptions;
  /** Savers of texts that have ended before all of them was copied. */
  readonly #waiting = new Set<TextSaver>();
  /** What a token of a prefill takes, in milliseconds, as measured lately. */
  msPerToken = 1;

  constructor(options: TextCacheOptions) {
    this.#options = options;
    this.store = options.store;
    this.store.onRoom = () => this.#drain();
  }

  /**
   * Brings what is known of a prompt into a text that holds a beginning of it, but for the prompt's
   * last token, whose logits are needed. The text's state must not be used meanwhile (`hold`).
   * Never fails.
   */
  async restore(text: Text, prompt: readonly number[], signal: AbortSignal): Promise<void> {
    const { state } = text;
    const limit = Math.min(prompt.length - 1, state.capacity);
    const had = text.tokens.length;
    if (had >= limit) return;
    await this.store.refresh();
    const wanted = prompt.slice(0, limit);
    const match = this.store.index.find(wanted);
    const live = this.#live(text, wanted);
    const disk = this.#disk(text, wanted, match, signal);
    const source = live.length >= disk.length ? live : disk;
    if (signal.aborted || source.length <= had) {
      this.store.noteUse(undefined, { prompt: prompt.length, cached: 0, savedMs: 0 });
      return;
    }
    try {
      const brought = await source.bring();
      if (brought.length > 0) text.resume({ ...brought, tokens: wanted.slice(0, brought.length) });
      // Rows are brought in blocks: those of the last, incomplete one may be others now.
      else text.truncate(Math.floor(had / state.blockLength) * state.blockLength);
    } catch {
      text.truncate(0); // whatever came is not to be trusted
    }
    this.#noteUse(match, prompt.length, had, text.tokens.length);
  }

  /**
   * The prompt of a conversation with the tokens that are known of its text, where the tokenizer cuts
   * it otherwise than the model did when it said it. The bytes are the same.
   */
  exactTokens(prompt: readonly number[]): readonly number[] {
    const { index } = this.store;
    const after = function* (parent: string): Iterable<KnownTokens> {
      for (const { kind, name, header } of index.children(parent)) {
        if (kind === 'rows') yield { tokens: header.tokens, next: () => after(name) };
      }
    };
    const live = [...this.#options.live()].map(({ tokens }) => ({ tokens, next: () => [] }));
    return exactTokens(this.#options.tokenizer, prompt, [...live, ...after(index.root)]);
  }

  /** Saves a text while it grows. */
  follow(text: Text, boundaries: Boundaries): TextSaver {
    const { store } = this;
    const { tokenizer } = this.#options;
    const describe = (tokens: readonly number[]): string => tokenizer.decode(tokens);
    return new TextSaver({ store, text, boundaries, describe, cache: this });
  }

  /** Takes a saver whose text has ended and could not be saved yet. */
  wait(saver: TextSaver): void {
    this.#waiting.add(saver);
  }

  /** Settles when all that can be saved is on the disk. */
  async close(): Promise<void> {
    do {
      this.#drain();
      await this.store.flush();
    } while (this.#waiting.size > 0);
  }

  #drain(): void {
    for (const saver of this.#waiting) {
      if (!saver.save()) return;
      this.#waiting.delete(saver);
    }
  }

  #noteUse({ blocks }: Match, prompt: number, had: number, length: number): void {
    let last: Entry | undefined;
    let savedMs = 0;
    for (const entry of blocks) {
      const { start, tokens, costMs } = entry.header;
      if (start >= length) break;
      const used = Math.min(length, endOf(entry)) - Math.max(start, had);
      savedMs += (costMs * Math.max(0, used)) / tokens.length;
      last = entry;
    }
    this.store.noteUse(last, { prompt, cached: Math.max(0, length - had), savedMs });
  }

  /** The text in memory that has the most of it. */
  #live(text: Text, wanted: readonly number[]): Source {
    let best: { other: Text; length: number } | undefined;
    for (const other of this.#options.live()) {
      const { state } = other;
      if (other === text || state.pending !== undefined) continue;
      const length = state.reachable(commonPrefix(other.tokens, wanted));
      if (length > (best?.length ?? 0)) best = { other, length };
    }
    if (best === undefined) return nowhere;
    const { other, length } = best;
    return { length, bring: () => copyLive(other, text, length) };
  }

  /** What the store has of it: where something does not grow only up to where it was saved. */
  #disk(text: Text, wanted: readonly number[], match: Match, signal: AbortSignal): Source {
    const { index } = this.store;
    const { state } = text;
    const windows = state.rowKinds.includes('window') ? index.windows(wanted, match) : [];
    const usable = usableLength(state, windows, match.length);
    const saved = state.hasFixed
      ? index
          .states(wanted, match, usable)
          .find((entry) => usableLength(state, windows, endOf(entry)) === endOf(entry))
      : undefined;
    const length = !state.hasFixed ? usable : saved === undefined ? 0 : endOf(saved);
    const whole = match.blocks.map((entry) => ({
      entry,
      end: Math.min(endOf(entry), match.length),
    }));
    const bring = async (): Promise<Brought> => {
      const pieces = { whole, window: windows };
      const reached = await this.#readRows(state, pieces, length, signal);
      if (reached <= state.length || (state.hasFixed && reached < length)) return nothing;
      const useful = ({ header }: Entry): boolean =>
        header.parts.some(({ name }) => text.openDrafters.some((drafter) => drafter.name === name));
      const entry = saved ?? index.stateFrom(wanted, match, reached, useful);
      const parts = entry === undefined ? new Map() : await this.#readState(text, entry);
      const { '': fixed = noBytes, ...drafters } = Object.fromEntries(parts);
      if (state.hasFixed && !parts.has('')) return nothing;
      return { length: reached, fixed: saved ? fixed : noBytes, drafters };
    };
    return { length, bring };
  }

  /** Reads the rows that a state needs for going on at `length`; the position for which they came. */
  async #readRows(
    state: SequenceState,
    pieces: Readonly<Record<RowKind, readonly Piece[]>>,
    length: number,
    signal: AbortSignal,
  ): Promise<number> {
    let reached = length;
    for (;;) {
      const wanted = reached;
      for (const kind of state.rowKinds) {
        const from = firstMissing(state, kind, reached);
        const range = { from, length: reached, signal };
        reached = await this.#readKind(state, kind, pieces[kind], range);
        if (reached <= state.length) return state.length;
      }
      // A shorter text looks back on other rows.
      if (reached === wanted) return reached;
    }
  }

  /** Reads the rows of a kind of [from, length); the position up to which they came. */
  async #readKind(
    state: SequenceState,
    kind: RowKind,
    pieces: readonly Piece[],
    { from, length, signal }: { from: number; length: number; signal: AbortSignal },
  ): Promise<number> {
    let reached = from;
    for (const { entry, end: useful } of pieces) {
      const { start, parts } = entry.header;
      const end = Math.min(useful, length);
      if (end <= from) continue;
      if (start >= length || start > reached || signal.aborted) break;
      const first = Math.max(start, from) / state.blockLength;
      const units: number[] = [];
      for (let unit = first; unit * state.blockLength < end; unit++) units.push(unit);
      const partOf = (unit: number): number => unit - start / state.blockLength;
      const rowsOf = (unit: number): number => endOf(entry) - unit * state.blockLength;
      // Where the context ends, blocks are shorter.
      const fitting = units.filter(
        (unit) => parts[partOf(unit)]?.bytes === state.blockBytes(kind, unit, rowsOf(unit)),
      );
      const targets = fitting.map((unit) => ({
        part: partOf(unit),
        ...rowTarget(state, kind, unit, rowsOf(unit)),
      }));
      const filled = await this.store.read(entry, targets);
      reached = Math.min(end, (first + filled) * state.blockLength);
      if (filled < units.length) break;
    }
    return Math.max(reached, Math.min(from, length));
  }

  /** Reads what was saved for the drafters in use, and for the state itself. */
  async #readState(text: Text, entry: Entry): Promise<Map<string, Uint8Array>> {
    const wanted = entry.header.parts.flatMap(({ name, bytes }, part) =>
      name === '' || text.openDrafters.some((drafter) => drafter.name === name)
        ? [{ name, part, into: [new Uint8Array(bytes)] }]
        : [],
    );
    const filled = await this.store.read(entry, wanted);
    return new Map(
      wanted.slice(0, filled).map(({ name, into: [bytes = noBytes] }) => [name, bytes]),
    );
  }
}

const noBytes = new Uint8Array();
const nothing: Brought = { length: 0, fixed: noBytes, drafters: {} };
const nowhere: Source = { length: 0, bring: async () => nothing };

/** The most of a stored prefix, up to `longest`, for which rows of windows are there too. */
function usableLength(state: SequenceState, windows: readonly Piece[], longest: number): number {
  if (!state.rowKinds.includes('window')) return longest;
  const stored = union(
    windows.map(({ entry, end }) => ({ from: entry.header.start, end: Math.min(end, longest) })),
  );
  return stored.reduce(
    (best, { from, end }) => (state.neededFrom('window', end) >= from ? end : best),
    0,
  );
}

/** The first position whose rows a state lacks for going on at `length`: the beginning of a block. */
function firstMissing(state: SequenceState, kind: RowKind, length: number): number {
  const needed = state.neededFrom(kind, length);
  const has = state.holds(kind, needed, Math.min(state.length, length));
  const from = has ? Math.max(needed, Math.min(state.length, length)) : needed;
  return Math.floor(from / state.blockLength) * state.blockLength;
}

/** Where the first rows of a block go. */
function rowTarget(
  state: SequenceState,
  kind: RowKind,
  unit: number,
  rows: number,
): Omit<ReadTarget, 'part'> {
  const memory = state.blockMemory(kind, unit, rows);
  if (memory !== undefined) return { into: memory };
  const bytes = new Uint8Array(state.blockBytes(kind, unit, rows));
  return { into: [bytes], done: () => state.writeBlock(kind, unit, bytes, rows) };
}

/** Copies rows of another text in memory, which may go on meanwhile but not back. */
async function copyLive(from: Text, to: Text, length: number): Promise<Brought> {
  const { blockLength, hasFixed, rowKinds } = to.state;
  const { cuts } = from;
  const fixed = from.state.readFixed(length);
  const drafters = from.saveDrafters();
  for (const kind of rowKinds) {
    const first = firstMissing(to.state, kind, length);
    const blocks = Math.floor(pieceBytes / Math.max(1, to.state.blockBytes(kind, 0)));
    const step = blockLength * Math.max(1, blocks);
    for (let at = first; at < length; at += step) {
      const end = Math.min(at + step, length);
      const there = (): boolean =>
        from.cuts === cuts && from.state.pending === undefined && from.state.holds(kind, at, end);
      if (there()) {
        await to.state.copyRows(kind, from.state, at, end);
        if (there()) continue;
      }
      const useful = kind === 'whole' && !hasFixed && rowKinds.length === 1 && at > first;
      return useful ? { length: at, fixed, drafters: {} } : nothing;
    }
  }
  return { length, fixed, drafters };
}
