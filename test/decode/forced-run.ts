/**
 * A text by the engine's own loop whose acceptance the test decides: in round r the first `accept[r]`
 * guesses are what the target says, then something else. Records what was asked and answered.
 */
import type { DraftContext, Drafter, DrafterSource, Proposal } from '../../src/decode/drafter.js';
import { Drafting } from '../../src/decode/drafting.js';
import { resolveSampling } from '../../src/decode/settings.js';
import { Finish } from '../../src/decode/stop.js';
import type { Model } from '../../src/index.js';
import { Random } from './support.js';

export interface Round {
  /** t_0..t_n. */
  readonly tokens: readonly number[];
  readonly guesses: readonly number[];
  readonly accepted: number;
  /** Rows of logits that were computed for it. */
  readonly logits: readonly Float32Array[];
}

export interface ForcedRunOptions {
  readonly model: Model;
  /** Gives the drafter; rows of logits that it reads are to be put into `logits`. */
  readonly source: DrafterSource;
  /** Filled by the source's model while it guesses; emptied before each round. */
  readonly logits: Float32Array[];
  readonly prompt: readonly number[];
  /** How many guesses are right, round by round. */
  readonly accept: readonly number[];
  readonly draftMax?: number;
  readonly prefillChunk?: number;
}

export async function forcedRun(options: ForcedRunOptions): Promise<Round[]> {
  const { model, source, accept, prompt, logits } = options;
  const { runtime } = model;
  const random = new Random(99);
  const { vocabSize } = runtime.model.hyperparameters;
  const rounds: Round[] = [];
  /** What is to be said, by position. */
  const said = new Map<number, number>([[prompt.length, random.below(vocabSize)]]);
  const text = runtime.createText();
  const drafter = source.open();
  const recorded = withPropose(drafter, async (context) => {
    logits.length = 0;
    const tokens = Array.from(context.chooser.tokens);
    const proposal = await drafter.propose(context);
    const guesses = [...proposal.tokens];
    const accepted = Math.min(guesses.length, accept[rounds.length] ?? 0);
    for (let i = 0; i < accepted; i++) said.set(tokens.length + i, guesses[i] ?? 0);
    const wrong = guesses[accepted];
    let next = random.below(vocabSize);
    if (next === wrong) next = (next + 1) % vocabSize;
    said.set(tokens.length + accepted, next);
    rounds.push({ tokens, guesses, accepted, logits: logits.map((row) => row.slice()) });
    return proposal;
  });
  const maxTokens = 1 + accept.reduce((sum, count) => sum + count + 1, 0) + 40;
  const stop = new AbortController();
  try {
    const job = runtime.generate({
      text,
      prompt,
      settings: resolveSampling({ temperature: 0, seed: 1 }),
      finish: new Finish({ endTokens: new Set(), maxTokens, stop: [], toText: () => '' }),
      drafting: new Drafting({
        drafters: [recorded],
        mode: source.name,
        ...(options.draftMax === undefined ? {} : { draftMax: options.draftMax }),
      }),
      draftKind: 'none',
      prefillChunk: options.prefillChunk ?? runtime.prefillChunk,
      signal: stop.signal,
      onRow(position, row) {
        const token = said.get(position);
        if (token !== undefined) row[token] = 1e9;
        if (rounds.length >= accept.length) stop.abort();
      },
    });
    await job.finish();
  } finally {
    drafter.dispose();
    runtime.release(text);
  }
  return rounds.slice(0, accept.length);
}

/** The drafter with another `propose`. */
function withPropose(
  drafter: Drafter,
  propose: (context: DraftContext) => Promise<Proposal>,
): Drafter {
  return new Proxy(drafter, {
    get(object, key) {
      if (key === 'propose') return propose;
      const value: unknown = Reflect.get(object, key, object);
      return typeof value === 'function' ? value.bind(object) : value;
    },
  });
}
