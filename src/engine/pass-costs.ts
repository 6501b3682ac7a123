/**
 * What passes cost, learnt from every one: of texts that decode by their rows, of prefill slices by
 * the row. Says how long a slice may be so that nobody waits too long beside it.
 */
import type { CostTable } from '../decode/costs.js';

/** A text that decodes waits so many plain steps at most for a pass that carries a slice. */
const longestWaitSteps = 4;
/** A slice beside which nobody decodes takes about so long: a text that comes waits for it. */
const longestSliceMs = 500;
/** Rows of a slice while nothing is known. */
const firstSlice = 64;
/** A slice has so many rows at least, so that every prefill goes on. */
const shortestSlice = 16;
/** Weight of a new measurement of the cost of a row. */
const learningRate = 0.3;

export class PassCosts {
  /** Milliseconds of passes of texts that decode, by rows. */
  readonly decode: CostTable;
  #sliceRowMs: number | undefined;

  constructor(decode: CostTable) {
    this.decode = decode;
  }

  /** Milliseconds of a pass that carried slices, as far as it was for those that decode. */
  decodeMs(decodeRows: number, sliceRows: number, ms: number): number {
    if (sliceRows === 0) return ms;
    const share = (ms * decodeRows) / (decodeRows + sliceRows);
    return Math.min(ms, this.decode.estimate(decodeRows, 0.1) ?? share);
  }

  /** Milliseconds of one row of a slice; undefined while nothing is known. */
  get sliceRowMs(): number | undefined {
    return this.#sliceRowMs;
  }

  /** Takes one measurement. */
  record(decodeRows: number, sliceRows: number, ms: number): void {
    if (sliceRows === 0) {
      this.decode.record(decodeRows, ms);
      return;
    }
    // Short slices cost by the pass, not by the row.
    if (sliceRows < shortestSlice) return;
    const own = ms - (decodeRows > 0 ? this.decodeMs(decodeRows, sliceRows, ms) : 0);
    const measured = Math.max(own, 0) / sliceRows;
    const known = this.#sliceRowMs ?? measured;
    // An interrupted pass must not make all slices short.
    this.#sliceRowMs = known + learningRate * (Math.min(measured, 2 * known) - known);
  }

  /** Rows that slices of prompts may have together beside so many rows of texts that decode. */
  sliceRoom(decodeRows: number): number {
    const row = this.#sliceRowMs;
    if (decodeRows === 0) {
      return row === undefined || row === 0
        ? Number.POSITIVE_INFINITY
        : Math.max(shortestSlice, Math.floor(longestSliceMs / row));
    }
    const plain = this.decode.estimate(1, 1);
    const own = this.decode.estimate(decodeRows, 0.1);
    if (row === undefined || row === 0 || plain === undefined || own === undefined) {
      return firstSlice;
    }
    return Math.max(shortestSlice, Math.floor((longestWaitSteps * plain - own) / row));
  }
}
