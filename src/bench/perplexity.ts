/**
 * How well a model predicts a text, and how much it differs from another on it.
 *
 * The text is cut into chunks as llama-perplexity cuts it (`chunksOf`); each is read from an empty
 * state, and the second half of a chunk is scored: with a context of n, the tokens at places
 * n/2 + 1 to n - 1, each from the logits before it. All sums are in double precision. Against a
 * reference model the Kullback-Leibler divergence D(reference || model) of each of these places is
 * taken from both models' whole logits, side by side, so that nothing is stored or rounded.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { KvType } from '../cache/kv-names.js';
import {
  type Distribution,
  distribution,
  divergence,
  type Estimate,
  mean,
  normalise,
} from './divergence.js';
import { Evaluator, readText, usualChunk } from './evaluator.js';

export interface PerplexityOptions {
  /** Path of the model. */
  readonly model: string;
  readonly text: string;
  /** Path of the reference model, and the type of its cache. */
  readonly against?: string;
  readonly againstKv?: KvType;
  /** Tokens of a chunk. Default 512. */
  readonly contextLength?: number;
  /** Most chunks to read. Default: all. */
  readonly chunks?: number;
  readonly kvType?: KvType;
  readonly threads?: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Comparison {
  readonly path: string;
  readonly kvType: KvType;
  readonly nats: Estimate;
  readonly perplexity: number;
  /** D(reference || model) in nats, over the scored places. */
  readonly divergence: Distribution;
  /** Share of the places where both find the same token likeliest. */
  readonly sameTop: number;
}

export interface PerplexityResult {
  readonly path: string;
  readonly kvType: KvType;
  readonly contextLength: number;
  readonly chunks: number;
  /** Places scored. */
  readonly scored: number;
  /** Nats a token: the mean negative logarithm of the probability of what came. */
  readonly nats: Estimate;
  readonly perplexity: number;
  readonly against?: Comparison;
}

/**
 * Measures a model on a text.
 * @throws {PacelineError} `usage` when the text is shorter than two chunks, or the two models have
 *   other vocabularies; as `loadModel`; `aborted`.
 */
export async function perplexity(options: PerplexityOptions): Promise<PerplexityResult> {
  const { contextLength = usualChunk, threads, signal, onProgress } = options;
  const load = { contextLength, threads, signal, onProgress };
  using model = await Evaluator.open(options.model, { ...load, kvType: options.kvType });
  using reference =
    options.against === undefined
      ? undefined
      : await Evaluator.open(options.against, { ...load, kvType: options.againstKv });
  if (reference !== undefined) requireSameVocabulary(model, reference);
  const first = Math.floor(contextLength / 2);
  const scores: Score[] = [];
  const reading = { contextLength, chunks: options.chunks, onProgress, signal };
  const chunks = await readText(model.tokenizer, options.text, reading, async (chunk) => {
    scores.push(...(await scoreChunk(chunk, first, model, reference)));
  });
  return summarise(model, reference, contextLength, chunks, scores);
}

function requireSameVocabulary(model: Evaluator, reference: Evaluator): void {
  const [a, b] = [model.tokenizer, reference.tokenizer];
  const same =
    model.vocabSize === reference.vocabSize &&
    a.vocabSize === b.vocabSize &&
    Array.from({ length: a.vocabSize }, (_, id) => id).every(
      (id) => a.tokenText(id) === b.tokenText(id),
    );
  if (same) return;
  throw new PacelineError(
    'usage',
    `${model.path} and ${reference.path} have different vocabularies`,
    { hint: 'Only models that speak of the same tokens can be compared.' },
  );
}

interface Score {
  readonly nats: number;
  readonly against?: {
    readonly nats: number;
    readonly divergence: number;
    readonly sameTop: boolean;
  };
}

async function scoreChunk(
  chunk: readonly number[],
  first: number,
  model: Evaluator,
  reference: Evaluator | undefined,
): Promise<Score[]> {
  const scores: Score[] = [];
  const others = reference?.logits(chunk, first);
  let place = first;
  for await (const logits of model.logits(chunk, first)) {
    const token = chunk[++place];
    const other = await others?.next();
    if (token === undefined) break;
    const own = normalise(logits);
    const nats = own.logSum - (logits[token] as number);
    if (other === undefined || other.done) {
      scores.push({ nats });
      continue;
    }
    const theirs = normalise(other.value);
    scores.push({
      nats,
      against: {
        nats: theirs.logSum - (other.value[token] as number),
        divergence: divergence(other.value, theirs.logSum, logits, own.logSum),
        sameTop: own.best === theirs.best,
      },
    });
  }
  await others?.return();
  return scores;
}

function summarise(
  model: Evaluator,
  reference: Evaluator | undefined,
  contextLength: number,
  chunks: number,
  scores: readonly Score[],
): PerplexityResult {
  const nats = mean(scores.map((score) => score.nats));
  const result = {
    path: model.path,
    kvType: model.kvType,
    contextLength,
    chunks,
    scored: scores.length,
    nats,
    perplexity: Math.exp(nats.mean),
  };
  if (reference === undefined) return result;
  const compared = scores.map(({ against }) => against).filter((one) => one !== undefined);
  const theirs = mean(compared.map((one) => one.nats));
  return {
    ...result,
    against: {
      path: reference.path,
      kvType: reference.kvType,
      nats: theirs,
      perplexity: Math.exp(theirs.mean),
      divergence: distribution(compared.map((one) => one.divergence)),
      sameTop: compared.filter((one) => one.sameTop).length / compared.length,
    },
  };
}
