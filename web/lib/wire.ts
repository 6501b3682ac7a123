/** Streams of the server as they come: lines, server-sent events, and what a chunk says. */

import type { Run } from './runs.js';
import type { ControllerReport } from './tree.js';

/** Cuts pieces of a stream into lines; a line that is not complete waits for the next piece. */
export class LineReader {
  #rest = '';

  push(piece: string): readonly string[] {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines.map((line) => line.replace(/\r$/, ''));
  }

  /** What stands behind the last line end. */
  end(): string {
    return this.#rest;
  }
}

/** The data of a line of server-sent events; undefined for others, comments and the last word. */
export function eventData(line: string): unknown {
  if (!line.startsWith('data:')) return undefined;
  const data = line.slice(5).trim();
  return data === '[DONE]' || data === '' ? undefined : JSON.parse(data);
}

export interface ChunkDetails {
  readonly prompt_tokens?: number;
  readonly cached_tokens?: number;
  readonly cached_in_memory?: number;
  readonly prefix_end?: string;
  readonly prefill?: { readonly done: number; readonly total: number };
  /** Tokens of the text; at the end their number. */
  readonly tokens?: readonly Run[] | number;
  readonly restore_ms?: number;
  readonly controller?: ControllerReport;
  readonly failed?: Readonly<Record<string, string>>;
}

interface ToolCallDelta {
  readonly index: number;
  readonly id?: string;
  readonly function?: { readonly name?: string; readonly arguments?: string };
}

/** A chunk of `/v1/chat/completions` or `/v1/completions`, as far as the page reads it. */
export interface Chunk {
  readonly choices?: readonly {
    readonly text?: string;
    readonly delta?: {
      readonly content?: string | null;
      readonly reasoning_content?: string;
      readonly tool_calls?: readonly ToolCallDelta[];
    };
    readonly finish_reason?: string | null;
  }[];
  readonly details?: ChunkDetails;
  readonly timings?: {
    readonly queue_ms: number;
    readonly prefill_ms: number;
    readonly decode_ms: number;
    readonly decode_tps: number;
    readonly seed: number;
    readonly draft: {
      readonly steps: number;
      readonly drafted: number;
      readonly accepted: number;
      readonly by_drafter: Readonly<
        Record<string, { readonly drafted: number; readonly accepted: number }>
      >;
    };
  };
  /** Which engine answered, where it was not the server's own. */
  readonly engine?: string;
  readonly warnings?: readonly string[];
  readonly error?: { readonly message: string; readonly code?: string };
}

/** Tokens a second over the last while, from counts as they come. */
export class RateMeter {
  readonly #windowMs: number;
  #marks: { readonly at: number; readonly tokens: number }[] = [];

  constructor(windowMs = 1500) {
    this.#windowMs = windowMs;
  }

  add(tokens: number, now: number): void {
    this.#marks.push({ at: now, tokens });
    while (this.#marks.length > 2 && now - (this.#marks[0]?.at ?? now) > this.#windowMs) {
      this.#marks.shift();
    }
  }

  /** Undefined until there are two marks. */
  get rate(): number | undefined {
    const [first] = this.#marks;
    const last = this.#marks.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) return undefined;
    const tokens = this.#marks.slice(1).reduce((sum, mark) => sum + mark.tokens, 0);
    return (tokens * 1000) / (last.at - first.at);
  }
}
