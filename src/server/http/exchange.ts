/**
 * Carries a text from the engine to a client in a dialect's shape: whole or streamed, with signs of
 * life by timer, errors also in mid-stream, and an end within a step of the engine when the client
 * has gone. Knows no dialect by name.
 */
import { PacelineError } from '../../base/errors.js';
import type { TextEvent } from '../../chat/events.js';
import { ResultBuilder } from '../../chat/result.js';
import type { StreamEncoder, TextExchange } from '../dialects/dialect.js';
import { toFailure } from '../internal/failure.js';
import { runSeveral } from './several-prompts.js';
import type { TextSource } from './text-source.js';

/** Sees what happens to a text, for metrics and logs. */
export interface TextObserver {
  batch(events: readonly TextEvent[]): void;
  /** Called once; without an error the text is complete. */
  end(error?: PacelineError): void;
}

export interface AnswerOptions {
  readonly source: TextSource;
  readonly exchange: TextExchange;
  /** Aborted when the client has gone; a stream that is cancelled aborts it. */
  readonly gone: AbortController;
  readonly client: string;
  readonly observer: TextObserver;
  /** After so long without a word a stream says that it lives. */
  readonly keepAliveMs: number;
}

/** @throws {PacelineError} what goes wrong before the first byte of the answer. */
export async function answerText(options: AnswerOptions): Promise<Response> {
  const { source, exchange, gone, client, observer } = options;
  const { request, further } = exchange;
  const running = { signal: gone.signal, client };
  const batches =
    further === undefined
      ? source.run(request, running)
      : runSeveral(source, [request, ...further], running);
  if (exchange.stream) return streamText(batches, options);
  const result = new ResultBuilder();
  try {
    for await (const batch of batches) {
      observer.batch(batch);
      for (const event of batch) result.add(event);
    }
    const body = exchange.body(result.result);
    observer.end();
    return Response.json(body);
  } catch (thrown) {
    const error = toFailure(thrown);
    observer.end(error);
    throw error;
  }
}

async function streamText(
  batches: AsyncGenerator<readonly TextEvent[], void>,
  options: AnswerOptions,
): Promise<Response> {
  const { exchange, observer, keepAliveMs } = options;
  const encoder = exchange.encoder();
  // A failure before anything is said gets its own status, unless it takes long to come.
  let pending: ReturnType<typeof batches.next> | undefined = batches.next();
  try {
    await beforeLong(pending, keepAliveMs);
  } catch (thrown) {
    const error = toFailure(thrown);
    observer.end(error);
    throw error;
  }
  const bytes = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const say = (text: string): void => {
        if (text !== '') controller.enqueue(bytes.encode(text));
      };
      try {
        for (;;) {
          pending ??= batches.next();
          const next = await beforeLong(pending, keepAliveMs);
          if (next === undefined) {
            say(encoder.ping());
            return;
          }
          pending = undefined;
          if (next.done) {
            say(encoder.end());
            observer.end();
            controller.close();
            return;
          }
          observer.batch(next.value);
          const text = encoder.events(next.value);
          if (text === '') continue;
          say(text);
          return;
        }
      } catch (thrown) {
        const error = toFailure(thrown);
        observer.end(error);
        say(encoder.error(error));
        controller.close();
      }
    },
    cancel() {
      options.gone.abort();
      // The abort lets a waiting call fail; nobody is there to hear of it.
      void pending?.catch(() => {});
      void batches.return().catch(() => {});
      observer.end(new PacelineError('aborted', 'The client has gone'));
    },
  });
  return new Response(body, { headers: streamHeaders(encoder) });
}

function streamHeaders({ contentType }: StreamEncoder): Record<string, string> {
  return {
    'content-type': `${contentType}; charset=utf-8`,
    'cache-control': 'no-cache, no-transform',
    // Proxies that collect a stream before they pass it on take this as a no.
    'x-accel-buffering': 'no',
  };
}

/** What the promise gives, or undefined when that takes longer. */
async function beforeLong<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
