/**
 * The one protocol that every kind of per-sequence state follows: attention rows, and later sliding
 * windows, recurrent state, compressed rows and what a drafter keeps. The engine moves sequences
 * around through it and never asks what kind it holds.
 */
export interface SequenceState {
  /** Tokens that the state has seen; the next one gets this position. */
  readonly length: number;
  /** Memory held, in bytes. */
  readonly bytes: number;
  /** Makes room for `count` more tokens. @throws {PacelineError} `context-overflow`, `memory`. */
  reserve(count: number): void;
  /** Counts `count` tokens, whose rows a pass has just written, as seen. */
  append(count: number): void;
  /**
   * Forgets every token at position `length` and after. Returns false, and changes nothing, when
   * this kind of state can't go back that far; the caller then starts over.
   */
  truncate(length: number): boolean;
  /** The state as bytes that `restore` of a fresh state of the same model takes back. */
  snapshot(): Uint8Array;
  /** @throws {PacelineError} `broken-file` when the bytes are of another model or damaged. */
  restore(bytes: Uint8Array): void;
  /** An independent copy. */
  fork(): SequenceState;
  dispose(): void;
}
