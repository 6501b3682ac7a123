/**
 * Texts and the store of prefixes: before a prompt is read, what is known of it is brought into the
 * text's state, from another text in memory or from the disk, whichever has more; while a text grows,
 * its blocks are saved in the background. Nothing of it changes a text, and no failure of it ends one.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SequenceState } from '../cache/state.js';
import { type Entry, endOf, type Match } from '../cache/store/index.js';
import type { PrefixStore, ReadTarget } from '../cache/store/store.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { exactTokens, type KnownTokens } from './exact-tokens.js';
import { commonPrefix, type Text } from './text.js';
import { TextSaver } from './text-saver.js';

export interface TextCacheOptions {
  readonly store: PrefixStore;
  /** The texts in memory. */
  readonly live: () => Iterable<Text>;
  readonly tokenizer: Tokenizer;
}

/** Bytes that are copied between two turns of the event loop. */
const pieceBytes = 4 << 20;

/** What of a prompt is known, and where. */
interface Source {
  /** Tokens that can be had. */
  readonly length: number;
  /** Brings them into the text; how many came. */
  readonly bring: (from: number) => Promise<Brought>;
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
    // Rows are brought in blocks: those of the last, incomplete one again.
    const from = Math.floor(had / state.blockLength) * state.blockLength;
    try {
      const brought = await source.bring(from);
      if (brought.length > 0) text.resume({ ...brought, tokens: wanted.slice(0, brought.length) });
      else text.truncate(state.canGoBack ? from : 0);
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
  follow(text: Text): TextSaver {
    const { store } = this;
    const { tokenizer } = this.#options;
    const describe = (tokens: readonly number[]): string => tokenizer.decode(tokens);
    return new TextSaver({ store, text, describe, cache: this });
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
    return { length, bring: (from) => copyLive(other, text, length, from) };
  }

  /** What the store has of it: of a state that cannot go back only up to where one was saved. */
  #disk(text: Text, wanted: readonly number[], match: Match, signal: AbortSignal): Source {
    const { index } = this.store;
    const [saved] = text.state.canGoBack ? [] : index.states(wanted, match, wanted.length);
    const length = text.state.canGoBack ? match.length : saved === undefined ? 0 : endOf(saved);
    const bring = async (from: number): Promise<Brought> => {
      const reached = await this.#readRows(text.state, match, { from, length, signal });
      const whole = reached === length;
      if (!text.state.canGoBack && !whole) return { length: 0, fixed: noBytes, drafters: {} };
      const useful = ({ header }: Entry): boolean =>
        header.parts.some(({ name }) => text.openDrafters.some((drafter) => drafter.name === name));
      const state = saved ?? index.stateFrom(wanted, match, reached, useful);
      const parts = state === undefined ? new Map() : await this.#readState(text, state);
      const { '': fixed = noBytes, ...drafters } = Object.fromEntries(parts);
      const known = text.state.canGoBack || parts.has('');
      return { length: known ? reached : 0, fixed: saved ? fixed : noBytes, drafters };
    };
    return { length, bring };
  }

  /** Reads the rows of [from, length); the position up to which they came. */
  async #readRows(
    state: SequenceState,
    { blocks }: Match,
    { from, length, signal }: { from: number; length: number; signal: AbortSignal },
  ): Promise<number> {
    let reached = from;
    for (const entry of blocks) {
      const { start, parts } = entry.header;
      const end = Math.min(endOf(entry), length);
      if (end <= from) continue;
      if (start >= length || signal.aborted) break;
      const first = Math.max(start, from) / state.blockLength;
      const units: number[] = [];
      for (let unit = first; unit * state.blockLength < end; unit++) units.push(unit);
      const partOf = (unit: number): number => unit - start / state.blockLength;
      // Where the context ends, blocks are shorter.
      const fitting = units.filter((unit) => parts[partOf(unit)]?.bytes === state.blockBytes(unit));
      const filled = await this.store.read(
        entry,
        fitting.map((unit) => rowTarget(state, unit, partOf(unit))),
      );
      reached = Math.min(end, (first + filled) * state.blockLength);
      if (filled < units.length) break;
    }
    return reached;
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
const nowhere: Source = {
  length: 0,
  bring: async () => ({ length: 0, fixed: noBytes, drafters: {} }),
};

function rowTarget(state: SequenceState, unit: number, part: number): ReadTarget {
  const memory = state.blockMemory(unit);
  if (memory !== undefined) return { part, into: memory };
  const bytes = new Uint8Array(state.blockBytes(unit));
  return { part, into: [bytes], done: () => state.writeBlock(unit, bytes) };
}

/** Copies rows of another text in memory, which may go on meanwhile but not back. */
async function copyLive(from: Text, to: Text, length: number, start: number): Promise<Brought> {
  const { blockLength } = to.state;
  const { cuts } = from;
  const fixed = from.state.readFixed(length);
  const drafters = from.saveDrafters();
  let bytes = 0;
  for (let unit = start / blockLength; unit * blockLength < length; unit++) {
    if (from.cuts !== cuts || from.state.pending !== undefined) {
      const reached = to.state.canGoBack ? Math.max(start, unit * blockLength) : 0;
      return { length: reached, fixed, drafters: {} };
    }
    const block = new Uint8Array(to.state.blockBytes(unit));
    from.state.readBlock(unit, block);
    to.state.writeBlock(unit, block);
    bytes += block.byteLength;
    if (bytes < pieceBytes) continue;
    bytes = 0;
    await nextTurn();
  }
  return { length, fixed, drafters };
}
