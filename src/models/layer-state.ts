/**
 * What a layer keeps of a sequence between passes, as its model declares it. The memory that holds
 * it, and how it is truncated, forked and saved, is the business of `cache/`.
 */
import type { RowShape } from '../ggml/cache-rows.js';
import type { RecurrentShape } from '../ggml/recurrent-shape.js';

/** A tensor of a layer's state that does not grow with the sequence. F32. */
export interface StateTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

export type LayerState =
  /** Keys and values of every position; `window`: the layer looks back that far only. */
  | ({ readonly kind: 'rows'; readonly window?: number | undefined } & RowShape)
  /** A convolution's tail, a delta-net's matrix: what was seen, folded up; it cannot go back. */
  | ({ readonly kind: 'recurrent' } & RecurrentShape)
  /** A row for every `ratio` positions, and what the next row is being made of. */
  | {
      readonly kind: 'compressed';
      readonly rows: readonly { readonly ratio: number; readonly width: number }[];
      readonly frontier: readonly StateTensor[];
    }
  /** Reads another layer's keys and values and keeps none. */
  | { readonly kind: 'shared'; readonly layer: number }
  | { readonly kind: 'none' };

/** The keys and values that layers keep of every position: what the type of a cache is chosen by. */
export function rowShapes(states: readonly LayerState[]): RowShape[] {
  return states.flatMap((state) => (state.kind === 'rows' ? [state] : []));
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
    if (state.kind !== 'rows') continue;
    const { window } = state;
    if (window === undefined) whole.push(state);
    else windowed.push({ ...state, window });
  }
  return { whole, windowed };
}

/** What layers keep that fold what they have seen. */
export function recurrentShapes(states: readonly LayerState[]): RecurrentShape[] {
  return states.flatMap((state) => (state.kind === 'recurrent' ? [state] : []));
}
