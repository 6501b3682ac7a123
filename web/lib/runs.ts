/**
 * The tokens of a text as runs of characters, with who guessed each. A run list belongs to one text
 * and covers it from its beginning; what lies behind its end was typed by a person.
 */

/** One token. */
export interface Run {
  /** UTF-16 units; 0 for a token whose character came with the next. */
  readonly length: number;
  /** The drafter that had guessed the token; missing: the model alone chose it. */
  readonly drafter?: string;
  /** What a drafter had guessed in its place. */
  readonly wrong?: { readonly drafter: string; readonly text: string };
  /** On the first token of a pass: how many tokens had been guessed for it. */
  readonly guesses?: number;
  /** Typed by a person, and no token. */
  readonly typed?: true;
}

/** A piece of a run inside a range, with its place in the text. */
export interface PlacedRun {
  readonly start: number;
  readonly end: number;
  readonly run: Run;
}

export class RunList {
  readonly #runs: Run[] = [];
  readonly #starts: number[] = [];
  #length = 0;

  constructor(runs: readonly Run[] = []) {
    for (const run of runs) this.push(run);
  }

  /** Characters covered. */
  get length(): number {
    return this.#length;
  }

  get runs(): readonly Run[] {
    return this.#runs;
  }

  push(run: Run): void {
    this.#runs.push(run);
    this.#starts.push(this.#length);
    this.#length += run.length;
  }

  /** The pieces of [from, to), without those of no length. */
  slice(from: number, to: number): readonly PlacedRun[] {
    const placed: PlacedRun[] = [];
    for (let index = this.#at(from); index < this.#runs.length; index++) {
      const run = this.#runs[index] as Run;
      const runStart = this.#starts[index] as number;
      if (runStart >= to) break;
      const [start, end] = [Math.max(from, runStart), Math.min(to, runStart + run.length)];
      if (end > start) placed.push({ start, end, run });
    }
    return placed;
  }

  /** Index of the last run that begins at or before a position. */
  #at(position: number): number {
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] as number) <= position) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }
}

/** The runs of a text after a person has changed it: what was touched becomes typed. */
export function editedRuns(runs: readonly Run[], before: string, after: string): readonly Run[] {
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const covered = new RunList(runs);
  const full = [...runs];
  if (covered.length < before.length) {
    full.push({ length: before.length - covered.length, typed: true });
  }
  const list = new RunList(full);
  const keep = (from: number, to: number): Run[] =>
    list.slice(from, to).map(({ start, end, run }) => ({ ...run, length: end - start }));
  const typed = after.length - head - tail;
  const made = [
    ...keep(0, head),
    ...(typed > 0 ? [{ length: typed, typed: true } as const] : []),
    ...keep(before.length - tail, before.length),
  ];
  return joined(made);
}

/** Neighbours that were typed become one. */
function joined(runs: readonly Run[]): readonly Run[] {
  const out: Run[] = [];
  for (const run of runs) {
    const last = out.at(-1);
    if (run.typed && last?.typed)
      out[out.length - 1] = { length: last.length + run.length, typed: true };
    else out.push(run);
  }
  return out;
}

export interface RunCounts {
  readonly tokens: number;
  /** Tokens that no drafter had guessed. */
  readonly alone: number;
  /** Tokens by the drafter that had guessed them. */
  readonly byDrafter: Readonly<Record<string, number>>;
  /** Places where a guess was wrong. */
  readonly wrong: number;
}

export function countRuns(runs: readonly Run[]): RunCounts {
  const byDrafter: Record<string, number> = {};
  let [tokens, alone, wrong] = [0, 0, 0];
  for (const { drafter, wrong: guess, typed } of runs) {
    if (typed) continue;
    tokens += 1;
    if (guess !== undefined) wrong += 1;
    if (drafter === undefined) alone += 1;
    else byDrafter[drafter] = (byDrafter[drafter] ?? 0) + 1;
  }
  return { tokens, alone, byDrafter, wrong };
}
