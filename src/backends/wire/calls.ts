/** Calls of tools as they come in pieces: one after the other, each with an id and the name of a tool that there is. */
import { randomBytes } from 'node:crypto';
import type { PacelineError } from '../../base/errors.js';
import { isRecord } from '../../base/records.js';
import type { TextEvent } from '../../chat/events.js';
import type { ToolDefinition } from '../../chat/request.js';
import { textOf } from './values.js';

const mostCalls = 1024;

export interface ReadCall {
  readonly name: string;
  arguments: string;
}

export interface CallReaderOptions {
  readonly choice: number;
  readonly tools: readonly ToolDefinition[];
  readonly emit: (event: TextEvent) => void;
  readonly broken: (what: string) => PacelineError;
}

export class CallReader {
  readonly #options: CallReaderOptions;
  readonly calls: ReadCall[] = [];
  /** The upstream's number of the call that is open. */
  #open: number | undefined;

  constructor(options: CallReaderOptions) {
    this.#options = options;
  }

  /** Takes a piece of a call; gives its length. @throws what `broken` makes */
  push(piece: unknown): number {
    const { broken } = this.#options;
    if (!isRecord(piece)) throw broken('a call is no object');
    const given = isRecord(piece.function) ? piece.function : {};
    const [name, id] = [textOf(given.name), textOf(piece.id)];
    const text = isRecord(given.arguments)
      ? JSON.stringify(given.arguments)
      : textOf(given.arguments);
    const number = this.#number(piece.index, name !== '' && id !== '');
    if (number !== this.#open) {
      if (this.#open !== undefined && number < this.#open) {
        throw broken('it went back to a call that had ended');
      }
      if (name === '') throw broken('a call has no name');
      this.begin(name, id.slice(0, 256));
      this.#open = number;
    }
    this.add(text);
    return name.length + text.length;
  }

  /** Some backends do not number calls: one with a name and an id is the next. */
  #number(index: unknown, begins: boolean): number {
    if (typeof index === 'number' && Number.isInteger(index) && index >= 0) return index;
    const last = this.#open ?? -1;
    return begins || last < 0 ? last + 1 : last;
  }

  /**
   * Begins the next call, under an id of its own where it has none.
   * @throws what `broken` makes of too many, and of tools that there are not
   */
  begin(name: string, given = ''): void {
    const { choice, emit, tools, broken } = this.#options;
    if (!tools.some((tool) => tool.name === name)) {
      throw broken(
        `it called ${JSON.stringify(name.slice(0, 128))}, which is no tool of the request`,
      );
    }
    if (this.calls.length >= mostCalls) throw broken(`it made more than ${mostCalls} calls`);
    this.close();
    const id = given === '' ? `call_${randomBytes(12).toString('hex')}` : given;
    emit({ type: 'tool-start', choice, index: this.calls.length, id, name });
    this.calls.push({ name, arguments: '' });
  }

  /** More of the arguments of the open call. */
  add(text: string): void {
    const call = this.calls.at(-1);
    if (call === undefined || text === '') return;
    call.arguments += text;
    const { choice, emit } = this.#options;
    emit({ type: 'tool-arguments', choice, index: this.calls.length - 1, text });
  }

  #closed = 0;

  /** Ends the call that is open, if there is one. */
  close(): void {
    if (this.#closed === this.calls.length) return;
    this.#closed = this.calls.length;
    const { choice, emit } = this.#options;
    emit({ type: 'tool-end', choice, index: this.calls.length - 1 });
  }
}
