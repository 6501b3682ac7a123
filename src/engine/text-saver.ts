/**
 * Saves one text while it grows: whole blocks as soon as their rows are committed, the rest and what
 * does not grow when the text rests. Copies are made between passes, so that rows cannot change; they
 * are written in the background. When too much waits, the text is asked again later.
 */

import { partNames } from '../cache/store/block-file.js';
import { slice } from '../cache/store/index.js';
import { blockName } from '../cache/store/names.js';
import type { NewBlock, PrefixStore } from '../cache/store/store.js';
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
 * block it is saved for the time being, so that a killed process loses no more than that.
 */
const stateEvery = 4;
/** So far before a prompt's end, texts may come back to every position (the question on a long text). */
const exactTokens = 1024;
/** Slices of fewer rows say little about what a token takes. */
const leastMeasured = 32;

export class TextSaver {
  readonly #options: TextSaverOptions;
  /** Names of the whole blocks so far. */
  readonly #names: string[];
  /** Whole blocks that need not be saved any more. */
  #saved = 0;
  /** The name of the last state that goes when another one is there. */
  #passing: string | undefined;
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
    if (passed(this.#snapshotEvery)) this.boundary();
    else if (passed(store.blockTokens)) this.#saveFixed({ passing: true });
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
    return !this.#ended || (this.#saveWindow() && this.#saveRest() && this.#saveState());
  }

  /** The window before the end, of which whole blocks may have been saved without. */
  #saveWindow(): boolean {
    const { store, text } = this.#options;
    const { state } = text;
    if (!state.rowKinds.includes('window')) return true;
    const size = store.blockTokens;
    const first = Math.floor(state.neededFrom('window', state.length) / size) * size;
    for (let start = first; start + size <= state.length; start += size) {
      if (!store.put(this.#rows(start, start + size))) return false;
    }
    return true;
  }

  #saveBlocks(): boolean {
    const { store, text } = this.#options;
    const size = store.blockTokens;
    while ((this.#saved + 1) * size <= text.tokens.length) {
      const start = this.#saved * size;
      const block = this.#rows(start, start + size);
      if (!store.put(block)) return false;
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
    if (start >= length || store.index.find(text.tokens).length >= length) return true;
    return store.put(this.#rows(start, length));
  }

  #rows(start: number, end: number): NewBlock {
    const { text, cache } = this.#options;
    const { state } = text;
    const units: number[] = [];
    for (let unit = start / state.blockLength; unit * state.blockLength < end; unit++) {
      units.push(unit);
    }
    const kinds = state.rowKinds.filter((kind) => kind === 'whole' || this.#windowOf(start, end));
    const parts = kinds.flatMap((kind) =>
      units.map((unit) => ({ kind, unit, rows: end - unit * state.blockLength })),
    );
    return {
      kind: 'rows',
      ...this.#place(start, end),
      costMs: cache.msPerToken * (end - start),
      parts: parts.map(({ kind, unit, rows }) => ({
        name: partNames[kind],
        bytes: state.blockBytes(kind, unit, rows),
      })),
      fill: (targets) => {
        for (const [at, { kind, unit, rows }] of parts.entries()) {
          state.readBlock(kind, unit, targets[at] as Uint8Array, rows);
        }
      },
    };
  }

  /** Whether rows of windows are there, and so near before a likely end that texts come back to them. */
  #windowOf(start: number, end: number): boolean {
    const { text, boundaries } = this.#options;
    const { state } = text;
    if (!state.holds('window', start, end)) return false;
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
    const replaces = this.#passing;
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
    if (taken) this.#passing = passing ? blockName(place.parent, place.tokens) : undefined;
    return taken;
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
