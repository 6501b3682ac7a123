/**
 * The drafter without a model: what followed the longest suffix of the text when it occurred last
 * will follow again. Costs microseconds; fast where a text repeats its input (editing, summarising,
 * code). Prompt and output are one text to it.
 *
 * Guarantees bounded memory: the oldest half is forgotten when `maxTokens` are held.
 */
import { PacelineError, throwIfAborted } from '../base/errors.js';
import type {
  DraftContext,
  Drafter,
  DrafterNeeds,
  DrafterSource,
  Observation,
  Proposal,
} from './drafter.js';
import { SuffixAutomaton } from './suffix-automaton.js';

export interface NgramOptions {
  /** Shortest suffix whose repetition is worth a guess; default 2. */
  readonly minMatch?: number;
  /** Most guesses at once; default 16. */
  readonly maxDrafts?: number;
  /** Most tokens to remember, about 150 bytes each; default 65,536. */
  readonly maxTokens?: number;
}

const magic = 0x4e475231; // "NGR1"

export class NgramDrafter implements Drafter {
  readonly name = 'ngram';
  readonly needs: DrafterNeeds = {};
  readonly maxDrafts: number;
  readonly #options: NgramOptions;
  readonly #minMatch: number;
  readonly #maxTokens: number;
  #automaton = new SuffixAutomaton();
  /** Position of the automaton's first token. */
  #start = 0;

  constructor(options: NgramOptions = {}) {
    this.#options = options;
    this.#minMatch = Math.max(1, options.minMatch ?? 2);
    this.#maxTokens = Math.max(2, options.maxTokens ?? 65_536);
    this.maxDrafts = Math.max(1, options.maxDrafts ?? 16);
  }

  get length(): number {
    return this.#start + this.#automaton.length;
  }

  get bytes(): number {
    return this.#automaton.bytes;
  }

  observe({ position, tokens }: Observation): void {
    if (position !== this.length) {
      throw new PacelineError(
        'internal',
        `The ngram drafter is at ${this.length}, but was told of position ${position}`,
      );
    }
    for (let i = 0; i < tokens.length; i++) this.#append(tokens[i] as number);
  }

  propose({ chooser, limit, signal }: DraftContext): Proposal {
    throwIfAborted(signal);
    const { tokens } = chooser;
    const automaton = this.#automaton;
    const last = tokens[tokens.length - 1];
    if (last === undefined || limit <= 0 || tokens.length !== this.length + 1) {
      return { tokens: [] };
    }
    // The last token belongs to the text, but is observed only after the target has run it.
    automaton.append(last);
    const match = automaton.matchLength;
    const from = automaton.matchEnd;
    const guesses: number[] = [];
    if (match >= this.#minMatch) {
      const count = Math.min(limit, this.maxDrafts);
      for (let i = 0; i < count; i++) {
        // Past the end of the text the copy goes on with itself: a loop repeats.
        const index = from + i;
        const beyond = index - automaton.length;
        guesses.push(beyond < 0 ? automaton.token(index) : (guesses[beyond] as number));
      }
    }
    automaton.pop();
    const confidence = match / (match + 1);
    return { tokens: guesses, confidence: guesses.map(() => confidence) };
  }

  truncate(length: number): boolean {
    if (length >= this.length) return true;
    if (length < this.#start) {
      this.#automaton = new SuffixAutomaton();
      this.#start = length;
      return true;
    }
    while (this.length > length) this.#automaton.pop();
    return true;
  }

  reset(): void {
    this.#automaton = new SuffixAutomaton();
    this.#start = 0;
  }

  snapshot(): Uint8Array {
    const count = this.#automaton.length;
    const words = new DataView(new ArrayBuffer(12 + 4 * count));
    words.setUint32(0, magic, true);
    words.setUint32(4, this.#start, true);
    words.setUint32(8, count, true);
    for (let i = 0; i < count; i++) words.setInt32(12 + 4 * i, this.#automaton.token(i), true);
    return new Uint8Array(words.buffer);
  }

  restore(bytes: Uint8Array): void {
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const whole = bytes.byteLength >= 12 && words.getUint32(0, true) === magic;
    const count = whole ? words.getUint32(8, true) : 0;
    if (!whole || bytes.byteLength !== 12 + 4 * count) {
      throw new PacelineError('broken-file', 'This is no saved state of the ngram drafter', {
        hint: 'Drop the saved state; it is rebuilt from the text.',
        details: { bytes: bytes.byteLength },
      });
    }
    this.reset();
    this.#start = words.getUint32(4, true);
    for (let i = 0; i < count; i++) this.#append(words.getInt32(12 + 4 * i, true));
  }

  fork(): NgramDrafter {
    const copy = new NgramDrafter(this.#options);
    copy.restore(this.snapshot());
    return copy;
  }

  dispose(): void {
    this.reset();
  }

  #append(token: number): void {
    if (this.#automaton.length >= this.#maxTokens) this.#forgetOldest();
    this.#automaton.append(token);
  }

  #forgetOldest(): void {
    const old = this.#automaton;
    const dropped = old.length - (this.#maxTokens >> 1);
    this.#automaton = new SuffixAutomaton();
    this.#start += dropped;
    for (let i = dropped; i < old.length; i++) this.#automaton.append(old.token(i));
  }
}

/** The n-gram drafter for `DrafterSource` users: nothing is shared between sequences. */
export function ngramSource(options: NgramOptions = {}): DrafterSource {
  const { name, needs, maxDrafts } = new NgramDrafter(options);
  return { name, needs, maxDrafts, open: () => new NgramDrafter(options) };
}
