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
import type { Chooser } from './chooser.js';
import { DeviceRows } from './device-rows.js';
import {
  type DraftRows,
  draftCacheLength,
  draftCacheType,
  hiddenRowCount,
} from './draft-window.js';
import { HiddenRowDrafter } from './hidden-row-drafter.js';
import { HiddenRows } from './hidden-rows.js';
import { mostTop, topCount } from './top-row.js';

/** What the drafters of a model are told of the device that they compute on. */
export interface DraftDevice {
  readonly backend: Backend;
  /** The card that keeps their rows; default: the host. */
  readonly place?: Accelerator | undefined;
  /** Whether the target's rows are kept as tensors; default: on a card. */
  readonly resident?: boolean | undefined;
  /**
   * Whether so many of the largest of rows of `elements` are taken there, rather than the rows read;
   * default: never.
   */
  readonly selects?: ((elements: number, count: number) => boolean) | undefined;
}

export interface RowDrafterOptions extends DraftRows, DraftDevice {
  /** Tensors of the target that make up a row; default: 1. */
  readonly parts?: number | undefined;
}

function rowsOf(options: RowDrafterOptions): HiddenRows | DeviceRows {
  const { backend, place, width, parts = 1, resident = place !== undefined } = options;
  const count = hiddenRowCount(options);
  return resident
    ? new DeviceRows({ backend, place, width, parts, count })
    : new HiddenRows(width, count);
}

export abstract class RowDrafter extends HiddenRowDrafter {
  protected readonly cache: RollingRows;
  /** For graphs that are computed once. */
  protected readonly workspace: Workspace;
  /** Position of the cache's first row. */
  protected base = 0;
  protected readonly window: number;
  readonly #selects: DraftDevice['selects'];

  constructor(options: RowDrafterOptions) {
    const { backend, place, layout, window } = options;
    super(rowsOf(options));
    this.window = window;
    this.#selects = options.selects;
    const capacity = draftCacheLength(options);
    const places = layout.map(() => place);
    const rows = { backend, layout, capacity, type: draftCacheType, places };
    const made: Disposable[] = [{ [Symbol.dispose]: () => this.rows.dispose() }];
    try {
      this.workspace = new Workspace(backend);
      made.push(this.workspace);
      this.cache = new RollingRows(rows);
    } catch (error) {
      for (const each of made) each[Symbol.dispose]();
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

  /** How many of the largest of rows of `elements` logits are taken for a text; undefined: the rows are read. */
  protected topOf({ topNeeded }: Chooser, elements: number): number | undefined {
    if (topNeeded === undefined || topCount(topNeeded) > mostTop) return undefined;
    const count = Math.min(topCount(topNeeded), elements);
    return this.#selects?.(elements, count) ? count : undefined;
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
    this.rows.dispose();
  }
}
