/**
 * What drafters that read the target's hidden rows have in common: they note the rows while a text is
 * read, and keep a KV cache of their own that is made from them when a guess is asked for. The cache
 * holds rows of the positions [base, base + length); it can always be made again, so only the hidden
 * rows are saved. Knows no draft model.
 *
 * A guess depends on the last `window` positions and on nothing else, so memory is bounded by the
 * window, not by the context: the cache has room for two windows, and when it is full, the rows that
 * nothing looks back on any more make room.
 */
import { PacelineError } from '../base/errors.js';
import { RollingRows } from '../cache/rolling-rows.js';
import type { Backend } from '../ggml/backend.js';
import {
  type DraftRows,
  draftCacheLength,
  draftCacheType,
  hiddenRowCount,
} from './draft-window.js';
import type { FeatureRows, Observation } from './drafter.js';
import { HiddenRows } from './hidden-rows.js';

export interface RowDrafterOptions extends DraftRows {
  readonly backend: Backend;
}

export abstract class RowDrafter {
  abstract readonly name: string;
  protected readonly rows: HiddenRows;
  protected readonly cache: RollingRows;
  /** Position of the cache's first row. */
  protected base = 0;
  protected readonly window: number;

  constructor(options: RowDrafterOptions) {
    const { backend, layout, width, window } = options;
    this.window = window;
    this.rows = new HiddenRows(width, hiddenRowCount(options));
    const capacity = draftCacheLength(options);
    this.cache = new RollingRows({ backend, layout, capacity, type: draftCacheType });
  }

  get length(): number {
    return this.rows.end;
  }

  get knownRows(): number {
    return this.rows.end - this.rows.first;
  }

  get bytes(): number {
    return this.rows.bytes + this.cache.bytes;
  }

  /** Notes an observation with the rows that this drafter reads of it. */
  protected note({ position, tokens }: Observation, features: FeatureRows | undefined): void {
    if (position !== this.length) {
      throw new PacelineError(
        'internal',
        `${this.name} was shown ${position} after ${this.length} tokens`,
      );
    }
    if (features !== undefined && features.width !== this.rows.width) {
      throw new PacelineError(
        'internal',
        `${this.name} was shown rows of ${features.width} floats`,
      );
    }
    this.rows.append(tokens.length, features);
  }

  /** Makes room for `count` more rows by dropping those that no row from `position` on looks at. */
  protected makeRoom(position: number, count: number): void {
    if (this.cache.length + count > this.cache.capacity) {
      const unseen = position - this.window + 1 - this.base;
      const drop = Math.max(0, Math.min(this.cache.length, unseen));
      this.cache.dropFirst(drop);
      this.base += drop;
    }
    this.cache.reserve(count);
  }

  truncate(length: number): boolean {
    if (length < 0 || length > this.length) return false;
    this.rows.truncate(length);
    this.cache.truncate(Math.max(0, Math.min(this.cache.length, length - this.base)));
    return true;
  }

  reset(): void {
    this.truncate(0);
    this.base = 0;
  }

  snapshot(): Uint8Array {
    return this.rows.snapshot();
  }

  restore(bytes: Uint8Array): void {
    if (!this.rows.restore(bytes)) {
      throw new PacelineError('broken-file', `A snapshot of the ${this.name} drafter is damaged`, {
        hint: 'Discard the snapshot; drafting then starts anew.',
      });
    }
    this.base = 0;
    this.cache.truncate(0);
  }

  dispose(): void {
    this.cache.dispose();
  }
}
