/** One generated text as the command line starts it and reports on it. */
import type { Generation, ModelInfo, StreamEvent } from '../engine/types.js';
import type { SessionLike } from './engine.js';
import { snakeKeys } from './output.js';
import { rate } from './table.js';

/** The JSON of the contract for a finished text. */
export function runReport(generation: Generation, info: ModelInfo): Record<string, unknown> {
  const { timings, draft } = generation;
  return {
    text: generation.text,
    tokens: generation.tokens,
    finish_reason: generation.finishReason,
    prompt_tokens: generation.promptTokens,
    cached_tokens: generation.cachedTokens,
    seed: generation.seed,
    timings: {
      load_ms: info.loadMs,
      prefill_ms: timings.prefillMs,
      prefill_tps: timings.prefillTokensPerSecond,
      decode_ms: timings.decodeMs,
      decode_tps: timings.decodeTokensPerSecond,
    },
    draft: snakeKeys(draft),
    ...(generation.logprobs === undefined ? {} : { logprobs: generation.logprobs }),
    model: {
      path: info.path,
      name: info.name,
      architecture: info.architecture,
      kernels: info.kernels,
      kv_type: info.kvType,
      threads: info.threads,
    },
  };
}

/** One line about how fast a text was made. */
export function summaryLine(generation: Generation): string {
  const { timings, draft, tokens, promptTokens, cachedTokens } = generation;
  const parts = [
    `${tokens.length} tokens, ${rate(timings.decodeTokensPerSecond)} tok/s`,
    `prompt ${promptTokens}${cachedTokens > 0 ? ` (${cachedTokens} cached)` : ''}`,
  ];
  if (draft.drafted > 0) parts.push(`${draft.accepted} of ${draft.drafted} drafts accepted`);
  return parts.join(' · ');
}

/** Starts the text: a chat turn or a continuation. */
export function startText(
  session: SessionLike,
  prompt: string,
  chat: boolean,
  system: string | undefined,
  options: Parameters<SessionLike['streamChat']>[1],
): AsyncIterable<StreamEvent> {
  if (!chat) return session.stream(prompt, options);
  const messages = system === undefined ? [] : [{ role: 'system' as const, content: system }];
  return session.streamChat([...messages, { role: 'user', content: prompt }], options);
}
