/**
 * Whether somebody else used the machine while something was measured: processor time of others,
 * time that the hypervisor gave away, runs that differ. Says so; corrects nothing.
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Processor time so far, in milliseconds over all processors. */
interface Snapshot {
  readonly at: number;
  readonly busy: number;
  readonly own: number;
  /** Time that was given to other virtual machines; undefined where the system does not say. */
  readonly stolen: number | undefined;
}

/** Where Linux counts processor time, in hundredths of a second. */
const statFile = '/proc/stat';
const tickMs = 10;

/** The field `steal` of the line for all processors in the text of `/proc/stat`. */
export function stolenTicks(text: string): number | undefined {
  const [name, ...fields] = text.split('\n', 1)[0]?.trim().split(/\s+/) ?? [];
  const ticks = Number(fields[7]);
  return name === 'cpu' && Number.isFinite(ticks) ? ticks : undefined;
}

/** Processor time of another process in the text of its `/proc/PID/stat`; undefined: not told. */
export function processTicks(text: string): number | undefined {
  // The name may have spaces and brackets in it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? ticks : undefined;
}

/** Milliseconds that this process and its child have computed. */
function ownTime(child: number | undefined): number {
  const { user, system } = process.cpuUsage();
  const own = (user + system) / 1000;
  if (child === undefined) return own;
  return own + (processTicks(readFileSync(`/proc/${child}/stat`, 'utf8')) ?? Number.NaN) * tickMs;
}

function snapshot(child: number | undefined): Snapshot {
  let stolen: number | undefined;
  try {
    const ticks = stolenTicks(readFileSync(statFile, 'utf8'));
    stolen = ticks === undefined ? undefined : ticks * tickMs;
  } catch {}
  const busy = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys, 0);
  return { at: performance.now(), busy, own: ownTime(child), stolen };
}

/** What one measured stretch of time was like. Counts are processors. */
export interface Stretch {
  readonly ms: number;
  /** Processors that others kept busy, on average. */
  readonly others: number;
  /** Processors that were given to other virtual machines. */
  readonly stolen: number | undefined;
}

/**
 * Begins a stretch; the result ends it.
 * @param child a process that works for us meanwhile.
 * @returns undefined at its end where the system does not say how much a child computes.
 */
export function watchStretch(child?: number): () => Stretch | undefined {
  const watch = (): Snapshot | undefined => {
    try {
      return snapshot(child);
    } catch {
      return undefined;
    }
  };
  const before = watch();
  return () => {
    const after = watch();
    if (before === undefined || after === undefined || Number.isNaN(after.own)) return undefined;
    const ms = after.at - before.at;
    const others = after.busy - before.busy - (after.own - before.own);
    const stolen =
      after.stolen === undefined || before.stolen === undefined
        ? undefined
        : (after.stolen - before.stolen) / ms;
    return { ms, others: Math.max(0, others / ms), stolen };
  };
}

/** What a report says about its circumstances. */
export interface Disturbance {
  readonly disturbed: boolean;
  /** Sentences for a person, one a reason. */
  readonly reasons: readonly string[];
  /** Average number of processors that others kept busy; null where runs were too short to tell. */
  readonly other_cpus: number | null;
  readonly stolen_cpus: number | null;
  /** Difference of the fastest and the slowest decode run, of the median; null for one run. */
  readonly spread: number | null;
  /** Of the minute before, as the system counts it; 0 where it does not. */
  readonly load_average: number;
}

export interface DisturbanceInput {
  readonly stretches: readonly Stretch[];
  /** Decode rates of our runs. */
  readonly rates: readonly number[];
  readonly threads: number;
  readonly processors?: number;
  /** Decode's share of what memory gives; null: not measured. */
  readonly memoryShare: number | null;
  /** Of the minute before. */
  readonly loadAverage: number;
}

/** Times are counted in steps of 10 ms, which says nothing about shorter stretches. */
const leastMs = 200;
const limits = { others: 0.25, stolen: 0.05, spread: 0.25, memoryShare: 1.02, load: 1 };

/** Judges the circumstances of a measurement. */
export function judgeDisturbance(input: DisturbanceInput): Disturbance {
  const { stretches, rates, threads, memoryShare } = input;
  const processors = input.processors ?? cpus().length;
  const ms = stretches.reduce((sum, stretch) => sum + stretch.ms, 0);
  const mean = (value: (stretch: Stretch) => number | undefined): number | null => {
    if (ms < leastMs) return null;
    let sum = 0;
    for (const stretch of stretches) {
      const found = value(stretch);
      if (found === undefined) return null;
      sum += found * stretch.ms;
    }
    return sum / ms;
  };
  const others = mean((stretch) => stretch.others);
  const stolen = mean((stretch) => stretch.stolen);
  const sorted = [...rates].sort((a, b) => a - b);
  const middle = sorted[sorted.length >> 1] ?? 0;
  const range = (sorted.at(-1) ?? 0) - (sorted[0] ?? 0);
  const spread = sorted.length > 1 && middle > 0 ? range / middle : null;
  const reasons: string[] = [];
  const percent = (share: number) => `${Math.round(100 * share)}%`;
  const free = Math.max(0, processors - threads);
  if (others !== null && others > free + limits.others) {
    reasons.push(
      `other programs used ${others.toFixed(1)} of ${processors} processors, beside ${threads} threads`,
    );
  }
  if (input.loadAverage > processors + limits.load) {
    reasons.push(`the load was ${input.loadAverage.toFixed(1)} on ${processors} processors before`);
  }
  if (stolen !== null && stolen > limits.stolen * threads) {
    reasons.push(`the hypervisor gave ${stolen.toFixed(2)} processors to other machines`);
  }
  if (spread !== null && spread > limits.spread) {
    reasons.push(`decode runs differ by ${percent(spread)} of their median`);
  }
  if (memoryShare !== null && memoryShare > limits.memoryShare) {
    reasons.push('reads of memory were slower than decode itself');
  }
  return {
    disturbed: reasons.length > 0,
    reasons,
    other_cpus: others,
    stolen_cpus: stolen,
    spread,
    load_average: input.loadAverage,
  };
}
