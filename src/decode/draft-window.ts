/**
 * How far drafters that read the target's hidden rows look back, and what that takes of memory. A
 * guess depends on the last `window` positions and on nothing else, so the memory of a drafter is
 * bounded by the window, whatever the context is. Knows no draft model.
 */
import { cacheBytes, type RowShape } from '../ggml/cache-rows.js';
import { GgmlType } from '../ggml/types.js';

/** Positions that drafters look back on unless told otherwise: more would slow down the first token. */
export const usualWindow = 512;

/**
 * Hidden states of a prompt that a multi-token prediction block reads, its last ones: each costs the
 * prefill most of a row of the target's last layer. What is generated is read as a whole.
 */
export const mtpPromptRows = 48;

/** Most guesses of a multi-token prediction block at once. */
export const mostMtpDrafts = 8;

/** Element type of drafters' caches. */
export const draftCacheType = GgmlType.F16;

export interface DraftRows {
  /** Positions of the target's context. */
  readonly contextLength: number;
  /** Positions that a guess looks back on. */
  readonly window: number;
  /** Rows of a guess, which are in the cache while it is made. */
  readonly guesses: number;
  /** Floats of a hidden row. */
  readonly width: number;
  /** What the cache keeps of a position, layer by layer. */
  readonly layout: readonly RowShape[];
}

/** Positions that the cache of a drafter has room for. */
export function draftCacheLength(
  rows: Pick<DraftRows, 'contextLength' | 'guesses' | 'window'>,
): number {
  return Math.min(rows.contextLength, 2 * rows.window) + rows.guesses;
}

/** Hidden rows that a drafter keeps. */
export function hiddenRowCount(rows: Pick<DraftRows, 'contextLength' | 'window'>): number {
  return Math.min(rows.contextLength, rows.window);
}

/** Bytes that a drafter holds for one sequence. */
export function draftStateBytes(rows: DraftRows): number {
  const cached = cacheBytes(draftCacheType, rows.layout, draftCacheLength(rows));
  return 4 * rows.width * hiddenRowCount(rows) + cached;
}
