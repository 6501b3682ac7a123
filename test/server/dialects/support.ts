/** Events as the engine would send them, and a context without clock or chance. */

import type { ChoiceEnd, TextEvent } from '../../../src/chat/events.js';
import { ResultBuilder } from '../../../src/chat/result.js';
import type { DialectContext, TextExchange } from '../../../src/server/dialects/dialect.js';
import { type Json, sseData } from '../support.js';

export function context(headers: Readonly<Record<string, string>> = {}): DialectContext {
  let ids = 0;
  return {
    newId: (prefix) => `${prefix}${++ids}`,
    now: () => 1_700_000_000_000,
    header: (name) => headers[name],
  };
}

export function end(more: Partial<ChoiceEnd> = {}): ChoiceEnd {
  return {
    type: 'end',
    choice: 0,
    reason: 'stop',
    tokens: 9,
    reasoningTokens: 2,
    seed: 1,
    timings: {
      queueMs: 0,
      restoreMs: 0,
      prefillMs: 1,
      prefillTokensPerSecond: 1,
      decodeMs: 1,
      decodeTokensPerSecond: 1,
    },
    draft: { kind: 'ngram', steps: 5, drafted: 4, accepted: 3, byDrafter: {} },
    ...more,
  };
}

/** Thought, text, then two calls. */
export const toolEvents: readonly TextEvent[] = [
  { type: 'start', promptTokens: 20, cachedTokens: 5 },
  { type: 'progress', done: 15, total: 15 },
  { type: 'reasoning', choice: 0, text: 'let me ' },
  { type: 'reasoning', choice: 0, text: 'look' },
  { type: 'text', choice: 0, text: 'I look.' },
  { type: 'tool-start', choice: 0, index: 0, id: 'call_a', name: 'read' },
  { type: 'tool-arguments', choice: 0, index: 0, text: '{"path"' },
  { type: 'tool-arguments', choice: 0, index: 0, text: ':"a"}' },
  { type: 'tool-end', choice: 0, index: 0 },
  { type: 'tool-start', choice: 0, index: 1, id: 'call_b', name: 'list' },
  { type: 'tool-arguments', choice: 0, index: 1, text: '{}' },
  { type: 'tool-end', choice: 0, index: 1 },
  end({ reason: 'tool-calls' }),
];

/** The stream of an exchange over these events, as parsed data. */
export function streamed(exchange: TextExchange, events: readonly TextEvent[]): Json[] {
  return sseData(streamText(exchange, events));
}

export function streamText(exchange: TextExchange, events: readonly TextEvent[]): string {
  const encoder = exchange.encoder();
  return events.map((event) => encoder.events([event])).join('') + encoder.end();
}

/** The whole answer of an exchange over these events. */
export function whole(exchange: TextExchange, events: readonly TextEvent[]): Json {
  const builder = new ResultBuilder();
  for (const event of events) builder.add(event);
  return JSON.parse(JSON.stringify(exchange.body(builder.result))) as Json;
}

/** The path that a refused body names. */
export function refusedParam(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    const { code, details } = error as { code: string; details: { param?: string } };
    return `${code} ${details.param}`;
  }
  return 'accepted';
}
