/**
 * Owns the steps of one model: whoever wants rows computed is a job, and in every turn the scheduler
 * lets each job that decodes draft, takes its rows, fills the room that nobody's wait forbids with
 * slices of prompts, runs one pass over all of it, and lets each job settle what it got. Nothing else
 * computes on the device. Any cut gives the same bytes, so the cut is free to be fair.
 *
 * Readers are not waited for: a job says into a bounded queue what it has, and rests while that is
 * full. Knows nothing of tokens' meaning.
 */
import { PacelineError } from '../base/errors.js';
import type { Job } from './job.js';
import type { PassCosts } from './pass-costs.js';
import type { PassLog } from './pass-log.js';
import type { PassRequest, PassRunner } from './pass-runner.js';
import { shareRoom } from './slices.js';

export interface SchedulerOptions {
  readonly runner: PassRunner;
  readonly costs: PassCosts;
  /** Jobs that take turns, but for those that rest; the others wait. Default: 64. */
  readonly mostRunning?: number | undefined;
  /**
   * Jobs that may wait. One more is refused, unless one that waits has a lower priority: then that one
   * is, and of several the one that came last. Default: 1024.
   */
  readonly mostWaiting?: number | undefined;
  /** Sees every pass, after its jobs have settled. */
  readonly passes?: PassLog | undefined;
}

/** Slices beside which others wait have so many rows together at most. */
const mostSharedRows = 512;

interface Part {
  readonly job: Job;
  readonly request: PassRequest;
  readonly decodes: boolean;
}

export class Scheduler {
  readonly #runner: PassRunner;
  readonly #costs: PassCosts;
  readonly #mostRunning: number;
  readonly #mostWaiting: number;
  readonly #passes: PassLog | undefined;
  #running: Job[] = [];
  /** By priority, then by age. */
  #waiting: Job[] = [];
  #loop: Promise<void> | undefined;
  /** Something has changed since the loop looked last. */
  #changed = false;
  #closed = false;

  constructor(options: SchedulerOptions) {
    this.#runner = options.runner;
    this.#costs = options.costs;
    this.#mostRunning = options.mostRunning ?? 64;
    this.#mostWaiting = options.mostWaiting ?? 1024;
    this.#passes = options.passes;
  }

  /** Jobs that take turns, and jobs that wait for one of them to end. */
  get load(): { readonly running: number; readonly waiting: number } {
    return { running: this.#running.length, waiting: this.#waiting.length };
  }

  /** What passes cost: by rows of texts that decode, and for one row of a prompt; in milliseconds. */
  get costs(): {
    readonly passMs: Readonly<Record<string, number>>;
    readonly promptRowMs: number | undefined;
  } {
    return { passMs: this.#costs.decode.toJSON(), promptRowMs: this.#costs.sliceRowMs };
  }

  /**
   * Runs a job until it is done; what comes of it the job tells. A job that had to make room for one
   * of a higher priority fails with `busy`.
   * @throws {PacelineError} `disposed`; `busy` when too many wait that are as urgent.
   */
  submit(job: Job): void {
    if (this.#closed) throw new PacelineError('disposed', 'The model has been disposed of');
    if (this.#waiting.length >= this.#mostWaiting + this.#free()) this.#makeRoom(job.priority);
    const behind = this.#waiting.findIndex(({ priority }) => priority < job.priority);
    this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, job);
    job.signal.addEventListener('abort', this.#wake, { once: true });
    this.#wake();
  }

  /** Refuses the last of the jobs that wait, if that is less urgent. @throws {PacelineError} `busy`. */
  #makeRoom(priority: number): void {
    const busy = (problem: string) =>
      new PacelineError('busy', problem, {
        hint: 'Try again later, or generate fewer texts at once.',
        details: this.load,
      });
    const last = this.#waiting.at(-1);
    if (last === undefined || last.priority >= priority) {
      throw busy(`${this.#waiting.length} texts are waiting already`);
    }
    last.fail(busy('A text with a higher priority took the place of this one in the full queue'));
    last.signal.removeEventListener('abort', this.#wake);
    this.#waiting.pop();
  }

  /** Refuses new jobs, ends those that are there, and waits until nothing computes any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const job of [...this.#waiting, ...this.#running]) job.abort();
    await this.#loop;
    this.#runner.dispose();
  }

  readonly #wake = (): void => {
    this.#changed = true;
    this.#loop ??= this.#run();
  };

  async #run(): Promise<void> {
    // Jobs that are submitted in the same turn of the event loop share the first pass.
    await Promise.resolve();
    while (this.#changed) {
      this.#changed = false;
      do this.#retire();
      while (await this.#turn());
    }
    this.#loop = undefined;
  }

  /** Jobs that can still be admitted. Those that rest take nobody's turn, and so nobody's place. */
  #free(): number {
    const taking = this.#running.filter(({ need }) => need !== 'rest').length;
    return Math.max(0, this.#mostRunning - taking);
  }

  /** Lets go of jobs that are done or shall end, and admits others in their place. */
  #retire(): void {
    const ending = (job: Job): boolean => {
      if (job.need !== 'done' && job.signal.aborted) {
        job.fail(new PacelineError('aborted', 'The operation was aborted'));
      }
      if (job.need === 'done') job.signal.removeEventListener('abort', this.#wake);
      return job.need === 'done';
    };
    this.#running = this.#running.filter((job) => !ending(job));
    this.#waiting = this.#waiting.filter((job) => !ending(job));
    for (let free = this.#free(); free > 0 && this.#waiting.length > 0; free--) {
      const job = this.#waiting.shift() as Job;
      this.#running.push(job);
      this.#guard(job, () => job.start(this.#wake));
    }
  }

  /** One pass, if anybody has rows for one. */
  async #turn(): Promise<boolean> {
    // Readers that come back may be more than there are places; then places go round.
    const ready = this.#running.filter(({ need }) => need === 'decode' || need === 'prefill');
    const first = ready.slice(0, this.#mostRunning);
    const single = first.find(({ need, alone }) => need === 'decode' && alone);
    const turn = single === undefined ? first : [single];
    const decoding = await this.#draft(turn.filter(({ need }) => need === 'decode'));
    const parts: Part[] = [];
    for (const job of decoding) this.#take(parts, job, true, Number.POSITIVE_INFINITY);
    const decodeRows = rowsOf(parts);
    const reading = turn.filter(({ need }) => need === 'prefill');
    if (reading.length > 0) {
      const alone = reading.length === 1 && decodeRows === 0;
      const most = alone ? Number.POSITIVE_INFINITY : mostSharedRows;
      const shares = shareRoom(reading, Math.min(most, this.#costs.sliceRoom(decodeRows)));
      for (const [index, job] of reading.entries()) {
        const room = shares[index] ?? 0;
        if (room > 0) this.#take(parts, job, false, room);
      }
    }
    if (parts.length === 0) return this.#running.some(({ need }) => need === 'done');
    await this.#pass(parts);
    // Who was served goes behind the others of its kind.
    const served = new Set(parts.map(({ job }) => job));
    this.#running = [
      ...this.#running.filter((job) => !served.has(job)),
      ...this.#running.filter((job) => served.has(job)),
    ];
    return true;
  }

  /** Lets jobs draft, one after the other; each hears of the rows of the others. */
  async #draft(jobs: readonly Job[]): Promise<readonly Job[]> {
    const rows = new Map(jobs.map((job) => [job, 1]));
    for (const job of jobs) {
      let otherRows = 0;
      for (const [other, count] of rows) if (other !== job) otherRows += count;
      const otherTokens = rows.size - 1;
      try {
        rows.set(job, await job.draft({ otherRows, otherTokens }));
      } catch (error) {
        job.fail(error);
        rows.delete(job);
      }
    }
    return [...rows.keys()];
  }

  #take(parts: Part[], job: Job, decodes: boolean, room: number): void {
    this.#guard(job, () => {
      const request = { ...job.take(room), state: job.text.state };
      request.state.begin(request.tokens.length);
      parts.push({ job, request, decodes });
    });
  }

  async #pass(parts: readonly Part[]): Promise<void> {
    const stop = new AbortController();
    const check = () => {
      if (parts.every(({ job }) => job.signal.aborted)) stop.abort();
    };
    for (const { job } of parts) job.signal.addEventListener('abort', check);
    check();
    const decodeRows = rowsOf(parts.filter(({ decodes }) => decodes));
    const sliceRows = rowsOf(parts) - decodeRows;
    try {
      const requests = parts.map(({ request }) => request);
      const before = parts.map(({ job }) => job.text.tokens.length);
      const { results, ms } = await this.#runner.run(requests, stop.signal);
      const passMs = this.#costs.decodeMs(decodeRows, sliceRows, ms);
      for (const [index, { job, request, decodes }] of parts.entries()) {
        const otherRows = decodeRows - (decodes ? request.tokens.length : 0);
        const rows = results[index];
        this.#guard(
          job,
          () => rows && job.settle({ ...rows, passMs, otherRows, alone: parts.length === 1 }),
        );
      }
      this.#costs.record(decodeRows, sliceRows, ms);
      this.#passes?.record(
        ms,
        parts.map(({ job, request, decodes }, index) => ({
          text: job.text,
          kind: decodes ? 'decode' : 'prefill',
          rows: request.tokens.length,
          kept: Math.max(0, job.text.tokens.length - (before[index] ?? 0)),
        })),
      );
    } catch (error) {
      for (const { job } of parts) {
        job.text.commit([]);
        job.fail(error);
      }
    } finally {
      for (const { job } of parts) job.signal.removeEventListener('abort', check);
    }
  }

  /** What goes wrong inside a job ends that job alone. */
  #guard(job: Job, work: () => void): void {
    try {
      work();
    } catch (error) {
      job.fail(error);
    }
  }
}

function rowsOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { request }) => sum + request.tokens.length, 0);
}
