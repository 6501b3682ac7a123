/** One generated text as the command line starts it and reports on it. */

import { defaultModelPath } from '../base/paths.js';
import type { ExpertStatistics, Generation, ModelInfo, StreamEvent } from '../engine/types.js';
import type { SessionLike } from './engine.js';
import { programName } from './help.js';
import { colours, dim, snakeKeys } from './output.js';
import { bytes, rate } from './table.js';

/** The JSON of the contract for a finished text. */
export function runReport(
  generation: Generation,
  info: ModelInfo,
  experts?: ExpertStatistics,
): Record<string, unknown> {
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
      restore_ms: timings.restoreMs,
      prefill_ms: timings.prefillMs,
      prefill_tps: timings.prefillTokensPerSecond,
      decode_ms: timings.decodeMs,
      decode_tps: timings.decodeTokensPerSecond,
    },
    draft: snakeKeys(draft),
    ...(experts === undefined ? {} : { experts: expertReport(experts, info) }),
    ...(generation.logprobs === undefined ? {} : { logprobs: generation.logprobs }),
    model: {
      path: info.path,
      name: info.name,
      architecture: info.architecture,
      kernels: info.kernels,
      ...(info.device === undefined ? {} : { device: info.device }),
      kv_type: info.kvType,
      threads: info.threads,
    },
  };
}

/** What was read of experts that stay in the file. */
function expertReport(
  statistics: ExpertStatistics,
  { experts }: Pick<ModelInfo, 'experts'>,
): Record<string, unknown> {
  const { rows, asked, found, bytesRead } = statistics;
  return {
    memory_bytes: experts?.memory,
    whole_bytes: experts?.whole,
    hit_rate: asked === 0 ? 0 : found / asked,
    bytes_per_token: rows === 0 ? 0 : bytesRead / rows,
    ...(snakeKeys(statistics) as object),
  };
}

/** One line about how fast a text was made, and what was read of experts that stay in the file. */
export function summaryLine(generation: Generation, experts?: ExpertStatistics): string {
  const { timings, draft, tokens, promptTokens, cachedTokens } = generation;
  const parts = [
    `${tokens.length} tokens, ${rate(timings.decodeTokensPerSecond)} tok/s`,
    cachedTokens > 0
      ? `cached ${grouped(cachedTokens)} of ${grouped(promptTokens)} tokens`
      : `prompt ${grouped(promptTokens)}`,
  ];
  parts.push(`seed ${generation.seed}`);
  if (draft.drafted > 0) parts.push(`${draft.accepted} of ${draft.drafted} drafts accepted`);
  if (experts !== undefined && experts.asked > 0) {
    const hits = Math.round((100 * experts.found) / experts.asked);
    const read = bytes(experts.bytesRead / Math.max(1, experts.rows));
    parts.push(
      `experts: ${hits}% in memory, ${read} read a token, ${Math.round(experts.waitedMs)} ms waited`,
    );
  }
  return parts.join(' · ');
}

/** A count with commas. */
function grouped(count: number): string {
  return count.toLocaleString('en-US');
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

/** Why a text ends in the middle, for a person; undefined when it does not. */
export function cutText(
  { finishReason, tokens }: Pick<Generation, 'finishReason' | 'tokens'>,
  { contextLength }: Pick<ModelInfo, 'contextLength'>,
  maxTokens: number | undefined,
): string | undefined {
  if (finishReason !== 'length') return undefined;
  return maxTokens !== undefined && tokens.length >= maxTokens
    ? `cut at ${maxTokens} tokens (-n)`
    : `cut: the context of ${contextLength} tokens is full (--ctx)`;
}

/** Whether this is the model that comes with the package. */
export function isDemonstration({ path }: Pick<ModelInfo, 'path'>): boolean {
  return path === defaultModelPath();
}

/** What the embedded model is, and how to get a real one. */
export function demonstration(): string {
  return (
    'The embedded model is a demonstration of 7 million parameters: it continues TypeScript and ' +
    `Markdown.\nA real one: ${programName()} run hf:Qwen/Qwen3-0.6B-GGUF, or the path of a GGUF file`
  );
}

/** Characters of a prompt that are shown before its continuation. */
const shownPrompt = 600;

/** The end of a prompt, told from the text that follows by its brightness or by a mark. */
export function promptShown(prompt: string, stream = process.stdout): string {
  const end = prompt.length > shownPrompt ? `…${prompt.slice(-shownPrompt)}` : prompt;
  return colours(stream) ? dim(end, stream) : `${end}▸`;
}
