/**
 * Runs requests on the upstreams of one model. A request goes to one upstream; where that fails before
 * anything of the answer was told, to the next. What was begun is never run again, and nothing is run
 * twice at once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { PacelineError } from '../../base/errors.js';
import { isContent, type TextEvent } from '../../chat/events.js';
import { isRetryable } from '../wire/http.js';
import { type AffinityMemory, chooseUpstream } from './choose.js';
import { noUpstream, type Upstream } from './upstream.js';

/** An upstream, and what it calls the model. */
export interface UpstreamTarget {
  readonly upstream: Upstream;
  readonly model: string;
  /** Makes an engine that was started here answer again. @throws as `ManagedModel.ensure` */
  readonly revive?: (signal: AbortSignal) => Promise<void>;
}

export interface GroupOptions {
  readonly model: string;
  readonly targets: () => readonly UpstreamTarget[];
  readonly affinity: AffinityMemory;
  /** A request waits so long for an upstream that is well; default 30 s. */
  readonly patienceMs?: number;
}

export interface TargetOptions {
  readonly signal: AbortSignal;
  /** Which requests belong together. */
  readonly conversation: string;
}

/** So often a request that an upstream had accepted is run; then it is the request that kills. */
const mostAttempts = 3;
const usualPatienceMs = 30_000;
const firstPauseMs = 50;
const longestPauseMs = 2000;

export class UpstreamGroup {
  readonly #options: GroupOptions;
  #turn = 0;
  readonly #waiters = new Set<() => void>();

  constructor(options: GroupOptions) {
    this.#options = options;
  }

  /** Requests that all upstreams together take at once. */
  get slots(): number {
    return this.#options.targets().reduce((sum, { upstream }) => sum + upstream.slots, 0);
  }

  get isAvailable(): boolean {
    return this.#options.targets().some(({ upstream }) => upstream.isAvailable);
  }

  /** Something about an upstream has changed. */
  wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }

  /**
   * Runs `attempt` on an upstream, and on the next as long as nothing was told.
   * @throws {PacelineError} `unavailable` when no upstream is well for the patience; what the last
   *   attempt failed with.
   */
  async *stream(
    options: TargetOptions,
    attempt: (
      target: UpstreamTarget,
      onAccepted: () => void,
    ) => AsyncGenerator<readonly TextEvent[], void>,
  ): AsyncGenerator<readonly TextEvent[], void> {
    const { signal } = options;
    const tries = new Tries(this.#options.patienceMs ?? usualPatienceMs);
    let started = false;
    let told = false;
    for (;;) {
      const target = await this.#pick(options, tries);
      const lease = target.upstream.begin();
      let accepted = false;
      const onAccepted = (): void => {
        accepted = true;
      };
      try {
        for await (const batch of attempt(target, onAccepted)) {
          const fresh = started ? batch.filter(({ type }) => type !== 'start') : batch;
          started ||= batch.some(({ type }) => type === 'start');
          told ||= batch.some(isContent);
          if (fresh.length > 0) yield fresh;
        }
        lease.succeeded();
        return;
      } catch (error) {
        if (isRetryable(error)) lease.failed(error);
        await this.#again(error, { told, accepted, target, tries, signal });
      } finally {
        lease.end();
      }
    }
  }

  /** Asks one upstream, and the next where it does not answer. @throws as `stream` */
  async ask<T>(
    options: TargetOptions,
    question: (target: UpstreamTarget) => Promise<T>,
  ): Promise<T> {
    const { signal } = options;
    const tries = new Tries(this.#options.patienceMs ?? usualPatienceMs);
    for (;;) {
      const target = await this.#pick(options, tries);
      const lease = target.upstream.begin();
      try {
        const value = await question(target);
        lease.succeeded();
        return value;
      } catch (error) {
        if (isRetryable(error)) lease.failed(error);
        await this.#again(error, { told: false, accepted: true, target, tries, signal });
      } finally {
        lease.end();
      }
    }
  }

  /** Prepares another try. @throws the error where there may be none */
  async #again(
    error: unknown,
    state: {
      readonly told: boolean;
      readonly accepted: boolean;
      readonly target: UpstreamTarget;
      readonly tries: Tries;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    const { told, accepted, target, tries, signal } = state;
    if (told || !isRetryable(error) || signal.aborted) throw error;
    // Who is busy has not begun.
    const answered = error.details.status !== undefined && !isBusy(error);
    if (accepted || answered) tries.accepted += 1;
    if (tries.accepted >= mostAttempts || tries.isOver) throw error;
    tries.failed.add(target.upstream.id);
    tries.last = error;
    const others = this.#options
      .targets()
      .some(({ upstream }) => upstream.isAvailable && !tries.failed.has(upstream.id));
    if (others) return;
    tries.failed.clear();
    const { retryAfter } = error.details;
    const asked = typeof retryAfter === 'number' ? retryAfter * 1000 : tries.nextPause();
    // One who says how long to wait is believed, if that is not for ever.
    if (asked > tries.leftMs) throw error;
    await delay(asked, undefined, { signal }).catch(() => {});
  }

  async #pick({ signal, conversation }: TargetOptions, tries: Tries): Promise<UpstreamTarget> {
    const { model, targets, affinity } = this.#options;
    for (;;) {
      if (signal.aborted) throw new PacelineError('aborted', 'The request was given up');
      const all = targets();
      if (all.length === 0) throw noUpstream(model);
      const candidates = all
        .filter(({ upstream }) => upstream.isAvailable && !tries.failed.has(upstream.id))
        .map((target) => ({
          target,
          id: target.upstream.id,
          outstanding: target.upstream.outstanding,
          slots: target.upstream.slots,
        }));
      const last = affinity.find(conversation);
      const chosen = chooseUpstream(candidates, { last, turn: this.#turn });
      if (chosen !== undefined) {
        this.#turn = (this.#turn + 1) % 1_000_000;
        affinity.remember(conversation, chosen.id);
        return chosen.target;
      }
      const held = all.find(({ upstream, revive }) => revive && upstream.state === 'held');
      if (candidates.length === 0 && held !== undefined) {
        // Its starts have limits of their own, and end with an error where they don't succeed.
        await held.revive?.(signal);
        tries.extend();
        continue;
      }
      // Waiting for a slot is no failure.
      if (candidates.length > 0) tries.extend();
      if (tries.isOver) throw tries.last ?? noUpstream(model);
      await this.#change(signal, tries.leftMs);
    }
  }

  /** Waits until something about an upstream changes, or for so long. */
  #change(signal: AbortSignal, milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(1, milliseconds));
      this.#waiters.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

function isBusy({ code }: PacelineError): boolean {
  return code === 'busy' || code === 'unavailable';
}

/** What a request has been through. */
class Tries {
  /** Upstreams that failed in this round. */
  readonly failed = new Set<string>();
  /** Attempts that an upstream had begun to work on. */
  accepted = 0;
  last: PacelineError | undefined;
  readonly #patienceMs: number;
  #until: number;
  #pauses = 0;

  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
    this.#until = performance.now() + patienceMs;
  }

  /** Begins the patience anew. */
  extend(): void {
    this.#until = performance.now() + this.#patienceMs;
  }

  get leftMs(): number {
    return this.#until - performance.now();
  }

  get isOver(): boolean {
    return this.leftMs <= 0;
  }

  nextPause(): number {
    return Math.min(longestPauseMs, firstPauseMs * 2 ** this.#pauses++);
  }
}
