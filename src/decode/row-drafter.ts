/**
 * What drafters have in common that keep a KV cache of their own, which is made from the target's hidden
 * rows when a guess is asked for. It holds rows of the positions [base, base + length) and can always be
 * made again, so only the hidden rows are saved. Knows no draft model.
 *
 * A guess depends on the last `window` positions and on nothing else, so memory is bounded by the
 * window, not by the context: the cache has room for two windows, and when it is full, the rows that
 * nothing looks back on any more make room.
 */
import { RollingRows } from '../cache/rolling-rows.js';
import type { Accelerator } from '../ggml/accelerator.js';
import type { Backend } from '../ggml/backend.js';
import { Workspace } from '../ggml/workspace.js';
import {
  type DraftRows,
  draftCacheLength,
  draftCacheType,
  hiddenRowCount,
} from './draft-window.js';
import { HiddenRowDrafter } from './hidden-row-drafter.js';

export interface RowDrafterOptions extends DraftRows {
  readonly backend: Backend;
  /** The card that keeps the rows; default: the host. */
  readonly place?: Accelerator | undefined;
}

export abstract class RowDrafter extends HiddenRowDrafter {
  protected readonly cache: RollingRows;
  /** For graphs that are computed once. */
  protected readonly workspace: Workspace;
  /** Position of the cache's first row. */
  protected base = 0;
  protected readonly window: number;

  constructor(options: RowDrafterOptions) {
    const { backend, place, layout, width, window } = options;
    super(width, hiddenRowCount(options));
    this.window = window;
    const capacity = draftCacheLength(options);
    this.workspace = new Workspace(backend);
    const places = layout.map(() => place);
    const rows = { backend, layout, capacity, type: draftCacheType, places };
    try {
      this.cache = new RollingRows(rows);
    } catch (error) {
      this.workspace.dispose();
      throw error;
    }
  }

  override get bytes(): number {
    return super.bytes + this.cache.bytes;
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

  override truncate(length: number): boolean {
    if (!super.truncate(length)) return false;
    this.cache.truncate(Math.max(0, Math.min(this.cache.length, length - this.base)));
    return true;
  }

  override reset(): void {
    super.reset();
    this.base = 0;
  }

  override restore(bytes: Uint8Array): void {
    super.restore(bytes);
    this.base = 0;
    this.cache.truncate(0);
  }

  /** Makes a fresh drafter of the same kind a copy of this one, or disposes of it. */
  protected copied<Kind extends RowDrafter>(copy: Kind): Kind {
    try {
      copy.restore(this.snapshot());
      return copy;
    } catch (error) {
      copy.dispose();
      throw error;
    }
  }

  dispose(): void {
    this.workspace.dispose();
    this.cache.dispose();
  }
}
