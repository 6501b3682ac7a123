/**
 * A language model of the AI SDK (its interface v3, which the majors 6 and 7 run) that computes in this
 * process. The same call with the same seed gives the same text, streamed or whole.
 */
import { randomUUID } from 'node:crypto';
import type {
  LanguageModelV3,
  LanguageModelV3CallOptions,
  LanguageModelV3GenerateResult,
  LanguageModelV3StreamPart,
  LanguageModelV3StreamResult,
} from '@ai-sdk/provider';
import { PacelineError } from '../base/errors.js';
import type { TextEvent } from '../chat/events.js';
import type { TextRequest } from '../chat/request.js';
import { ResultBuilder } from '../chat/result.js';
import type { RunOptions } from '../chat/run.js';
import { toCall } from './call-options.js';
import { finishOf } from './finish.js';
import { contentOf, PartWriter } from './parts.js';

export interface LanguageModelOptions {
  readonly modelId: string;
  readonly run: (request: TextRequest, options: RunOptions) => Promise<void>;
}

export class PacelineLanguageModel implements LanguageModelV3 {
  readonly specificationVersion = 'v3';
  readonly provider = 'paceline';
  /** Nothing is read from an address. */
  readonly supportedUrls = {};
  readonly modelId: string;
  readonly #run: LanguageModelOptions['run'];

  constructor({ modelId, run }: LanguageModelOptions) {
    this.modelId = modelId;
    this.#run = run;
  }

  /** @throws {PacelineError} what is wrong with the call, or with the model; the signal's reason. */
  async doGenerate(options: LanguageModelV3CallOptions): Promise<LanguageModelV3GenerateResult> {
    const { request, warnings } = toCall(this.modelId, options);
    const signal = options.abortSignal ?? new AbortController().signal;
    const builder = new ResultBuilder();
    try {
      await this.#run(request, { signal, emit: (event) => builder.add(event) });
    } catch (error) {
      throw reasonOf(error, signal);
    }
    const { start, choices } = builder.result;
    const [choice] = choices;
    if (choice === undefined) throw new PacelineError('internal', 'A call without a text');
    const content = contentOf(choice);
    return { content, ...finishOf(start, choice.end), warnings, response: this.#response() };
  }

  /** Rejects where the call can't begin; what fails later is an `error` part. @throws as `doGenerate` */
  async doStream(options: LanguageModelV3CallOptions): Promise<LanguageModelV3StreamResult> {
    const { request, warnings } = toCall(this.modelId, options);
    const given = options.abortSignal ?? new AbortController().signal;
    // A reader that leaves ends the text like a signal.
    const left = new AbortController();
    const signal = AbortSignal.any([given, left.signal]);
    const writer = new PartWriter();
    const head: LanguageModelV3StreamPart[] = [
      { type: 'stream-start', warnings },
      { type: 'response-metadata', ...this.#response() },
    ];
    let begun = (): void => {};
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    let ended: Promise<void> = Promise.resolve();
    const stream = new ReadableStream<LanguageModelV3StreamPart>({
      start: (controller) => {
        for (const part of head) controller.enqueue(part);
        const emit = (event: TextEvent): void => {
          if (left.signal.aborted) return;
          if (options.includeRawChunks === true) {
            controller.enqueue({ type: 'raw', rawValue: event });
          }
          for (const part of writer.push(event)) controller.enqueue(part);
          if (event.type === 'start') begun();
        };
        ended = this.#run(request, { signal, emit });
        ended.then(
          () => controller.close(),
          (error: unknown) => {
            if (left.signal.aborted) return;
            controller.enqueue({ type: 'error', error: reasonOf(error, given) });
            controller.close();
          },
        );
      },
      cancel: () => left.abort(),
    });
    try {
      await Promise.race([started, ended]);
    } catch (error) {
      throw reasonOf(error, given);
    }
    return { stream };
  }

  #response() {
    return { id: `paceline-${randomUUID()}`, timestamp: new Date(), modelId: this.modelId };
  }
}

/** An abort is told as its signal's reason, by which the SDK knows it. */
function reasonOf(error: unknown, signal: AbortSignal): unknown {
  const aborted = signal.aborted && PacelineError.is(error) && error.code === 'aborted';
  return aborted ? signal.reason : error;
}
