/**
 * Generates one text for a check, in a given way, and traces it. Works below the sessions, so that
 * the way (drafter, chunks, neighbours, what the cache has been through) is the check's to choose.
 */
import { Drafting } from '../../decode/drafting.js';
import { resolveSampling } from '../../decode/settings.js';
import { Finish } from '../../decode/stop.js';
import { generate } from '../generation.js';
import type { Model } from '../model.js';
import type { Sequence } from '../sequence.js';
import type { DraftKind, DraftStatistics } from '../types.js';
import { type Trace, type TracedRow, traceRow } from './trace.js';

/** What is generated: decides the text. */
export interface VerifyCase {
  readonly prompt: readonly number[];
  readonly temperature: number;
  readonly seed: number;
}

/** What a sequence's cache has been through before the text is generated. */
export type CacheHistory = 'fresh' | 'reused prefix' | 'truncated' | 'forked';

/** How it is generated: must not decide anything. */
export interface VerifyWay {
  readonly draft: DraftKind;
  readonly prefillChunk: number;
  /** Other texts generated at the same time, in the same passes. */
  readonly neighbours: number;
  readonly cache: CacheHistory;
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
  const sequences: Sequence[] = [];
  const open = (): Sequence => {
    const sequence = runtime.createSequence();
    sequences.push(sequence);
    return sequence;
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
      sequences.push(own);
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
    for (const sequence of sequences) runtime.release(sequence);
  }
}

async function run(
  model: Model,
  sequence: Sequence,
  text: VerifyCase,
  way: VerifyWay,
  maxTokens: number,
  signal: AbortSignal | undefined,
): Promise<TracedText> {
  const { runtime } = model;
  const drafters = runtime.drafterSources.map((source) => source.open({ state: sequence.cache }));
  const rows: TracedRow[] = [];
  try {
    const stream = generate({
      sequence,
      prompt: text.prompt,
      settings: resolveSampling({ temperature: text.temperature, seed: text.seed, topK: 0 }),
      finish: new Finish({ endTokens: new Set(), maxTokens, toText: () => '' }),
      drafting: new Drafting({ drafters, mode: way.draft, experience: runtime.draftExperience }),
      draftKind: way.draft,
      prefillChunk: way.prefillChunk,
      signal,
      onRow: (position, logits) => rows.push(traceRow(position, logits)),
    });
    for await (const event of stream) {
      if (event.type === 'end') {
        const { tokens, draft } = event.generation;
        return { trace: { tokens, rows }, draft };
      }
    }
    throw new Error('a stream ended without a result');
  } finally {
    for (const drafter of drafters) drafter.dispose();
  }
}
