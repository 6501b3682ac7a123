/**
 * Rows of a text for their own sake: logits and hidden states of given tokens, without sampling. What
 * benchmarks, perplexity and embeddings are made of.
 */
import type { Job, JobNeed, PassOutcome } from './job.js';
import type { PassRequest } from './pass-runner.js';
import type { Text } from './text.js';

export interface RowsOptions {
  /** Which tokens' logits are wanted; default: the last one's. */
  readonly outputs?: PassRequest['outputs'];
  /** See `PassRequest`; nothing else may run before the rows are looked at. */
  readonly top?: PassRequest['top'];
  readonly features?: PassRequest['features'];
  readonly signal?: AbortSignal | undefined;
}

/** One pass over tokens that come after what the text has. */
export class RowsJob implements Job {
  readonly priority = 0;
  readonly deadline = Number.POSITIVE_INFINITY;
  /** What the pass gave. @throws as passes do. */
  readonly result: Promise<PassOutcome>;
  readonly #abort = new AbortController();
  #done = false;
  #resolve: (result: PassOutcome) => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(
    readonly text: Text,
    readonly tokens: readonly number[],
    readonly options: RowsOptions = {},
  ) {
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.result.catch(() => {}); // whoever reads it sees the failure
    const { signal } = options;
    if (signal?.aborted) this.#abort.abort(signal.reason);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => this.#abort.abort(this.options.signal?.reason);

  get need(): JobNeed {
    if (this.#done) return 'done';
    return this.text.state.pending === undefined ? 'decode' : 'rest';
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get promptLeft(): number {
    return 0;
  }

  abort(): void {
    this.#abort.abort();
  }

  start(wake: () => void): void {
    void this.text.state.pending?.then(wake, (error: unknown) => this.fail(error));
  }

  async draft(): Promise<number> {
    return this.tokens.length;
  }

  take(): Omit<PassRequest, 'state'> {
    const { outputs = 'last', top, features } = this.options;
    return { tokens: this.tokens, outputs, top, features };
  }

  settle(outcome: PassOutcome): void {
    this.text.commit(this.tokens);
    this.#finish();
    this.#resolve(outcome);
  }

  fail(error: unknown): void {
    if (this.#done) return;
    this.#finish();
    this.#reject(error);
  }

  #finish(): void {
    this.#done = true;
    this.options.signal?.removeEventListener('abort', this.#onAbort);
  }
}
