/** One request that the engine's process works on: its reports in, batches of events out. */
import { PacelineError } from '../../base/errors.js';
import type { EngineEvent, Report } from '../engine-process/messages.js';
import { fromFailureData } from '../internal/failure.js';

export class Job {
  /** Settles when the engine has let go of the request, however it ended. */
  readonly settled: Promise<void>;
  #settle: () => void = () => {};
  #events: EngineEvent[] = [];
  #end: { readonly value?: unknown; readonly error?: PacelineError } | undefined;
  #wake: (() => void) | undefined;

  constructor(readonly id: number) {
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get isSettled(): boolean {
    return this.#end !== undefined;
  }

  receive(report: Report): void {
    if (this.#end !== undefined) return;
    if ('event' in report) this.#events.push(report.event);
    else if ('failure' in report) this.fail(fromFailureData(report.failure));
    else this.#finish({ value: report.value });
    this.#wake?.();
  }

  fail(error: PacelineError): void {
    this.#finish({ error });
  }

  #finish(end: { readonly value?: unknown; readonly error?: PacelineError }): void {
    this.#end ??= end;
    this.#settle();
    this.#wake?.();
  }

  /** What the engine answered. @throws what it answered with */
  async value(signal?: AbortSignal): Promise<unknown> {
    for await (const _ of this.batches(signal)) {
      // A question has no events.
    }
    return this.#end?.value;
  }

  /**
   * Events as they come, all that are there at once. A reader that is slow finds more of them; what
   * waits for it is bounded by the context of the model.
   * @throws {PacelineError} `aborted` at once when the signal fires; what the engine failed with.
   */
  async *batches(signal?: AbortSignal): AsyncGenerator<readonly EngineEvent[], void> {
    const wake = (): void => this.#wake?.();
    signal?.addEventListener('abort', wake);
    try {
      for (;;) {
        if (signal?.aborted) throw new PacelineError('aborted', 'The request was given up');
        if (this.#events.length > 0) {
          const events = this.#events;
          this.#events = [];
          yield events;
          continue;
        }
        if (this.#end?.error !== undefined) throw this.#end.error;
        if (this.#end !== undefined) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      signal?.removeEventListener('abort', wake);
    }
  }
}
