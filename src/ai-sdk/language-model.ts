/**
 * A language model of the AI SDK that computes in this process, in its interface v4 (major 7) or v3
 * (major 6), which differ only in what prompts may hold. The same call with the same seed gives the
 * same text, streamed or whole.
 */
import { randomUUID } from 'node:crypto';
import { PacelineError } from '../base/errors.js';
import type { TextEvent } from '../chat/events.js';
import type { TextRequest } from '../chat/request.js';
import { ResultBuilder } from '../chat/result.js';
import type { RunOptions } from '../chat/run.js';
import { reasonOf } from './abort.js';
import { type CallOptions, toCall } from './call-options.js';
import { finishOf } from './finish.js';
import { contentOf, type Part, PartWriter } from './parts.js';

/** The interfaces that models can have. */
export type SpecificationVersion = 'v3' | 'v4';

export interface LanguageModelOptions<Version extends SpecificationVersion> {
  readonly version: Version;
  readonly modelId: string;
  readonly run: (request: TextRequest, options: RunOptions) => Promise<void>;
}

export class PacelineLanguageModel<Version extends SpecificationVersion> {
  readonly specificationVersion: Version;
  readonly provider = 'paceline';
  /** Nothing is read from an address. */
  readonly supportedUrls = {};
  readonly modelId: string;
  readonly #run: LanguageModelOptions<Version>['run'];

  constructor({ version, modelId, run }: LanguageModelOptions<Version>) {
    this.specificationVersion = version;
    this.modelId = modelId;
    this.#run = run;
  }

  /** @throws {PacelineError} what is wrong with the call, or with the model; the signal's reason. */
  async doGenerate(options: CallOptions) {
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
  async doStream(options: CallOptions) {
    const { request, warnings } = toCall(this.modelId, options);
    const given = options.abortSignal ?? new AbortController().signal;
    // A reader that leaves ends the text like a signal.
    const left = new AbortController();
    const signal = AbortSignal.any([given, left.signal]);
    const writer = new PartWriter();
    const head: Part[] = [
      { type: 'stream-start', warnings },
      { type: 'response-metadata', ...this.#response() },
    ];
    let begun = (): void => {};
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    let ended: Promise<void> = Promise.resolve();
    const stream = new ReadableStream<Part>({
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
