/**
 * An answer while it comes. Chunks are taken as they arrive; whoever draws it is told once a frame,
 * however many came meanwhile.
 */
import { signal } from '@preact/signals';
import { draftGain } from '../lib/estimate.js';
import { RunList } from '../lib/runs.js';
import type { ToolCall, TurnReport } from '../lib/tree.js';
import { type Chunk, type ChunkDetails, RateMeter } from '../lib/wire.js';

export class LiveAnswer {
  /** Counts the frames in which something was new; read it to be told. */
  readonly frame = signal(0);
  readonly runs = new RunList();
  readonly abort = new AbortController();
  text = '';
  reasoning = '';
  calls: ToolCall[] = [];
  report: TurnReport;
  /** Prompt tokens that are computed, of those that had to be. */
  prefill: { readonly done: number; readonly total: number } | undefined;
  tokens = 0;
  /** Tokens that a drafter had guessed. */
  guessed = 0;
  /** Guesses, right and wrong. */
  drafted = 0;
  finished = false;
  readonly #meter = new RateMeter();
  #scheduled = false;

  constructor(model: string) {
    this.report = { model };
  }

  /** How many times as fast it comes as without drafts. */
  get gain(): number | undefined {
    const { tokens, guessed, drafted, report } = this;
    // Every pass gives one token that nobody had guessed.
    return draftGain({ tokens, steps: tokens - guessed, drafted, passMs: report.passMs ?? {} });
  }

  /** Tokens a second, over the last moment. */
  get rate(): number | undefined {
    return this.#meter.rate;
  }

  /** @throws Error what the server says went wrong in mid-stream. */
  take(chunk: Chunk, now = performance.now()): void {
    if (chunk.error !== undefined) throw new Error(chunk.error.message);
    const [choice] = chunk.choices ?? [];
    const { delta } = choice ?? {};
    this.text += choice?.text ?? delta?.content ?? '';
    this.reasoning += delta?.reasoning_content ?? '';
    for (const call of delta?.tool_calls ?? []) {
      const before = this.calls[call.index];
      this.calls[call.index] = {
        id: call.id ?? before?.id ?? '',
        name: call.function?.name ?? before?.name ?? '',
        arguments: (before?.arguments ?? '') + (call.function?.arguments ?? ''),
      };
    }
    if (chunk.details !== undefined) {
      this.#details(chunk.details, delta?.reasoning_content === undefined, now);
    }
    this.#end(chunk);
    this.changed();
  }

  #details(details: ChunkDetails, isText: boolean, now: number): void {
    const { tokens } = details;
    if (details.prefill !== undefined) this.prefill = details.prefill;
    if (details.prompt_tokens !== undefined) {
      this.report = {
        ...this.report,
        promptTokens: details.prompt_tokens,
        cachedTokens: details.cached_tokens ?? 0,
        cachedInMemory: details.cached_in_memory ?? 0,
        prefixEnd: details.prefix_end ?? '',
      };
    }
    if (typeof tokens !== 'object') return;
    for (const run of tokens) {
      if (run.drafter !== undefined) this.guessed += 1;
      this.drafted += run.guesses ?? 0;
      if (isText) this.runs.push(run);
    }
    this.tokens += tokens.length;
    this.#meter.add(tokens.length, now);
  }

  #end({ choices, details, timings, engine, warnings }: Chunk): void {
    const finish = choices?.[0]?.finish_reason;
    if (finish != null) this.report = { ...this.report, finish };
    if (timings === undefined) return;
    const { draft } = timings;
    this.report = {
      ...this.report,
      seed: timings.seed,
      queueMs: timings.queue_ms,
      prefillMs: timings.prefill_ms,
      decodeMs: timings.decode_ms,
      tokensPerSecond: timings.decode_tps,
      tokens: typeof details?.tokens === 'number' ? details.tokens : this.tokens,
      steps: draft.steps,
      drafted: draft.drafted,
      accepted: draft.accepted,
      byDrafter: draft.by_drafter,
      ...(details?.restore_ms === undefined ? {} : { restoreMs: details.restore_ms }),
      ...(details?.controller === undefined ? {} : { controller: details.controller }),
      ...(details?.failed === undefined ? {} : { failed: details.failed }),
      ...(engine === undefined ? {} : { engine }),
      ...(warnings === undefined ? {} : { warnings }),
    };
  }

  /** Tells whoever draws it, at the next frame. */
  changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const tell = (): void => {
      if (!this.#scheduled) return;
      this.#scheduled = false;
      this.frame.value += 1;
    };
    requestAnimationFrame(tell);
    // Windows in the background have no frames.
    setTimeout(tell, 500);
  }
}
