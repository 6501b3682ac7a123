/**
 * A scan: commits come from git one by one, several are asked about at once, each is in the journal
 * before it counts. What is held in memory does not grow with the repository.
 */
import type { Commit } from './commit.js';
import { readCommits } from './git.js';
import { injectionsIn } from './injection.js';
import { type Entry, Journal } from './journal.js';
import type { Judge, Judgement, Tokens } from './judge.js';
import { promptVersion } from './prompt.js';
import { type Finding, scoreOf, Top } from './rank.js';
import { signalsOf } from './signals.js';

export interface ScanOptions {
  readonly repository: string;
  readonly range: string;
  readonly most?: number | undefined;
  /** Undefined: signals alone. */
  readonly judge: Judge | undefined;
  readonly parallel: number;
  readonly budget: number;
  /** How much the model's answer counts beside the signals, 0 to 1. */
  readonly weight: number;
  /** Where the journal is. */
  readonly journal: string;
  readonly resume: boolean;
  /** How many findings are kept for the report. */
  readonly top: number;
  readonly signal: AbortSignal;
  readonly onEntry?: (entry: Entry, totals: Totals) => void;
}

/** Sums over all commits of a journal. */
export interface Totals {
  commits: number;
  /** Commits that were in the journal already. */
  resumed: number;
  /** Commits with an answer of the model. */
  answered: number;
  /** Commits on which it was asked, and gave none that keeps to the schema. */
  failed: number;
  /** Commits that speak to a model. */
  injected: number;
  cut: number;
  tokens: { -readonly [Key in keyof Tokens]: Tokens[Key] };
  /** Milliseconds of this run. */
  ms: number;
}

export interface Scan {
  readonly model: string;
  readonly totals: Totals;
  readonly findings: readonly Finding[];
}

const noTokens: Tokens = { prompt: 0, cached: 0, answer: 0, drafted: 0, accepted: 0 };
const noModel = 'no model';

/** Files of a commit that a finding names. */
const namedFiles = 20;

/**
 * Scans to the end, or until the signal.
 * @throws {PacelineError} `usage`, `io`, `broken-file`; whatever the judge throws. What is in the
 *   journal by then is kept.
 */
export async function scan(options: ScanOptions): Promise<Scan> {
  const { judge, budget, weight, signal } = options;
  const top = new Top(options.top);
  const known = new Set<string>();
  const start = performance.now();
  const totals: Totals = {
    ...{ commits: 0, resumed: 0, answered: 0, failed: 0, injected: 0, cut: 0, ms: 0 },
    tokens: { ...noTokens },
  };
  const count = (entry: Entry): void => {
    totals.commits++;
    totals.answered += Number(entry.answer !== undefined);
    totals.failed += Number(entry.failure !== undefined);
    totals.injected += Number(entry.injections.length > 0);
    totals.cut += Number(entry.cut);
    for (const key of Object.keys(noTokens) as (keyof Tokens)[]) {
      totals.tokens[key] += entry.tokens[key];
    }
    top.add(entry);
  };
  const model = judge?.name ?? noModel;
  const head = { version: 1, model, prompt: promptVersion, budget, weight } as const;
  const journal = await Journal.open(options.journal, head, {
    resume: options.resume,
    onEntry: (entry) => {
      known.add(entry.hash);
      totals.resumed++;
      count(entry);
    },
  });
  const read = async (commit: Commit, given: AbortSignal): Promise<void> => {
    const entry = await entryOf(commit, judge, weight, given);
    await journal.add(entry);
    count(entry);
    totals.ms = performance.now() - start;
    options.onEntry?.(entry, totals);
  };
  try {
    const { repository, range, most } = options;
    const commits = readCommits({ repository, range, most });
    await together(fresh(commits, known), { parallel: options.parallel, signal, run: read });
  } finally {
    await journal.close();
  }
  totals.ms = performance.now() - start;
  return { model, totals, findings: top.findings };
}

async function* fresh(
  commits: AsyncIterable<Commit>,
  known: ReadonlySet<string>,
): AsyncGenerator<Commit> {
  for await (const commit of commits) if (!known.has(commit.hash)) yield commit;
}

async function entryOf(
  commit: Commit,
  judge: Judge | undefined,
  weight: number,
  signal: AbortSignal,
): Promise<Entry> {
  const signals = signalsOf(commit);
  const injections = injectionsIn(commit);
  // Merges without changes of their own, renames and pictures have nothing to read.
  const isReadable = commit.files.some(({ lines }) => lines.length > 0);
  const judged: Judgement =
    judge !== undefined && isReadable
      ? await judge.judge(commit, signal)
      : { cut: commit.cut, tokens: noTokens, ms: 0 };
  const { answer, failure, cut, tokens, ms } = judged;
  const { hash, time, author, added, removed, fileCount, oddEncoding } = commit;
  return {
    ...{ hash, time, author: author.slice(0, 100), added, removed },
    subject: (commit.message.split('\n')[0] ?? '').slice(0, 200),
    files: commit.files.slice(0, namedFiles).map(({ path }) => path.slice(0, 300)),
    fileCount,
    ...(answer === undefined ? {} : { answer }),
    ...(failure === undefined ? {} : { failure }),
    ...{ signals, injections, cut, oddEncoding, tokens, ms },
    score: scoreOf(signals, answer, { weight, injected: injections.length > 0 }),
  };
}

/** Runs so many at once. The first that fails ends the others, and is thrown. */
async function together<T>(
  items: AsyncIterable<T>,
  options: {
    readonly parallel: number;
    readonly signal: AbortSignal;
    readonly run: (item: T, signal: AbortSignal) => Promise<void>;
  },
): Promise<void> {
  const { parallel, run } = options;
  const group = new AbortController();
  const signal = AbortSignal.any([options.signal, group.signal]);
  const running = new Set<Promise<void>>();
  let failure: unknown;
  for await (const item of items) {
    if (signal.aborted) break;
    const one = run(item, signal)
      .catch((error: unknown) => {
        failure ??= error;
        group.abort(error);
      })
      .finally(() => running.delete(one));
    running.add(one);
    if (running.size >= parallel) await Promise.race(running);
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure;
  options.signal.throwIfAborted();
}
