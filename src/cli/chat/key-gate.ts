/**
 * Keys on their way from the terminal to the line editor. While an answer streams, the gate is
 * closed: what is typed waits, unseen, and Ctrl-C stops the answer instead of reaching the editor.
 * Pasted text comes through as text, never as keys.
 */
import { PassThrough } from 'node:stream';
import { Pastes } from './pastes.js';

const ctrlC = 0x03;
/** Longest wait for the rest of a paste's mark: what comes later is a key. */
const markMs = 50;

/** What the gate needs of a terminal; `process.stdin` has it. */
export type KeySource = NodeJS.ReadableStream & { setRawMode?(raw: boolean): unknown };

export class KeyGate extends PassThrough {
  /** The line editor asks for it. */
  readonly isTTY = true;
  readonly pastes = new Pastes();
  readonly #source: KeySource;
  #held: Buffer[] = [];
  #patience: NodeJS.Timeout | undefined;
  #onInterrupt: (() => void) | undefined;

  constructor(source: KeySource) {
    super();
    this.#source = source;
    source.on('data', this.#take);
    source.on('end', this.#finish);
  }

  /** Passed on, so that the editor can switch the terminal. */
  setRawMode(raw: boolean): this {
    this.#source.setRawMode?.(raw);
    return this;
  }

  /** Holds keys back from now on; `onInterrupt` is called for each Ctrl-C. */
  close(onInterrupt: () => void): void {
    this.#onInterrupt = onInterrupt;
  }

  /** Lets the keys that were held back, and all later ones, through. */
  open(): void {
    this.#onInterrupt = undefined;
    const held = this.#held;
    this.#held = [];
    for (const keys of held) this.#pass(keys);
  }

  /** Lets go of the terminal. */
  release(): void {
    this.#source.off('data', this.#take);
    this.#source.off('end', this.#finish);
    clearTimeout(this.#patience);
    this.#source.pause();
  }

  #pass(keys: Buffer): void {
    clearTimeout(this.#patience);
    const typed = this.pastes.read(keys);
    if (typed.length > 0) this.write(typed);
    this.#patience = setTimeout(() => {
      const rest = this.pastes.flush();
      if (rest.length > 0 && !this.writableEnded) this.write(rest);
    }, markMs).unref();
  }

  readonly #take = (chunk: Buffer | string): void => {
    const keys = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (this.#onInterrupt === undefined) {
      this.#pass(keys);
      return;
    }
    const last = keys.lastIndexOf(ctrlC);
    if (last === -1) {
      this.#held.push(keys);
      return;
    }
    // Ctrl-C also takes back what was typed before it.
    this.#held = keys.length > last + 1 ? [keys.subarray(last + 1)] : [];
    this.#onInterrupt();
  };

  readonly #finish = (): void => {
    this.end();
  };
}
