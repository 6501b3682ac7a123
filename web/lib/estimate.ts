/**
 * How fast a text would have come without drafts. Measured are the speed with them, and by the server
 * what passes cost by their rows, undisturbed; so the estimate is a ratio of costs, which holds on a
 * busy machine too.
 */

export interface DraftCosts {
  /** Tokens of the text. */
  readonly tokens: number;
  /** Passes that they took. */
  readonly steps: number;
  /** Guesses in these passes. */
  readonly drafted: number;
  /** Milliseconds of a pass by rows. */
  readonly passMs: Readonly<Record<string, number>>;
  /** Milliseconds that guessing took in all, as far as known. */
  readonly draftMs?: number | undefined;
}

/** How many times as fast the text came as without drafts; undefined while too little is known. */
export function draftGain(costs: DraftCosts): number | undefined {
  const { tokens, steps, drafted, passMs, draftMs = 0 } = costs;
  if (steps <= 0 || tokens <= 0) return undefined;
  const plain = costAt(passMs, 1);
  const used = costAt(passMs, 1 + drafted / steps);
  if (plain === undefined || used === undefined || plain <= 0) return undefined;
  // A wider pass is never cheaper: what says so was measured while others had the machine.
  return (tokens * plain) / (steps * Math.max(plain, used) + draftMs);
}

/** The cost at a number of rows, by a straight line between those measured. */
export function costAt(table: Readonly<Record<string, number>>, rows: number): number | undefined {
  const known = Object.entries(table)
    .map(([size, ms]) => ({ size: Number(size), ms }))
    .sort((a, b) => a.size - b.size);
  const above = known.find(({ size }) => size >= rows);
  const below = known.findLast(({ size }) => size <= rows);
  if (below === undefined || above === undefined) return (below ?? above)?.ms;
  if (above.size === below.size) return below.ms;
  return below.ms + ((above.ms - below.ms) * (rows - below.size)) / (above.size - below.size);
}

interface DrafterCosts {
  readonly steps: number;
  readonly drafted: number;
  readonly draft_ms: Readonly<Record<string, number>>;
}

/** Milliseconds that drafters took for a text. */
export function draftTime(drafters: readonly DrafterCosts[]): number {
  return drafters.reduce((sum, { steps, drafted, draft_ms: table }) => {
    return steps > 0 ? sum + steps * (costAt(table, drafted / steps) ?? 0) : sum;
  }, 0);
}
