/**
 * What an upstream tells of a text beside its words: tokens of prompt and answer, what was cached,
 * drafts. Each backend tells some of it in places of its own; what none tells is measured or counted.
 */
import { isRecord } from '../../base/records.js';
import type { StartEvent } from '../../chat/events.js';
import type { DraftStatistics, Timings } from '../../engine/types.js';
import { countOf, fieldOf, type JsonRecord } from './values.js';

export class AnswerCounts {
  readonly #began = performance.now();
  #firstAt: number | undefined;
  #lastAt = 0;
  #cached: number | undefined;
  #startedWith: number | undefined;
  #tokens: number | undefined;
  #reasoning: number | undefined;
  /** Pieces of text, thought among them: tokens, where nobody counts them. */
  #pieces = 0;
  #thoughtPieces = 0;
  /** Tokens when the last piece of thought came. */
  #thoughtUntil: number | undefined;
  #drafted = 0;
  #accepted = 0;
  promptTokens: number | undefined;

  get cachedTokens(): number {
    return this.#cached ?? 0;
  }

  get tokens(): number {
    return this.#tokens ?? this.#pieces;
  }

  get reasoningTokens(): number {
    return Math.min(this.tokens, this.#reasoning ?? this.#thoughtUntil ?? this.#thoughtPieces);
  }

  read(chunk: JsonRecord): void {
    if (isRecord(chunk.usage)) this.#usage(chunk.usage);
    if (isRecord(chunk.timings)) this.#timings(chunk.timings);
    if (isRecord(chunk.details)) {
      this.promptTokens ??= countOf(chunk.details.prompt_tokens);
      this.#cached ??= countOf(chunk.details.cached_tokens);
    }
  }

  #usage(usage: JsonRecord): void {
    this.promptTokens = countOf(usage.prompt_tokens) ?? this.promptTokens;
    this.#tokens = countOf(usage.completion_tokens) ?? this.#tokens;
    const cached = countOf(fieldOf(usage.prompt_tokens_details, 'cached_tokens'));
    this.#cached = cached ?? this.#cached;
    const details = usage.completion_tokens_details;
    this.#reasoning = countOf(fieldOf(details, 'reasoning_tokens')) ?? this.#reasoning;
    const accepted = countOf(fieldOf(details, 'accepted_prediction_tokens'));
    const rejected = countOf(fieldOf(details, 'rejected_prediction_tokens'));
    if (accepted !== undefined) this.#accepted = accepted;
    if (rejected !== undefined) this.#drafted = this.#accepted + rejected;
  }

  /** llama-server's own. */
  #timings(timings: JsonRecord): void {
    const [fresh, cached] = [countOf(timings.prompt_n), countOf(timings.cache_n)];
    if (fresh !== undefined) this.promptTokens = fresh + (cached ?? 0);
    this.#cached = cached ?? this.#cached;
    this.#tokens = countOf(timings.predicted_n) ?? this.#tokens;
    this.#drafted = countOf(timings.draft_n) ?? this.#drafted;
    this.#accepted = countOf(timings.draft_n_accepted) ?? this.#accepted;
  }

  /** A piece of text came. */
  said(thought: boolean): void {
    this.#startedWith ??= this.promptTokens;
    const now = performance.now();
    this.#firstAt ??= now;
    this.#lastAt = now;
    this.#pieces += 1;
    if (thought) this.thought();
  }

  /** The piece that came was thought. */
  thought(): void {
    this.#thoughtPieces += 1;
    this.#thoughtUntil = this.#tokens;
  }

  ending(): {
    readonly timings: Timings;
    readonly draft: DraftStatistics;
    readonly prompt: Pick<StartEvent, 'promptTokens' | 'cachedTokens'>;
  } {
    const prefillMs = (this.#firstAt ?? performance.now()) - this.#began;
    const decodeMs = this.#firstAt === undefined ? 0 : this.#lastAt - this.#firstAt;
    const { promptTokens = 0, cachedTokens, tokens } = this;
    const rate = (count: number, ms: number): number => (ms > 0 ? (1000 * count) / ms : 0);
    const [drafted, accepted] = [this.#drafted, this.#accepted];
    return {
      timings: {
        queueMs: 0,
        restoreMs: 0,
        prefillMs,
        prefillTokensPerSecond: rate(promptTokens - cachedTokens, prefillMs),
        decodeMs,
        decodeTokensPerSecond: rate(tokens, decodeMs),
      },
      draft: {
        kind: drafted > 0 ? 'auto' : 'none',
        steps: Math.max(0, tokens - accepted),
        drafted,
        accepted,
        byDrafter: {},
      },
      prompt: { promptTokens, cachedTokens },
    };
  }
}
