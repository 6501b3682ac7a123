/** What metrics and the log learn of a text on its way to a client. */
import type { PacelineError } from '../../base/errors.js';
import type { PrefixMiss, TextEvent } from '../../chat/events.js';
import type { TextObserver } from './exchange.js';
import type { Log } from './log.js';
import type { Metrics } from './metrics.js';

export interface ObserveOptions {
  readonly id: string;
  readonly model: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Whether the log may hold the text. */
  readonly logTexts: boolean;
}

/** An agent's tools can have hundreds. */
const mostWarnings = 8;

/** An observer that says one line when the text has ended. */
export function observeText(options: ObserveOptions): TextObserver {
  const { id, model, log, metrics, logTexts } = options;
  const began = performance.now();
  let last: number | undefined;
  let firstMs: number | undefined;
  let prompt = 0;
  let cached = 0;
  let tokens = 0;
  let drafted = 0;
  let accepted = 0;
  let text = '';
  let ended = false;
  const tellMiss = ({ tokens: same, bytes, had, got }: PrefixMiss): void => {
    const texts = logTexts ? { had, got } : {};
    log('info', 'prefix differs', { id, same_tokens: same, same_bytes: bytes, ...texts });
  };
  const see = (event: TextEvent): void => {
    if (event.type === 'start') {
      prompt += event.promptTokens;
      cached += event.cachedTokens;
      metrics.start(event);
      if (event.missed !== undefined) tellMiss(event.missed);
    } else if (event.type === 'end') {
      tokens += event.tokens;
      drafted += event.draft.drafted;
      accepted += event.draft.accepted;
      metrics.end(event);
      for (const warning of event.warnings?.slice(0, mostWarnings) ?? []) {
        log('warn', 'not enforced', { id, warning });
      }
    } else if (event.type === 'text' && logTexts) {
      text += event.text;
    }
  };
  return {
    batch(events) {
      for (const event of events) see(event);
      if (!events.some(({ type }) => type === 'text' || type === 'reasoning')) return;
      const now = performance.now();
      if (last === undefined) {
        firstMs = now - began;
        metrics.firstToken(firstMs / 1000);
      } else {
        metrics.betweenTokens((now - last) / 1000);
      }
      last = now;
    },
    end(error?: PacelineError) {
      if (ended) return;
      ended = true;
      if (error?.code === 'aborted') metrics.cancelled();
      const fields = {
        id,
        model,
        prompt,
        cached,
        tokens,
        drafted,
        accepted,
        first_ms: firstMs,
        total_ms: performance.now() - began,
        ...(logTexts ? { text } : {}),
      };
      // What failed before it began is told by the line of the request.
      if (prompt === 0) return;
      if (error === undefined) log('info', 'text', fields);
      else if (error.code === 'aborted') log('info', 'text given up by the client', fields);
      else log('warn', 'text failed', { ...fields, error: `${error.code}: ${error.message}` });
    },
  };
}
