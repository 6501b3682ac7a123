/**
 * Keys on their way from the terminal to the line editor. While an answer streams, the gate is
 * closed: what is typed waits, unseen, and Ctrl-C stops the answer instead of reaching the editor.
 */
import { PassThrough } from 'node:stream';

const ctrlC = 0x03;

/** What the gate needs of a terminal; `process.stdin` has it. */
export type KeySource = NodeJS.ReadableStream & { setRawMode?(raw: boolean): unknown };

export class KeyGate extends PassThrough {
  /** The line editor asks for it. */
  readonly isTTY = true;
  readonly #source: KeySource;
  #held: Buffer[] = [];
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
    for (const keys of held) this.write(keys);
  }

  /** Lets go of the terminal. */
  release(): void {
    this.#source.off('data', this.#take);
    this.#source.off('end', this.#finish);
    this.#source.pause();
  }

  readonly #take = (chunk: Buffer | string): void => {
    const keys = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (this.#onInterrupt === undefined) {
      this.write(keys);
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
