/** What is left of a model with some of its experts: nats a token on held-out text, time and memory. */
import { throwIfAborted } from '../../base/errors.js';
import type { OnProgress } from '../../base/progress.js';
import type { ExpertSubset } from '../../models/expert-subset.js';
import type { SelectionMethod } from '../../models/selection-methods.js';
import { normalise } from '../divergence.js';
import { Evaluator } from '../evaluator.js';
import { passagesOf } from './documents.js';
import { ExpertSelector, type Keep } from './select.js';

export interface QualityOptions {
  /** Path of the model. */
  readonly model: string;
  /** The text by which experts are chosen; documents are separated by NUL bytes. */
  readonly text: string;
  /** What the model is measured on, likewise. */
  readonly heldOut: string;
  readonly keeps: readonly Keep[];
  readonly methods: readonly SelectionMethod[];
  readonly uneven?: boolean | undefined;
  readonly seed?: number | undefined;
  readonly contextLength?: number | undefined;
  /** Most passages of each text. Default: all. */
  readonly passages?: number | undefined;
  readonly threads?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A model with some of its experts on the held-out text. */
export interface Quality {
  /** `full`, or how experts were chosen. */
  readonly method: SelectionMethod | 'full';
  /** Experts of all layers. */
  readonly kept: number;
  readonly experts: number;
  readonly natsPerToken: number;
  readonly natsPerByte: number;
  /** What it loses against the full model. */
  readonly moreNatsPerToken: number;
  readonly tokensPerSecond: number;
  readonly loadMs: number;
  readonly weightBytes: number;
}

export interface QualityTable {
  readonly model: string;
  /** Tokens that were scored, and bytes of these. */
  readonly tokens: number;
  readonly bytes: number;
  readonly contextLength: number;
  readonly rows: readonly Quality[];
}

/**
 * Measures the full model, and for each number of experts and each method what is left.
 * @throws {PacelineError} as `ExpertSelector`.
 */
export async function qualityTable(options: QualityOptions): Promise<QualityTable> {
  const { keeps, methods, uneven, seed, contextLength = 512 } = options;
  const subsets: { method: SelectionMethod; subset: ExpertSubset }[] = [];
  {
    using selector = await ExpertSelector.open({ ...options, contextLength });
    for (const keep of keeps) {
      for (const method of methods) {
        subsets.push({ method, subset: await selector.select({ keep, method, uneven, seed }) });
      }
    }
  }
  const full = await measure(options, contextLength, undefined);
  const [first] = subsets;
  const all = sum(first?.subset.experts ?? []);
  const row = (method: Quality['method'], kept: number, measured: Measured): Quality => ({
    ...{ method, kept, experts: all },
    natsPerToken: measured.nats / measured.tokens,
    natsPerByte: measured.nats / measured.bytes,
    moreNatsPerToken: (measured.nats - full.nats) / measured.tokens,
    tokensPerSecond: measured.tokens / measured.seconds,
    loadMs: measured.loadMs,
    weightBytes: measured.weightBytes,
  });
  const rows = [row('full', all, full)];
  for (const { method, subset } of subsets) {
    const kept = sum(subset.kept.map(({ length }) => length));
    rows.push(row(method, kept, await measure(options, contextLength, subset)));
  }
  const { tokens, bytes } = full;
  return { model: options.model, tokens, bytes, contextLength, rows };
}

interface Measured {
  readonly nats: number;
  readonly tokens: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly loadMs: number;
  readonly weightBytes: number;
}

/** Reads the held-out text; every token but the first of a passage is scored. */
async function measure(
  options: QualityOptions,
  contextLength: number,
  subset: ExpertSubset | undefined,
): Promise<Measured> {
  const { threads, signal, onProgress } = options;
  const began = performance.now();
  const load = { contextLength, threads, subset, signal, onProgress };
  using model = await Evaluator.open(options.model, load);
  const loadMs = performance.now() - began;
  const passages = passagesOf(model.tokenizer, options.heldOut, contextLength, options.passages);
  let [nats, tokens, bytes] = [0, 0, 0];
  const start = performance.now();
  const total = sum(passages.map((passage) => passage.tokens.length));
  for (const passage of passages) {
    throwIfAborted(signal);
    onProgress?.({ task: 'measuring', done: tokens, total, unit: 'tokens' });
    let place = 0;
    for await (const logits of model.logits(passage.tokens, 0)) {
      const token = passage.tokens[++place];
      if (token === undefined) break;
      nats += normalise(logits).logSum - (logits[token] as number);
      bytes += model.tokenizer.tokenBytes(token).length;
      tokens++;
    }
  }
  const seconds = (performance.now() - start) / 1000;
  return { nats, tokens, bytes, seconds, loadMs, weightBytes: model.model.weightBytes };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
