/**
 * Saves one text while it grows: whole blocks as soon as their rows are committed, the rest and what
 * does not grow when the text rests. Copies are made between passes, so that rows cannot change; they
 * are written in the background. When too much waits, the text is asked again later.
 */

import type { RowKind } from '../cache/state.js';
import { blockOfRows } from '../cache/store/block-file.js';
import { slice } from '../cache/store/index.js';
import { blockName } from '../cache/store/names.js';
import type { BlockKey, NewBlock, PrefixStore } from '../cache/store/store.js';
import type { Boundaries } from './boundaries.js';
import type { Text } from './text.js';

/** Where what prefills take is measured, and where savers wait for room. */
export interface SaverHome {
  msPerToken: number;
  wait(saver: TextSaver): void;
}

export interface TextSaverOptions {
  readonly store: PrefixStore;
  readonly text: Text;
  readonly boundaries: Boundaries;
  readonly describe: (tokens: readonly number[]) => string;
  readonly cache: SaverHome;
}

/** Tokens of a block that are shown to people. */
const shownTokens = 40;
/**
 * State that cannot go back is saved after so many blocks, besides where prompts and texts end. After each
 * block it is saved for the time being, and so is the window there, so that a killed process loses no more
 * than that.
 */
const stateEvery = 4;
/**
 * Bytes of states that are saved for the time being, for each token that they are apart at least: 32 MiB a
 * block of 256. Larger ones are saved after several blocks.
 */
const passingBytesPerToken = 128 << 10;
/** So far before a prompt's end, texts may come back to every position (the question on a long text). */
const exactTokens = 1024;
/** Slices of fewer rows say little about what a token takes. */
const leastMeasured = 32;

/** Rows of a window that are saved for the time being. */
interface PassingWindow extends BlockKey {
  readonly end: number;
  readonly whole: boolean;
}

export class TextSaver {
  readonly #options: TextSaverOptions;
  /** Names of the whole blocks so far. */
  readonly #names: string[];
  /** Whole blocks that need not be saved any more. */
  #saved = 0;
  /** The last state that goes when another one is there. */
  #passing: BlockKey | undefined;
  /** Windows that go when what has them behind it is there. */
  #passingWindows: readonly PassingWindow[] = [];
  /** Bytes of the last state, and where the text had it. */
  #fixed = { bytes: 0, length: 0 };
  #cuts: number;
  #time = performance.now();
  #ended = false;

  constructor(options: TextSaverOptions) {
    this.#options = options;
    const { store, text } = options;
    this.#cuts = text.cuts;
    this.#names = store.index.namesOf(text.tokens);
  }

  /** Rows have been committed: `rows` of a prompt, or of a step. */
  committed(rows: number, { prefill }: { readonly prefill: boolean }): void {
    const now = performance.now();
    if (prefill && rows >= leastMeasured) {
      const { cache } = this.#options;
      const measured = (now - this.#time) / rows;
      cache.msPerToken += (measured - cache.msPerToken) * (cache.msPerToken === 1 ? 1 : 0.3);
    }
    this.#time = now;
    this.#saveBlocks();
    const { text, store } = this.#options;
    if (!text.state.hasFixed) return;
    const { length } = text.tokens;
    const passed = (every: number): boolean =>
      Math.floor(length / every) > Math.floor((length - rows) / every);
    const apart = this.#fixed.bytes / passingBytesPerToken;
    if (passed(this.#snapshotEvery)) this.boundary();
    else if (passed(store.blockTokens) && length - this.#fixed.length >= apart) {
      this.#saveFixed({ passing: true });
    }
  }

  /** A place to which later texts are likely to come back: saves what does not grow. */
  boundary(): void {
    if (this.#options.text.state.hasFixed) this.#saveFixed();
    else this.#saveState();
  }

  /** A state that cannot go back is of use only with all rows before it. */
  #saveFixed(options: { readonly passing?: boolean } = {}): void {
    if (this.#saveBlocks() && this.#saveRest()) this.#saveState(options);
  }

  /** The text rests. */
  ended(): void {
    this.#ended = true;
    if (!this.save()) this.#options.cache.wait(this);
  }

  /** Saves what is left of a text that rests; false when there is no room yet. */
  save(): boolean {
    const { text, store } = this.#options;
    // A text that went back has a saver of its own.
    if (text.cuts !== this.#cuts || text.state.pending !== undefined || !store.saves) return true;
    if (!this.#saveBlocks()) return false;
    if (!this.#ended) return true;
    if (!this.#saveWindow() || !this.#saveRest() || !this.#saveState()) return false;
    store.forget(this.#outdated(text.tokens.length));
    return true;
  }

  /** The window before the end, whose whole blocks may have been saved for the time being. */
  #saveWindow(): boolean {
    const { store, text } = this.#options;
    const { state } = text;
    if (!state.rowKinds.includes('window')) return true;
    const size = store.blockTokens;
    const first = Math.floor(state.neededFrom('window', state.length) / size) * size;
    for (let start = first; start + size <= state.length; start += size) {
      if (!this.#putWindow(start, start + size)) return false;
    }
    return true;
  }

  #saveBlocks(): boolean {
    const { store, text } = this.#options;
    const size = store.blockTokens;
    while ((this.#saved + 1) * size <= text.tokens.length) {
      const start = this.#saved * size;
      const block = this.#rows('whole', start, start + size);
      if (!store.put(block) || !this.#putWindow(start, start + size)) return false;
      this.#names[this.#saved] ??= blockName(block.parent, block.tokens);
      this.#saved++;
    }
    return true;
  }

  /** The last, incomplete block, unless a longer one has its rows. */
  #saveRest(): boolean {
    const { store, text } = this.#options;
    const { length } = text.tokens;
    const start = this.#saved * store.blockTokens;
    if (start >= length) return true;
    const match = store.index.find(text.tokens);
    if (match.length < length && !store.put(this.#rows('whole', start, length))) return false;
    if (!text.state.rowKinds.includes('window')) return true;
    const window = store.index.windows(text.tokens, match).at(-1);
    if (window !== undefined && window.end >= length && window.entry.passing !== true) return true;
    return this.#putWindow(start, length);
  }

  /**
   * Saves rows of windows, if they are there: for good where texts are likely to come back to them, else
   * until what goes on behind them has a window of its own.
   */
  #putWindow(start: number, end: number): boolean {
    const { store, text } = this.#options;
    const { state } = text;
    if (!state.rowKinds.includes('window') || !state.holds('window', start, end)) return true;
    const passing = !this.#windowStays(start, end);
    const block = this.#rows('window', start, end);
    // With what cannot go back, it is there when the state is.
    const replaces = state.hasFixed ? [] : this.#outdated(end);
    if (!store.put({ ...block, passing, replaces })) return false;
    const name = blockName(block.parent, block.tokens);
    const others = this.#passingWindows.filter((old) => old.name !== name);
    const whole = end - start === store.blockTokens;
    const own: PassingWindow[] = passing ? [{ kind: 'window', name, end, whole }] : [];
    this.#passingWindows = [...others.filter((old) => !replaces.includes(old)), ...own];
    return true;
  }

  /** The windows that nobody needs any more who goes on at `length`. */
  #outdated(length: number): readonly PassingWindow[] {
    const needed = this.#options.text.state.neededFrom('window', length);
    return this.#passingWindows.filter(
      ({ end, whole }) => end <= needed || (!whole && end < length),
    );
  }

  /** The block of rows of a kind, of the positions [start, end). */
  #rows(kind: RowKind, start: number, end: number): NewBlock {
    const { text, cache } = this.#options;
    const { state } = text;
    const parts: { readonly unit: number; readonly rows: number }[] = [];
    for (let unit = start / state.blockLength; unit * state.blockLength < end; unit++) {
      parts.push({ unit, rows: end - unit * state.blockLength });
    }
    return {
      kind: blockOfRows[kind],
      ...this.#place(start, end),
      costMs: cache.msPerToken * (end - start),
      parts: parts.map(({ unit, rows }) => ({
        name: '',
        bytes: state.blockBytes(kind, unit, rows),
      })),
      fill: (targets) => {
        for (const [at, { unit, rows }] of parts.entries()) {
          state.readBlock(kind, unit, targets[at] as Uint8Array, rows);
        }
      },
    };
  }

  /** Whether rows of windows are so near before a likely end that texts come back to them. */
  #windowStays(start: number, end: number): boolean {
    const { text, boundaries } = this.#options;
    const { state } = text;
    if (this.#ended) return true;
    const exactFrom = Math.max(0, boundaries.promptLength - exactTokens);
    if (end > state.neededFrom('window', exactFrom)) return true;
    for (let at = boundaries.next(start); at <= exactFrom; at = boundaries.next(at)) {
      if (state.neededFrom('window', at) >= end) return false;
      if (boundaries.isEnd(at) || at % this.#snapshotEvery === 0) return true;
    }
    return false;
  }

  get #snapshotEvery(): number {
    return stateEvery * this.#options.store.blockTokens;
  }

  /** What does not grow, and what drafters have seen, as they are now. */
  #saveState({ passing = false }: { readonly passing?: boolean } = {}): boolean {
    const { store, text, cache } = this.#options;
    const { length } = text.tokens;
    if (length === 0) return true;
    const start = Math.floor((length - 1) / store.blockTokens) * store.blockTokens;
    const place = this.#place(start, length);
    const states: [string, Uint8Array][] = Object.entries(text.saveDrafters());
    if (text.state.hasFixed) states.unshift(['', text.state.readFixed(length)]);
    if (states.length === 0) return true;
    const outdated = text.state.hasFixed ? this.#outdated(length) : [];
    const replaces = [...(this.#passing ? [this.#passing] : []), ...outdated];
    const taken = store.put({
      kind: 'state',
      ...place,
      passing,
      replaces,
      // What does not grow saves all that came before it.
      costMs: !text.state.hasFixed ? 0 : cache.msPerToken * Math.min(length, 4096),
      parts: states.map(([name, bytes]) => ({ name, bytes: bytes.byteLength })),
      fill: (targets) => {
        for (const [at, into] of targets.entries()) into.set(states[at]?.[1] ?? []);
      },
    });
    if (!taken) return false;
    const name = blockName(place.parent, place.tokens);
    this.#passing = passing ? { kind: 'state', name } : undefined;
    this.#passingWindows = this.#passingWindows.filter((old) => !outdated.includes(old));
    if (text.state.hasFixed) this.#fixed = { bytes: states[0]?.[1].byteLength ?? 0, length };
    return true;
  }

  #place(start: number, end: number) {
    const { store, text, describe } = this.#options;
    const { tokens } = text;
    const size = store.blockTokens;
    while (this.#names.length < start / size) {
      const from = this.#names.length * size;
      const parent = this.#names.at(-1) ?? store.index.root;
      this.#names.push(blockName(parent, slice(tokens, from, from + size)));
    }
    return {
      parent: start === 0 ? store.index.root : (this.#names[start / size - 1] as string),
      start,
      tokens: slice(tokens, start, end),
      text: describe(tokens.slice(start, Math.min(end, start + shownTokens))),
    };
  }
}
