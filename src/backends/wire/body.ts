/**
 * The body of an answer in pieces, all that are there at once: a reader that is slow stops the sender,
 * a sender that is silent is noticed, and a connection whose body has ended can serve the next request.
 */
import type { IncomingMessage } from 'node:http';
import { PacelineError } from '../../base/errors.js';

/** Bytes that may wait for their reader. */
const mostWaiting = 2 ** 20;
/** After the last word that matters, the connection may still say goodbye for so long. */
const farewellMs = 1000;

export class BodyReader {
  readonly #body: IncomingMessage;
  readonly #broken: (what: string, cause?: unknown) => PacelineError;
  #pieces: Buffer[] = [];
  #waiting = 0;
  #ended = false;
  #error: PacelineError | undefined;
  #wake: (() => void) | undefined;
  /** When the last piece came, by `performance.now()`. */
  lastAt = performance.now();

  constructor(body: IncomingMessage, broken: (what: string, cause?: unknown) => PacelineError) {
    this.#body = body;
    this.#broken = broken;
    body.on('data', (piece: Buffer) => {
      this.lastAt = performance.now();
      this.#pieces.push(piece);
      this.#waiting += piece.length;
      if (this.#waiting > mostWaiting) body.pause();
      this.#wake?.();
    });
    body.once('end', () => {
      this.#ended = true;
      this.#wake?.();
    });
    body.on('error', (error) => this.fail(error));
    body.once('close', () => {
      if (!this.#ended) this.fail();
    });
  }

  /** Ends the reading with an error, and the connection with it. */
  fail(error?: unknown): void {
    this.#error ??= PacelineError.is(error) ? error : this.#broken('the connection broke', error);
    this.#body.destroy();
    this.#wake?.();
  }

  /** The pieces that have come, at least one; undefined at the end. @throws {PacelineError} `network` */
  async next(): Promise<readonly Buffer[] | undefined> {
    for (;;) {
      if (this.#pieces.length > 0) {
        const pieces = this.#pieces;
        this.#pieces = [];
        this.#waiting = 0;
        if (this.#body.isPaused()) this.#body.resume();
        return pieces;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  /** Nothing more is wanted. What is whole but for its last bytes keeps its connection. */
  leave(options: { readonly complete: boolean }): void {
    this.#pieces = [];
    this.#wake = undefined;
    if (this.#ended || this.#error !== undefined) return;
    if (!options.complete) {
      this.#body.destroy();
      return;
    }
    this.#body.removeAllListeners('data');
    this.#body.resume();
    const timer = setTimeout(() => this.#body.destroy(), farewellMs);
    timer.unref();
    this.#body.once('close', () => clearTimeout(timer));
  }
}
