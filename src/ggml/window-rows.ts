/**
 * Which rows a layer with a sliding window keeps. They lie where those of all positions would, and
 * the memory of rows that no window reaches any more goes back to the system: a ring that the system's
 * page table turns. So kernels and graphs know nothing of it, a row's result has the same bytes as
 * over all rows, and rows before a checkpoint stay where they are. Pure arithmetic.
 */
import { canGiveBack } from './tensor-memory.js';

/** Kernels read rows from such positions on, those that are masked with them (`kChunk`). */
const readFrom = 128;
/** Positions behind which the window is kept besides, so that a text may go back so far at any time. */
export const spareRows = 256;
/** Memory is given back when it is so many positions' or more. */
export const releasedAtOnce = 256;
/** Rows of the longest usual pass, which are written before any others are given up. */
const longestPass = 512;

/** The first position whose rows are read by what comes after `length` tokens. */
export function windowStart(length: number, window: number): number {
  return Math.floor(Math.max(0, length - window + 1) / readFrom) * readFrom;
}

/** Most positions that checkpoints keep, besides those at the end of a text: two windows at least. */
export function checkpointRows(window: number): number {
  return Math.max(2 * (window + readFrom), 2048);
}

/** Most positions that are kept of a text, on this platform. */
export function keptPositions(window: number | undefined, contextLength: number): number {
  if (window === undefined || !canGiveBack) return contextLength;
  const end = window + readFrom + spareRows + releasedAtOnce + longestPass;
  return Math.min(contextLength, end + checkpointRows(window));
}
