/**
 * Responses that can be continued and read again: in memory, bounded in number and bytes; the one
 * that was used longest ago goes first. Gone with the process, and never on a disk.
 */
import { PacelineError } from '../../../base/errors.js';
import type { InputItem } from './responses-schema.js';

export interface StoredResponse {
  readonly response: Readonly<Record<string, unknown>> & { readonly id: string };
  /** The whole conversation up to and without the output. */
  readonly input: readonly InputItem[];
  /** The output as it would be given back. */
  readonly output: readonly InputItem[];
}

interface Entry extends StoredResponse {
  readonly bytes: number;
}

export class ResponseStore {
  readonly #entries = new Map<string, Entry>();
  readonly #most: number;
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(options: { readonly most?: number; readonly mostBytes?: number } = {}) {
    this.#most = options.most ?? 1000;
    this.#mostBytes = options.mostBytes ?? 64 * 2 ** 20;
  }

  put(stored: StoredResponse): void {
    const bytes = 2 * JSON.stringify(stored).length;
    this.delete(stored.response.id);
    this.#entries.set(stored.response.id, { ...stored, bytes });
    this.#bytes += bytes;
    for (const id of this.#entries.keys()) {
      if (this.#entries.size <= this.#most && this.#bytes <= this.#mostBytes) break;
      this.delete(id);
    }
  }

  get(id: string): StoredResponse | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    return entry;
  }

  /** @throws {PacelineError} `not-found` */
  require(id: string): StoredResponse {
    const entry = this.get(id);
    if (entry !== undefined) return entry;
    throw new PacelineError('not-found', `There is no response ${JSON.stringify(id)}`, {
      hint: 'Responses are kept in memory, as long as there is room, unless store is false.',
      details: { param: 'response_id' },
    });
  }

  delete(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#bytes -= entry.bytes;
    return this.#entries.delete(id);
  }
}
