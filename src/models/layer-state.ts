/**
 * What a layer keeps of a sequence between passes, as its model declares it. The memory that holds
 * it, and how it is truncated, forked and saved, is the business of `cache/`.
 */
import type { RowShape } from '../ggml/cache-rows.js';
import type { RecurrentShape } from '../ggml/recurrent-shape.js';

export type LayerState =
  /** Keys and values of every position; `window`: the layer looks back that far only. */
  | ({ readonly kind: 'rows'; readonly window?: number | undefined } & RowShape)
  /** A convolution's tail, a delta-net's matrix: what was seen, folded up; it cannot go back. */
  | ({ readonly kind: 'recurrent' } & RecurrentShape)
  /**
   * Keys and values of a window, rows that stand for a block of `ratio` positions each, and what the next
   * of these are being made of, which cannot go back.
   */
  | ({
      readonly kind: 'compressed';
      readonly window: number;
      readonly ratio: number;
      /** Each a row a block. */
      readonly blocks: readonly RowShape[];
      readonly frontier: RecurrentShape;
    } & RowShape)
  /** Reads another layer's keys and values and keeps none. */
  | { readonly kind: 'shared'; readonly layer: number }
  | { readonly kind: 'none' };

/** The rows that layers keep of positions and of blocks: what the type of a cache is chosen by. */
export function rowShapes(states: readonly LayerState[]): RowShape[] {
  return states.flatMap((state) => {
    if (state.kind === 'compressed') return [state, ...state.blocks];
    return state.kind === 'rows' ? [state] : [];
  });
}

/** Rows of layers that look back on a window only. */
export type WindowedShape = RowShape & { readonly window: number };

/** The keys and values of layers that look back on everything, and of those that do not. */
export function rowsByKind(states: readonly LayerState[]): {
  readonly whole: readonly RowShape[];
  readonly windowed: readonly WindowedShape[];
} {
  const whole: RowShape[] = [];
  const windowed: WindowedShape[] = [];
  for (const state of states) {
    if (state.kind !== 'rows' && state.kind !== 'compressed') continue;
    const { window } = state;
    if (window === undefined) whole.push(state);
    else windowed.push({ ...state, window });
  }
  return { whole, windowed };
}

/** What layers keep that fold what they have seen. */
export function recurrentShapes(states: readonly LayerState[]): RecurrentShape[] {
  return states.flatMap((state) => {
    if (state.kind === 'compressed') return [state.frontier];
    return state.kind === 'recurrent' ? [state] : [];
  });
}

/** Rows of blocks of so many positions. */
export interface BlockRows {
  readonly ratio: number;
  readonly layout: readonly RowShape[];
}

/** The rows of blocks that layers keep, in their order, by the length of a block. */
export function blockRows(states: readonly LayerState[]): BlockRows[] {
  const found = new Map<number, RowShape[]>();
  for (const state of states) {
    if (state.kind !== 'compressed') continue;
    found.set(state.ratio, [...(found.get(state.ratio) ?? []), ...state.blocks]);
  }
  return [...found].map(([ratio, layout]) => ({ ratio, layout }));
}
