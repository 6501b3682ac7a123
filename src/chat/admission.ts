/**
 * Who may run now, and who waits: so many slots a model, and a queue with an end. Of those that
 * wait, the client with the fewest running requests is next, then the one that waited longest; so
 * one client with many requests does not keep the others out. Knows nothing of what runs.
 */
import { PacelineError } from '../base/errors.js';

export interface AdmissionOptions {
  /** Texts of one model at once: the same number for all, or each its own. */
  readonly slots: number | ((model: string) => number);
  /** Requests that may wait. */
  readonly queueLimit: number;
}

export interface Ticket {
  readonly model: string;
  /** How many slots it needs. */
  readonly slots: number;
  readonly client: string;
}

interface Waiting extends Ticket {
  readonly resolve: (release: () => void) => void;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #taken = new Map<string, number>();
  readonly #running = new Map<string, number>();
  #waiting: Waiting[] = [];

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Requests that wait now. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Requests for a model that wait before another would; undefined: none would have to wait. */
  queueFor(model: string, slots: number): number | undefined {
    const waiting = this.#waiting.filter((entry) => entry.model === model).length;
    return waiting > 0 || !this.#fits({ model, slots, client: '' }) ? waiting : undefined;
  }

  /** Slots that are taken now, of all models. */
  get taken(): number {
    return [...this.#taken.values()].reduce((sum, count) => sum + count, 0);
  }

  /**
   * Waits for slots; the result gives them back and must be called once.
   * @throws {PacelineError} `usage` for more slots than there are; `busy` when the queue is full;
   *   `aborted`.
   */
  enter(ticket: Ticket, signal: AbortSignal): Promise<() => void> {
    const { queueLimit } = this.#options;
    const slots = this.#slotsOf(ticket.model);
    if (ticket.slots > slots) {
      throw new PacelineError('usage', `n can be at most ${slots}, the number of slots`, {
        hint: 'Ask for fewer texts at once, or start the server with more --slots.',
        details: { param: 'n' },
      });
    }
    if (signal.aborted) throw new PacelineError('aborted', 'The request was given up');
    if (this.#fits(ticket) && !this.#waiting.some(({ model }) => model === ticket.model)) {
      return Promise.resolve(this.#take(ticket));
    }
    if (this.#waiting.length >= queueLimit) {
      throw new PacelineError('busy', `${this.#waiting.length} requests are waiting already`, {
        hint: 'Try again later, or start the server with a larger --queue.',
        details: { retryAfter: 1 + Math.ceil(this.#waiting.length / slots) },
      });
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== entry);
        reject(new PacelineError('aborted', 'The request was given up'));
        this.#admit();
      };
      const entry: Waiting = {
        ...ticket,
        resolve: (release) => {
          signal.removeEventListener('abort', onAbort);
          resolve(release);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(entry);
    });
  }

  #slotsOf(model: string): number {
    const { slots } = this.#options;
    return typeof slots === 'number' ? slots : slots(model);
  }

  #fits({ model, slots }: Ticket): boolean {
    return (this.#taken.get(model) ?? 0) + slots <= this.#slotsOf(model);
  }

  #take({ model, slots, client }: Ticket): () => void {
    add(this.#taken, model, slots);
    add(this.#running, client, 1);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      add(this.#taken, model, -slots);
      add(this.#running, client, -1);
      this.#admit();
    };
  }

  #admit(): void {
    for (;;) {
      const next = this.#next();
      if (next === undefined) return;
      this.#waiting = this.#waiting.filter((entry) => entry !== next);
      next.resolve(this.#take(next));
    }
  }

  /** The next that fits. One that needs many slots is not overtaken for ever: it holds its model. */
  #next(): Waiting | undefined {
    const held = new Set<string>();
    const order = [...this.#waiting].sort(
      (a, b) => (this.#running.get(a.client) ?? 0) - (this.#running.get(b.client) ?? 0),
    );
    for (const entry of order) {
      if (held.has(entry.model)) continue;
      if (this.#fits(entry)) return entry;
      held.add(entry.model);
    }
    return undefined;
  }
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
