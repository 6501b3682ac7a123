/**
 * One text from a state and drafters that know nothing yet, by the loop that sessions use: for
 * measurements, which choose the drafters and may say what the model has to say.
 */
import type { DrafterSource } from '../decode/drafter.js';
import { Drafting } from '../decode/drafting.js';
import { resolveSampling } from '../decode/settings.js';
import { Finish } from '../decode/stop.js';
import type { Model } from '../engine/model.js';
import type { DraftKind, Generation } from '../engine/types.js';

export interface ContinueOptions {
  /** Who may draft. */
  readonly sources: readonly DrafterSource[];
  /** `auto`, `none`, or the name of one of them. */
  readonly mode: string;
  /** Tokens to generate. */
  readonly tokens: number;
  readonly temperature: number;
  readonly seed: number;
  /** The one filter. Default 0.05, as generations have it. */
  readonly minP?: number | undefined;
  /** What the model is made to say; default: what it says itself. */
  readonly written?: readonly number[] | undefined;
  /** Whether a token that ends texts ends this one. Default: no. */
  readonly mayEnd?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Far above any logit, and above any noise that sampling adds. */
const peak = 1e9;
const kinds: ReadonlySet<string> = new Set<DraftKind>(['auto', 'none', 'ngram', 'mtp', 'dflash']);

/** Makes a model say what is written. */
function saying(written: readonly number[], start: number) {
  return (position: number, logits: Float32Array): void => {
    const token = written[position - start];
    if (token !== undefined) logits[token] = peak;
  };
}

/** Sampled with no filter but min-p. @throws {PacelineError} as a generation. */
export async function continueText(
  { runtime }: Model,
  prompt: readonly number[],
  options: ContinueOptions,
): Promise<Generation> {
  const { sources, mode, tokens, written, mayEnd = false, signal } = options;
  const { temperature, seed, minP } = options;
  const text = runtime.createText({ drafterSources: sources });
  try {
    const { endOfGeneration } = runtime.tokenizer.vocabulary;
    const endTokens = mayEnd ? endOfGeneration : new Set<number>();
    const job = runtime.generate({
      text,
      prompt,
      settings: resolveSampling({ temperature, seed, minP, topK: 0, topP: 1 }),
      finish: new Finish({ endTokens, maxTokens: tokens, stop: [], toText: () => '' }),
      drafting: new Drafting({
        drafters: text.drafters,
        mode,
        experience: runtime.draftExperience,
      }),
      draftKind: kinds.has(mode) ? (mode as DraftKind) : 'none',
      prefillChunk: runtime.prefillChunk,
      signal,
      ...(written === undefined ? {} : { onRow: saying(written, prompt.length) }),
    });
    return await job.finish();
  } finally {
    runtime.release(text);
  }
}
