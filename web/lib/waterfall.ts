/** The scheduler's passes as bars: one lane a text, time to the right. Pure geometry. */

export interface Pass {
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly endedAt: number;
  readonly ms: number;
  readonly parts: readonly {
    readonly text: number;
    readonly kind: 'prefill' | 'decode';
    readonly rows: number;
    readonly kept: number;
  }[];
}

export interface Bar {
  readonly lane: number;
  /** Shares of the window, 0 to 1. */
  readonly from: number;
  readonly to: number;
  readonly kind: 'prefill' | 'decode';
  /** Rows that stayed, of those computed. */
  readonly kept: number;
  readonly rows: number;
}

export interface Waterfall {
  /** The text of each lane, the newest last. */
  readonly lanes: readonly number[];
  readonly bars: readonly Bar[];
}

/** The bars of the last `windowMs` before `now`, for so many lanes at most. */
export function waterfall(
  passes: readonly Pass[],
  {
    now,
    windowMs,
    mostLanes = 12,
  }: { readonly now: number; readonly windowMs: number; readonly mostLanes?: number },
): Waterfall {
  const begin = now - windowMs;
  const shown = passes.filter(({ endedAt }) => endedAt >= begin);
  const texts = [...new Set(shown.flatMap(({ parts }) => parts.map(({ text }) => text)))];
  const lanes = texts.sort((a, b) => a - b).slice(-mostLanes);
  const share = (time: number): number => Math.min(1, Math.max(0, (time - begin) / windowMs));
  const bars = shown.flatMap(({ endedAt, ms, parts }) =>
    parts.flatMap(({ text, kind, rows, kept }) => {
      const lane = lanes.indexOf(text);
      return lane < 0
        ? []
        : [{ lane, from: share(endedAt - ms), to: share(endedAt), kind, kept, rows }];
    }),
  );
  return { lanes, bars };
}

/** What the passes did, in numbers. */
export function passTotals(passes: readonly Pass[]) {
  let [prefill, decode, kept, shared] = [0, 0, 0, 0];
  for (const { parts } of passes) {
    if (parts.length > 1) shared += 1;
    for (const part of parts) {
      if (part.kind === 'prefill') prefill += part.rows;
      else {
        decode += part.rows;
        kept += part.kept;
      }
    }
  }
  return { passes: passes.length, prefill, decode, kept, shared };
}
