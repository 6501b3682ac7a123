/**
 * Proof of one text, to watch: it is generated plainly and again with drafts, each from nothing, and
 * both are told token by token. The verdict compares tokens, and the logits that they were chosen
 * from to the byte.
 */
import { throwIfAborted } from '../../base/errors.js';
import { Drafting } from '../../decode/drafting.js';
import { resolveSampling, withRecommended } from '../../decode/settings.js';
import { Finish } from '../../decode/stop.js';
import { StreamingDetokenizer } from '../../tokenizer/detokenizer.js';
import type { Model } from '../model.js';
import type { DraftKind, GenerateOptions } from '../types.js';
import { compareTraces, type Trace, type TracedRow, traceRow } from './trace.js';

export interface ProofOptions {
  readonly prompt: readonly number[];
  readonly settings: Pick<
    GenerateOptions,
    | 'temperature'
    | 'topK'
    | 'topP'
    | 'minP'
    | 'repetitionPenalty'
    | 'presencePenalty'
    | 'frequencyPenalty'
    | 'penaltyWindow'
    | 'logitBias'
    | 'seed'
    | 'stop'
  >;
  /** Most tokens of each text, 1 or more. */
  readonly maxTokens: number;
  /** How the second text is drafted; default `auto`. */
  readonly draft?: DraftKind | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent: (event: ProofEvent) => void;
}

export interface ProofToken {
  readonly id: number;
  /** Characters that became certain by it. */
  readonly text: string;
  /** The drafter that had guessed it; missing: the model alone chose it. */
  readonly drafter?: string;
}

export type ProofEvent =
  | {
      readonly type: 'tokens';
      readonly way: 'plain' | 'drafted';
      readonly tokens: readonly ProofToken[];
    }
  | {
      readonly type: 'way-end';
      readonly way: 'plain' | 'drafted';
      /** Of decoding. */
      readonly ms: number;
      /** Passes of the model while decoding. */
      readonly steps: number;
      readonly drafted: number;
      readonly accepted: number;
    }
  | ProofVerdict;

export interface ProofVerdict {
  readonly type: 'verdict';
  /** Tokens are the same, and the logits of every row to the byte. */
  readonly identical: boolean;
  readonly seed: number;
  /** Rows of logits compared. */
  readonly rows: number;
  /** Where they part: the index of the first token that differs, or whose logits do. */
  readonly difference?: { readonly kind: 'token' | 'logits'; readonly index: number };
}

/** Runs the proof. @throws {PacelineError} `aborted`, and what generating throws. */
export async function proveText(model: Model, options: ProofOptions): Promise<void> {
  const settings = resolveSampling(withRecommended(options.settings, model.runtime.sampling), {
    vocabularySize: model.info.vocabularySize,
  });
  const plain = await trace(model, options, settings, 'plain');
  const drafted = await trace(model, options, settings, 'drafted');
  const divergence = compareTraces(plain, drafted);
  options.onEvent({
    type: 'verdict',
    identical: divergence === undefined,
    seed: settings.seed,
    rows: Math.max(plain.rows.length, drafted.rows.length),
    ...(divergence === undefined
      ? {}
      : {
          difference: {
            kind: divergence.kind,
            index: divergence.position - options.prompt.length,
          },
        }),
  });
}

async function trace(
  model: Model,
  { prompt, settings: { stop = [] }, maxTokens, draft = 'auto', signal, onEvent }: ProofOptions,
  settings: ReturnType<typeof resolveSampling>,
  way: 'plain' | 'drafted',
): Promise<Trace> {
  const { runtime, tokenizer } = model;
  const kind = way === 'plain' ? 'none' : draft;
  const text = runtime.createText();
  const rows: TracedRow[] = [];
  // One reads for the stop strings, the other for the eye.
  const [read, shown] = [new StreamingDetokenizer(tokenizer), new StreamingDetokenizer(tokenizer)];
  try {
    const job = runtime.generate({
      text,
      prompt,
      settings,
      finish: new Finish({
        endTokens: tokenizer.vocabulary.endOfGeneration,
        maxTokens,
        stop: typeof stop === 'string' ? [stop] : stop,
        toText: (token) => read.push(token),
      }),
      drafting: new Drafting({
        drafters: kind === 'none' ? [] : text.drafters,
        mode: kind,
        experience: runtime.draftExperience,
      }),
      draftKind: kind,
      prefillChunk: runtime.prefillChunk,
      signal,
      onRow: (position, logits) => rows.push(traceRow(position, logits)),
    });
    for (let event = await job.next(); event !== undefined; event = await job.next()) {
      if (event.type === 'text') {
        const { tokens, drafted, proposal } = event;
        const told = tokens.map((id, index) => ({
          id,
          text: shown.push(id),
          ...(drafted[index] && proposal ? { drafter: proposal.drafter } : {}),
        }));
        if (told.length > 0) onEvent({ type: 'tokens', way, tokens: told });
        continue;
      }
      throwIfAborted(signal);
      const { generation } = event;
      const { steps, drafted, accepted } = generation.draft;
      onEvent({ type: 'way-end', way, ms: generation.timings.decodeMs, steps, drafted, accepted });
      return { tokens: generation.tokens, rows };
    }
    throwIfAborted(signal);
    return { tokens: [], rows };
  } finally {
    runtime.release(text);
  }
}
