/**
 * Generates one text for a check, in a given way, and traces it. Works below the sessions, so that
 * the way (drafter, chunks, neighbours, what the cache has been through) is the check's to choose.
 */
import { throwIfAborted } from '../../base/errors.js';
import { Drafting } from '../../decode/drafting.js';
import { resolveSampling } from '../../decode/settings.js';
import { Finish } from '../../decode/stop.js';
import type { Model } from '../model.js';
import type { Text } from '../text.js';
import type { TextCache } from '../text-cache.js';
import type { DraftKind, DraftStatistics } from '../types.js';
import { type Trace, type TracedRow, traceRow } from './trace.js';

/** What is generated: decides the text. */
export interface VerifyCase {
  readonly prompt: readonly number[];
  readonly temperature: number;
  readonly seed: number;
}

/** What a text's state has been through before the text is generated. */
export type CacheHistory = 'fresh' | 'reused prefix' | 'truncated' | 'forked' | 'from disk';

/** How it is generated: must not decide anything. */
export interface VerifyWay {
  readonly draft: DraftKind;
  readonly prefillChunk: number;
  /** Other texts generated at the same time, in the same passes. */
  readonly neighbours: number;
  readonly cache: CacheHistory;
  /** The store for `from disk`; what another copy of the model has saved there comes back. */
  readonly store?: TextCache | undefined;
}

export interface TracedText {
  readonly trace: Trace;
  readonly draft: DraftStatistics;
}

/** Generates `maxTokens` tokens; ends of text do not end it, so that every case is as long. */
export async function traceText(
  model: Model,
  text: VerifyCase,
  way: VerifyWay,
  maxTokens: number,
  signal?: AbortSignal,
): Promise<TracedText> {
  const { runtime } = model;
  const texts: Text[] = [];
  const open = (): Text => {
    const opened = runtime.createText();
    texts.push(opened);
    return opened;
  };
  const plain = { ...way, draft: 'none', neighbours: 0 } as const;
  try {
    let own = open();
    const other = model.tokenizer.encode('Something else entirely, 12345');
    if (way.cache === 'reused prefix') {
      const prefix = text.prompt.slice(0, Math.ceil(text.prompt.length / 2));
      await run(model, own, { ...text, prompt: prefix }, plain, 4, signal);
    } else if (way.cache === 'truncated') {
      await run(model, own, { ...text, prompt: [...text.prompt, ...other] }, plain, 8, signal);
    } else if (way.cache === 'forked') {
      await run(model, own, text, plain, 4, signal);
      own = runtime.fork(own);
      texts.push(own);
    } else if (way.cache === 'from disk') {
      // Part of what follows the prompt is there too, and must not matter.
      const saved = open();
      await run(model, saved, text, { ...way, draft: 'none' }, 4, signal);
      await way.store?.close();
      runtime.release(saved);
    }
    const neighbours = Array.from({ length: way.neighbours }, (_, index) => {
      const neighbour = { prompt: other.slice(index), temperature: 1, seed: index };
      const draft = index % 2 === 0 ? 'none' : 'ngram';
      return run(model, open(), neighbour, { ...plain, draft }, maxTokens, signal);
    });
    const [result] = await Promise.all([
      run(model, own, text, way, maxTokens, signal),
      ...neighbours,
    ]);
    return result;
  } finally {
    for (const opened of texts) runtime.release(opened);
  }
}

async function run(
  model: Model,
  text: Text,
  { prompt, temperature, seed }: VerifyCase,
  way: VerifyWay,
  maxTokens: number,
  signal: AbortSignal | undefined,
): Promise<TracedText> {
  const { runtime } = model;
  const rows: TracedRow[] = [];
  const job = runtime.generate({
    text,
    cache: way.store,
    prompt,
    settings: resolveSampling({ temperature, seed, topK: 0 }),
    finish: new Finish({ endTokens: new Set(), maxTokens, toText: () => '' }),
    drafting: new Drafting({
      drafters: text.drafters,
      mode: way.draft,
      experience: runtime.draftExperience,
    }),
    draftKind: way.draft,
    rounding: runtime.rounding,
    prefillChunk: way.prefillChunk,
    signal,
    onRow: (position, logits) => rows.push(traceRow(position, logits)),
  });
  const { tokens, draft } = await job.finish();
  throwIfAborted(signal);
  return { trace: { tokens, rows }, draft };
}
