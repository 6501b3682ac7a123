/**
 * The one protocol that every kind of per-sequence state follows: attention rows, sliding windows,
 * recurrent state, compressed rows. The engine moves texts around through it and never asks what
 * kind it holds.
 *
 * The course of a pass: `begin` makes room for its rows, the graph writes them, `commit` says how
 * many of them belong to the text. Whatever cannot be undone is kept apart until then.
 */
import type { SequenceTensors } from '../models/model.js';

/** Rows of every position, or those of layers with a window, which are given up behind it. */
export type RowKind = 'whole' | 'window';

export interface SequenceState extends SequenceTensors, Disposable {
  /** Tokens that the state has seen; the next one gets this position. */
  readonly length: number;
  /** Positions that fit. */
  readonly capacity: number;
  /** Memory held, in bytes. */
  readonly bytes: number;
  /** Whether every length up to the present one can be gone back to. */
  readonly canGoBack: boolean;
  /** Whether a part of it does not grow, so that only the present length can become a checkpoint. */
  readonly hasFixed: boolean;
  /**
   * Most rows of a pass of which `commit` may keep some and undo others; of a longer pass it keeps
   * all or none.
   */
  readonly mostProvisional: number;
  /** The rows of the next pass. @throws {PacelineError} `context-overflow`, `memory`. */
  begin(rows: number): void;
  /**
   * Keeps the first `kept` rows of the pass and undoes the others; 0 after one that failed.
   * @throws {PacelineError} `internal` without a pass, or for more rows than it had.
   */
  commit(kept: number): void;
  /** The largest length up to this one that `truncate` takes: itself, a checkpoint, or 0. */
  reachable(length: number): number;
  /**
   * Forgets every token at position `length` and after.
   * @throws {PacelineError} `internal` where `reachable` says another length.
   */
  truncate(length: number): void;
  /**
   * Makes a length one that can be gone back to, as long as memory allows it and others are not of more
   * use. Free where every length is.
   * @param length what `reachable` says yes to, and the present one where something does not grow.
   */
  checkpoint(length: number): void;
  /**
   * An independent copy. It is made away from the event loop: until `pending` of both has settled,
   * neither may take part in a pass or be read. @throws {PacelineError} `memory`.
   */
  fork(): SequenceState;
  /** What moves this state's bytes away from the event loop: a copy of or for it, a restore. */
  readonly pending: Promise<void> | undefined;
  /** Makes `work` part of `pending`: the memory stays until it has settled. */
  hold(work: Promise<void>): void;
  /** Gives memory that no token of the text needs back to the system, as far as that can be done. */
  trim(): void;
  /** Frees the memory, at once or when no copy needs it any more. */
  dispose(): void;

  /** Equal means interchangeable: weights, layer states, element types, what else changes bytes. */
  readonly fingerprint: string;
  /** Positions of a block, in which rows are saved: a multiple of 64. */
  readonly blockLength: number;
  /** The kinds of rows of a block, which are saved each by themselves. */
  readonly rowKinds: readonly RowKind[];
  /**
   * Bytes of the first `rows` positions of block `index`, all of them unless given; a block is shorter
   * where the capacity ends.
   */
  blockBytes(kind: RowKind, index: number, rows?: number): number;
  /** Whether the rows of the positions [from, end) are still there. */
  holds(kind: RowKind, from: number, end: number): boolean;
  /** Copies so much of a block. */
  readBlock(kind: RowKind, index: number, into: Uint8Array, rows?: number): void;
  /** Takes it back; its positions count once `resume` says so. */
  writeBlock(kind: RowKind, index: number, from: Uint8Array, rows?: number): void;
  /**
   * The memory of that, in the order of `readBlock`, to read files straight into; undefined where
   * it is not the host's. Valid while `hold` keeps the state.
   */
  blockMemory(kind: RowKind, index: number, rows?: number): readonly Uint8Array[] | undefined;
  /**
   * Copies the rows of the positions [from, end) of a state of the same layers, away from the event loop.
   * That one may go on meanwhile, and be disposed of; whether it has kept these rows all the time is for
   * the caller to see. They count once `resume` says so.
   * @param from where a block begins.
   */
  copyRows(kind: RowKind, other: SequenceState, from: number, end: number): Promise<void>;
  /** The first position whose rows have to be there for going on at `length`. */
  neededFrom(kind: RowKind, length: number): number;
  /**
   * What does not grow, as it was at `length`, which is the present one or a checkpoint; empty for
   * rows. @throws {PacelineError} `internal` for another length.
   */
  readFixed(length: number): Uint8Array;
  /**
   * Goes on at `length`, whose blocks are there from `neededFrom` on; all checkpoints are forgotten.
   * @throws {PacelineError} `broken-file` when `fixed` does not fit, `context-overflow`.
   */
  resume(length: number, fixed: Uint8Array): void;
}
