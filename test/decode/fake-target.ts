/**
 * Target models that need no weights, and a decoding loop of the engine's shape around them: the
 * tests drive drafters and the verify loop with these.
 */
import type { Constraint } from '../../src/constraint/constraint.js';
import { acceptDrafts, type ChosenToken } from '../../src/decode/accept.js';
import { Chooser } from '../../src/decode/chooser.js';
import type { Drafter } from '../../src/decode/drafter.js';
import type { FeatureRows } from '../../src/decode/feature-rows.js';
import type { SamplingSettings } from '../../src/decode/sampling-settings.js';
import { Finish } from '../../src/decode/stop.js';
import type { SequenceTensors } from '../../src/models/model.js';
import { Random } from './support.js';

export interface FakeTarget {
  readonly vocabularySize: number;
  /** Logits of the token after `tokens`. */
  logits(tokens: ArrayLike<number>): Float32Array;
}

/** Logits depend on the last `order` tokens by a hash: arbitrary, but the same every time. */
export function hashTarget(options: {
  vocabularySize: number;
  seed: number;
  order?: number;
  spread?: number;
}): FakeTarget {
  const { vocabularySize, seed, order = 2, spread = 3 } = options;
  const cache = new Map<number, Float32Array>();
  return {
    vocabularySize,
    logits(tokens) {
      let hash = seed;
      for (let i = Math.max(0, tokens.length - order); i < tokens.length; i++) {
        hash = Math.imul(hash ^ ((tokens[i] as number) + 1), 0x9e3779b1);
        hash ^= hash >>> 15;
      }
      let row = cache.get(hash);
      if (row === undefined) {
        row = new Random(hash).logits(vocabularySize, spread);
        cache.set(hash, row);
      }
      return row.slice();
    },
  };
}

/** Rows that a drafter which reads hidden states may be fed in tests: a hash of the text. */
export function fakeFeatures(tokens: ArrayLike<number>, from: number, width: number): FeatureRows {
  const rows = tokens.length - from;
  const data = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const at = from + row;
    const random = new Random(at * 1000 + (tokens[at] as number));
    for (let i = 0; i < width; i++) data[row * width + i] = random.normal();
  }
  return { rows, width, data };
}

export interface DecodeOptions {
  readonly target: FakeTarget;
  readonly prompt: readonly number[];
  readonly settings: SamplingSettings;
  readonly maxTokens: number;
  readonly endTokens?: readonly number[];
  readonly stop?: readonly string[];
  readonly drafter?: Drafter;
  readonly limit?: number;
  readonly constraint?: Constraint;
  /** Width of the rows that the drafter reads. */
  readonly hiddenWidth?: number;
  readonly tapsWidth?: number;
  /** The target's state, for drafters that attend over it. */
  readonly state?: SequenceTensors | undefined;
}

export interface Decoded {
  readonly tokens: readonly ChosenToken[];
  readonly history: readonly number[];
  readonly text: string;
  readonly finish: string;
  readonly passes: number;
  readonly drafted: number;
  readonly accepted: number;
}

export function features(
  options: Pick<DecodeOptions, 'hiddenWidth' | 'tapsWidth'>,
  tokens: ArrayLike<number>,
  from: number,
) {
  const { hiddenWidth, tapsWidth } = options;
  return {
    ...(hiddenWidth === undefined ? {} : { hidden: fakeFeatures(tokens, from, hiddenWidth) }),
    ...(tapsWidth === undefined ? {} : { taps: fakeFeatures(tokens, from, tapsWidth) }),
  };
}

/** The engine's loop: prefill, then propose, run, verify, observe until the text ends. */
export async function decode(options: DecodeOptions): Promise<Decoded> {
  const { target, settings, drafter } = options;
  const { constraint } = options;
  const chooser = new Chooser({ settings, tokens: options.prompt, constraint });
  const finish = new Finish({
    endTokens: new Set(options.endTokens ?? []),
    maxTokens: options.maxTokens,
    stop: options.stop ?? [],
    toText: (token) => String.fromCharCode(97 + (token % 26)),
  });
  const observed = options.prompt.slice(0, -1);
  drafter?.observe({ position: 0, tokens: observed, ...features(options, observed, 0) });
  const tokens: ChosenToken[] = [];
  let passes = 0;
  let drafted = 0;
  let accepted = 0;
  for (;;) {
    const known = chooser.length;
    const limit = Math.min(options.limit ?? 16, finish.remaining - 1);
    const proposal = await drafter?.propose({ chooser, limit, state: options.state });
    const drafts = proposal?.tokens ?? [];
    const base = chooser.tokens.slice();
    const step = acceptDrafts({
      drafts,
      chooser,
      finish,
      row: (i) => target.logits([...base, ...drafts.slice(0, i)]),
    });
    passes += 1;
    drafted += drafts.length;
    accepted += step.accepted;
    tokens.push(...step.tokens);
    // The target has run the last token and the right guesses.
    const run = chooser.tokens.slice(0, known + step.accepted);
    drafter?.observe({
      position: known - 1,
      tokens: run.slice(known - 1),
      ...features(options, run, known - 1),
    });
    if (step.finish !== undefined) {
      const text = tokens.map((token) => token.text).join('');
      const all = [...chooser.tokens];
      return { tokens, history: all, text, finish: step.finish, passes, drafted, accepted };
    }
  }
}
