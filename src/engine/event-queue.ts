/**
 * A bounded queue between a producer that never waits and one reader that takes its time. The
 * producer asks `full` before it makes more; the reader's progress is told to it by a callback.
 */

export interface EventQueueOptions {
  /** Events from which on the queue is full. */
  readonly limit: number;
  /** Called whenever the reader has made room in a full queue. */
  readonly onRoom: () => void;
}

export class EventQueue<T> {
  readonly #options: EventQueueOptions;
  readonly #events: T[] = [];
  #end: { readonly error?: unknown } | undefined;
  #wakeReader: (() => void) | undefined;

  constructor(options: EventQueueOptions) {
    this.#options = options;
  }

  get full(): boolean {
    return this.#events.length >= this.#options.limit;
  }

  push(event: T): void {
    this.#events.push(event);
    this.#wake();
  }

  /** Nothing comes any more; the reader still gets what there is, and then the error if there is one. */
  close(end: { readonly error?: unknown } = {}): void {
    this.#end ??= end;
    this.#wake();
  }

  /** The next event, or undefined at the end. One reader only. @throws the error of `close`. */
  async next(): Promise<T | undefined> {
    while (this.#events.length === 0) {
      if (this.#end !== undefined) {
        if ('error' in this.#end) throw this.#end.error;
        return undefined;
      }
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
    const wasFull = this.full;
    const event = this.#events.shift();
    if (wasFull && !this.full) this.#options.onRoom();
    return event;
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }
}
