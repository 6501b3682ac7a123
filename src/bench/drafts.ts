/**
 * What drafters are worth on text: continuations of the same prompts with each of them in turn, by
 * the loop that sessions use. Ends of text are ignored, so that every run is as long as asked for. Where
 * the text is written already, each row of logits gets a peak at the written token before a token is
 * chosen: the passes and drafts are those of a model that would have said just that. The tokens must be
 * the same with every drafter; a difference is an error.
 */
import { PacelineError } from '../base/errors.js';
import type { Model } from '../engine/model.js';
import type { DraftKind, Generation } from '../engine/types.js';
import { continueText } from './continue-text.js';
import type { BenchRow } from './report.js';
import { median, spread } from './statistics.js';
import type { BenchText } from './texts.js';

/** One round of one drafter over all prompts of a text. */
export interface TextRun {
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** Generated tokens but the first of each prompt, which comes out of the prefill. */
  readonly tokens: number;
  readonly steps: number;
  readonly drafted: number;
  readonly accepted: number;
  /** Of the runs of four tokens that were generated, those that had not been generated before. */
  readonly distinct?: number;
  /** Of a written text: tokens that were said before something else was; undefined: all of it. */
  readonly leftAfter?: number | undefined;
}

/** The peer's side of a round. */
export interface PeerRunner {
  /** What it can do: `none`, and its own kinds of drafting. */
  readonly kinds: readonly string[];
  run(
    kind: string,
    prompt: BenchText['prompts'][number],
    generate: number,
    temperature: number,
    seed: number,
  ): Promise<TextRun>;
}

export interface DraftBenchOptions {
  readonly kinds: readonly DraftKind[];
  readonly texts: readonly BenchText[];
  readonly generate: number;
  readonly rounds: number;
  readonly temperature: number;
  readonly peer?: PeerRunner | undefined;
  readonly signal?: AbortSignal;
  readonly onRound?: (done: number, total: number) => void;
}

const seed = 1;
/** Tokens of the round that is not counted. */
const warmUp = 16;

type Runs = Map<string, TextRun[]>;

/**
 * Rounds of all drafters and the peer, taking turns, after a short one that is not counted.
 * @yields after each text one row for each engine and drafter.
 * @throws {PacelineError} `check-failed` when a drafter changes a token; `usage` for a drafter that
 *   the model does not have.
 */
export async function* measureDrafts(
  model: Model,
  options: DraftBenchOptions,
): AsyncGenerator<BenchRow[], void> {
  const { texts, rounds, signal } = options;
  for (const [at, text] of texts.entries()) {
    const ours: Runs = new Map();
    const theirs: Runs = new Map();
    const expected = new Map<number, readonly number[]>();
    for (let round = 0; round <= rounds; round++) {
      options.onRound?.(at * (rounds + 1) + round, texts.length * (rounds + 1));
      for (const kind of inTurn(options.kinds, round)) {
        const run = await ownRun(model, text, kind, round === 0, expected, options);
        if (round > 0) ours.set(kind, [...(ours.get(kind) ?? []), run]);
      }
      for (const kind of inTurn(options.peer?.kinds ?? [], round)) {
        signal?.throwIfAborted();
        const run = await peerRun(text, kind, round === 0, options);
        if (round > 0) theirs.set(kind, [...(theirs.get(kind) ?? []), run]);
      }
    }
    const rows: BenchRow[] = [];
    for (const kind of options.kinds) {
      rows.push(rowOf('paceline', text.name, kind, ours.get(kind) ?? []));
    }
    for (const kind of options.peer?.kinds ?? []) {
      rows.push(rowOf('node-llama-cpp', text.name, kind, theirs.get(kind) ?? []));
    }
    yield rows;
  }
}

/** Everyone begins a round once, so that nobody always runs after the same neighbour. */
function inTurn<T>(kinds: readonly T[], round: number): readonly T[] {
  const first = kinds.length === 0 ? 0 : round % kinds.length;
  return [...kinds.slice(first), ...kinds.slice(0, first)];
}

async function ownRun(
  model: Model,
  text: BenchText,
  kind: DraftKind,
  warming: boolean,
  expected: Map<number, readonly number[]>,
  { generate: count, temperature, signal }: DraftBenchOptions,
): Promise<TextRun> {
  const generations: Generation[] = [];
  for (const [index, prompt] of text.prompts.entries()) {
    // Only the drafters in question see the prompt: the others' features cost time too.
    const generation = await continueText(model, prompt.tokens, {
      sources: model.runtime.drafterSources.filter(({ name }) => kind === 'auto' || name === kind),
      mode: kind,
      written: prompt.written,
      tokens: 1 + lengthOf(prompt, warming, count),
      temperature,
      seed,
      signal,
    });
    signal?.throwIfAborted();
    if (!warming) compare(text, index, kind, generation.tokens, expected);
    generations.push(generation);
  }
  const total = (value: (generation: Generation) => number): number =>
    generations.reduce((sum, generation) => sum + value(generation), 0);
  return {
    prefillMs: total(({ timings }) => timings.prefillMs),
    decodeMs: total(({ timings }) => timings.decodeMs),
    tokens: total(({ tokens }) => tokens.length - 1),
    steps: total(({ draft }) => draft.steps),
    drafted: total(({ draft }) => draft.drafted),
    accepted: total(({ draft }) => draft.accepted),
    distinct: distinctRuns(generations.map(({ tokens }) => tokens)),
  };
}

/** Tokens to generate: never more than are written. */
function lengthOf(
  { written, most = Infinity }: BenchText['prompts'][number],
  warming: boolean,
  count: number,
): number {
  const said = Math.min(written?.length ?? Infinity, most) - 1;
  return Math.min(warming ? warmUp : count, count, said);
}

/**
 * The same prompts, each with the length of the text that the model says to it before it ends it: to
 * measure answers as they are, and not what would come behind them. A prompt that is answered with
 * fewer than two tokens is left out, since nothing of it could be timed.
 */
export async function withEnds(
  model: Model,
  text: BenchText,
  {
    generate: count,
    temperature,
    signal,
  }: Pick<DraftBenchOptions, 'generate' | 'temperature' | 'signal'>,
): Promise<BenchText> {
  const prompts: BenchText['prompts'][number][] = [];
  for (const prompt of text.prompts) {
    const options = { sources: [], mode: 'none', temperature, seed, mayEnd: true };
    const tokens = 1 + count;
    const answer = await continueText(model, prompt.tokens, { ...options, tokens, signal });
    signal?.throwIfAborted();
    if (answer.tokens.length > 1) prompts.push({ ...prompt, most: answer.tokens.length });
  }
  return { ...text, prompts };
}

/** Different runs of four tokens, of all of them. */
function distinctRuns(texts: readonly (readonly number[])[]): number {
  const all = texts.flatMap((tokens, text) =>
    tokens.slice(3).map((_, at) => `${text}:${tokens.slice(at, at + 4).join()}`),
  );
  return all.length === 0 ? 1 : new Set(all).size / all.length;
}

function compare(
  text: BenchText,
  prompt: number,
  kind: DraftKind,
  tokens: readonly number[],
  expected: Map<number, readonly number[]>,
): void {
  const before = expected.get(prompt);
  if (before === undefined) {
    expected.set(prompt, tokens);
  } else if (before.length !== tokens.length || before.some((id, at) => id !== tokens[at])) {
    throw new PacelineError('check-failed', `Drafting with ${kind} changed the text`, {
      hint: 'Run `paceline verify` on this model, and report what it shows.',
      details: { text: text.name, prompt, expected: before, found: tokens },
    });
  }
}

async function peerRun(
  text: BenchText,
  kind: string,
  warming: boolean,
  { peer, generate: count, temperature }: DraftBenchOptions,
): Promise<TextRun> {
  const runs: TextRun[] = [];
  for (const prompt of text.prompts) {
    const run = await peer?.run(kind, prompt, lengthOf(prompt, warming, count), temperature, seed);
    if (run !== undefined) runs.push(run);
  }
  const total = (value: (run: TextRun) => number): number =>
    runs.reduce((sum, run) => sum + value(run), 0);
  return {
    prefillMs: total((run) => run.prefillMs),
    decodeMs: total((run) => run.decodeMs),
    tokens: total((run) => run.tokens),
    steps: total((run) => run.steps),
    drafted: total((run) => run.drafted),
    accepted: total((run) => run.accepted),
    leftAfter: least(runs.map((run) => run.leftAfter)),
  };
}

/** The least of the numbers; undefined without any. */
function least(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function rowOf(
  engine: BenchRow['engine'],
  text: string,
  draft: string,
  runs: readonly TextRun[],
): BenchRow {
  const rates = runs.map((run) => (run.tokens === 0 ? 0 : (run.tokens / run.decodeMs) * 1000));
  const total = (value: (run: TextRun) => number): number =>
    runs.reduce((sum, run) => sum + value(run), 0);
  const drafted = total((run) => run.drafted);
  const accepted = total((run) => run.accepted);
  const prefills = runs.map((run) => run.prefillMs);
  const leftAfter = least(runs.map((run) => run.leftAfter));
  return {
    engine,
    measure: 'text',
    text,
    draft,
    tokens: runs[0]?.tokens ?? 0,
    unit: 'tokens/s',
    ...spread(rates),
    runs: rates,
    drafted,
    accepted,
    acceptance: drafted === 0 ? null : accepted / drafted,
    tokens_per_step:
      total((run) => run.tokens) /
      Math.max(
        1,
        total((run) => run.steps),
      ),
    prefill_ms: median(prefills),
    prefill_runs: prefills,
    ...(runs[0]?.distinct === undefined ? {} : { distinct: runs[0].distinct }),
    ...(leftAfter === undefined ? {} : { left_after: leftAfter }),
  };
}
