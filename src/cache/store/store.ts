/**
 * Blocks of one model's texts on the disk: finds the longest prefix that was ever computed, reads it
 * back, and saves new blocks in the background. What it gives back are the bytes that were put in, or
 * nothing. It never fails a text: what cannot be read is computed again, and what cannot be written
 * turns saving off, with one warning. Knows neither tokens' meaning nor what a state holds.
 */
import type { FileHandle } from 'node:fs/promises';
import { open, utimes } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PacelineError } from '../../base/errors.js';
import { type FileSink, writeError, writeFileAtomically } from '../../base/files.js';
import {
  BadBlock,
  type BlockHeader,
  type BlockPart,
  encodeHeader,
  type ReadHeader,
  readHeader,
  readInto,
} from './block-file.js';
import { makeRoom, storedBytes, usualBudget } from './budget.js';
import { Checksum } from './checksum.js';
import { fileMode, ModelFolder, type ModelInfoFile } from './folder.js';
import type { BlockIndex, Entry } from './index.js';
import { blockName, rootName } from './names.js';
import { sumUp } from './sum-up.js';
import { noteUse, type Use } from './use-log.js';

export interface StoreOptions {
  /** The store's folder. */
  readonly root: string;
  /** Of the model's state: equal means interchangeable. */
  readonly fingerprint: string;
  readonly info: ModelInfoFile;
  /** Most bytes on the disk; default: a tenth of what is free, at most 20 GB. */
  readonly budget?: number | undefined;
  /** Most bytes that wait to be written. Default 256 MiB; one block always may. */
  readonly mostStaged?: number | undefined;
  /** Hears what a person should know: broken files, a full disk. */
  readonly onWarning: (text: string) => void;
  /** Writes files; replaced in tests by one that fails. */
  readonly write?: typeof writeFileAtomically | undefined;
}

/** A block to save. */
export interface NewBlock extends Omit<BlockHeader, 'parts'> {
  readonly parts: readonly { readonly name: string; readonly bytes: number }[];
  /** Copies the parts; called at once, or not at all. */
  readonly fill: (targets: readonly Uint8Array[]) => void;
  /** It may be replaced: it is there in case the process dies. */
  readonly passing?: boolean | undefined;
  /** Passing blocks that go when this one is on the disk. */
  readonly replaces?: readonly BlockKey[] | undefined;
}

/** What a block is found by. */
export type BlockKey = Pick<Entry, 'kind' | 'name'>;

/** Where the parts of a block go when it is read. */
export interface ReadTarget {
  /** Index of the part. */
  readonly part: number;
  /** Memory that takes it; together as long as the part. */
  readonly into: readonly Uint8Array[];
  /** Called when the bytes are there and right. */
  readonly done?: (() => void) | undefined;
}

export interface StoreStatistics {
  blocksWritten: number;
  bytesWritten: number;
  bytesRead: number;
  evicted: number;
  broken: number;
}

const usualStaged = 256 << 20;
/** Parts that are read at a time: most of it is the system's work for memory that was never used. */
const readsAhead = 3;
/** The size of the store is measured anew after so long. */
const measureMs = 10_000;

export class PrefixStore {
  readonly statistics: StoreStatistics = {
    blocksWritten: 0,
    bytesWritten: 0,
    bytesRead: 0,
    evicted: 0,
    broken: 0,
  };
  /** Called when there is room for blocks that `put` refused. */
  onRoom: () => void = () => {};
  readonly #options: StoreOptions;
  readonly #folder: ModelFolder;
  readonly #queue: Entry[] = [];
  /** The passing blocks that those of the queue replace. */
  readonly #replaces = new WeakMap<Entry, readonly BlockKey[]>();
  #stagedBytes = 0;
  #writing: Promise<void> | undefined;
  #notes: Promise<void> = Promise.resolve();
  #saves = true;
  #budget = 0;
  #total = 0;
  #measured = Number.NEGATIVE_INFINITY;
  readonly #spare = new Map<number, Uint8Array[]>();

  private constructor(options: StoreOptions) {
    this.#options = options;
    const { root, fingerprint, info } = options;
    this.#folder = new ModelFolder({
      root,
      key: rootName(fingerprint, info.blockTokens),
      info,
      onBroken: (path, why) => this.#reportBroken(path, why),
    });
  }

  /** Opens the store of a model; a folder that cannot be used turns it off, with a warning. */
  static async open(options: StoreOptions): Promise<PrefixStore> {
    const store = new PrefixStore(options);
    try {
      await store.#folder.create();
      await store.#folder.refresh();
      store.#budget = options.budget ?? (await usualBudget(options.root));
    } catch (error) {
      store.#stopSaving(PacelineError.is(error) ? error : writeError(options.root, error));
      await store.#folder.refresh().catch(() => {});
    }
    return store;
  }

  get index(): BlockIndex {
    return this.#folder.index;
  }

  get blockTokens(): number {
    return this.#folder.info.blockTokens;
  }

  get budget(): number {
    return this.#budget;
  }

  /** False once writing has failed. */
  get saves(): boolean {
    return this.#saves;
  }

  /** Takes note of what other processes have done. */
  refresh(): Promise<void> {
    return this.#folder.refresh();
  }

  /** Whether a block is here, with all parts of these names. */
  has({
    kind,
    parent,
    tokens,
    parts,
  }: Pick<NewBlock, 'kind' | 'parent' | 'tokens' | 'parts'>): boolean {
    const header = this.index.get(kind, blockName(parent, tokens))?.header;
    if (header?.tokens.length !== tokens.length) return false;
    return (
      header.tokens.every((id, at) => id === tokens[at]) &&
      parts.every(({ name }) => header.parts.some((part) => part.name === name))
    );
  }

  /**
   * Saves a block in the background.
   * @returns false when too much waits already: `onRoom` says when to ask again.
   */
  put(block: NewBlock): boolean {
    if (!this.#saves) return true;
    const name = blockName(block.parent, block.tokens);
    const replaces = block.replaces?.filter((old) => old.kind !== block.kind || old.name !== name);
    const present = this.has(block) ? this.index.get(block.kind, name) : undefined;
    if (present !== undefined) {
      if (block.passing !== true) present.passing = false;
      if (present.staged === undefined) this.forget(replaces);
      else
        this.#replaces.set(present, [...(this.#replaces.get(present) ?? []), ...(replaces ?? [])]);
      return true;
    }
    const bytes = block.parts.reduce((sum, part) => sum + part.bytes, 0);
    const { mostStaged = usualStaged } = this.#options;
    if (this.#stagedBytes > 0 && this.#stagedBytes + bytes > mostStaged) return false;
    const staged = block.parts.map((part) => this.#take(part.bytes));
    block.fill(staged);
    const { fill: _, parts, passing, replaces: __, ...header } = block;
    const entry: Entry = {
      kind: block.kind,
      name,
      passing,
      header: { ...header, parts: parts.map((part) => ({ ...part, sum: '' })) },
      bytes,
      staged,
      lastUse: Date.now(),
      hits: 0,
      pins: 0,
    };
    this.index.add(entry);
    if (replaces !== undefined) this.#replaces.set(entry, replaces);
    this.#queue.push(entry);
    this.#stagedBytes += bytes;
    this.#writing ??= this.#writeAll();
    return true;
  }

  /** Removes blocks, as far as they are passing. */
  forget(blocks: readonly BlockKey[] = []): void {
    if (blocks.length > 0) this.#notes = this.#notes.then(() => this.#removePassing(blocks));
  }

  /** Settles when everything that waits has been written, or has failed. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#notes;
  }

  /**
   * Reads parts of a block, the first of them first.
   * @returns how many of the targets were filled with what was saved; after the first that was not,
   *   nothing is valid.
   */
  async read(entry: Entry, targets: readonly ReadTarget[]): Promise<number> {
    entry.pins++;
    try {
      if (entry.staged !== undefined) return copyStaged(entry, targets);
      return await this.#readFile(entry, targets);
    } finally {
      entry.pins--;
    }
  }

  /** Notes that a text has used blocks up to this one; undefined: none were there. */
  noteUse(last: Entry | undefined, use: Omit<Use, 'time' | 'block'>): void {
    const time = Date.now();
    this.#folder.markUsed(last, time);
    if (!this.#saves) return;
    this.#notes = this.#notes.then(async () => {
      await noteUse(this.#folder.path, { time, block: last?.name ?? '', ...use });
      if (last === undefined || last.staged !== undefined) return;
      await utimes(this.#folder.pathOf(last), time / 1000, time / 1000).catch(() => {});
    });
  }

  async #readFile(entry: Entry, targets: readonly ReadTarget[]): Promise<number> {
    const path = this.#folder.pathOf(entry);
    let handle: FileHandle;
    try {
      handle = await open(path, 'r');
    } catch {
      // Another process may have removed it.
      this.index.remove(entry);
      return 0;
    }
    let filled = 0;
    const reads: Promise<void>[] = [];
    try {
      // Another process may have written it anew, with other bytes where nothing counts.
      const found = await readHeader(handle, entry.kind, entry.name);
      for (const [at, target] of targets.entries()) {
        while (reads.length < Math.min(at + readsAhead, targets.length)) {
          const read = this.#readPart(handle, found, targets[reads.length] as ReadTarget);
          read.catch(() => {}); // seen below, unless an earlier part is bad
          reads.push(read);
        }
        await reads[at];
        const sum = new Checksum();
        await sumUp(sum, target.into);
        if (sum.digest() !== found.header.parts[target.part]?.sum) {
          throw new BadBlock('its contents are damaged');
        }
        target.done?.();
        filled++;
      }
    } catch (error) {
      if (error instanceof BadBlock) await this.#folder.setAside(path, error.message);
      else this.index.remove(entry);
    } finally {
      // Nothing may come into the caller's memory later.
      await Promise.allSettled(reads);
      await handle.close();
    }
    return filled;
  }

  async #readPart(
    handle: FileHandle,
    { header, payload }: ReadHeader,
    target: ReadTarget,
  ): Promise<void> {
    const bytes = target.into.reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (header.parts[target.part]?.bytes !== bytes) throw new BadBlock('a part has another size');
    const before = header.parts.slice(0, target.part);
    const position = before.reduce((sum, part) => sum + part.bytes, payload);
    await readInto(handle, target.into, position);
    this.statistics.bytesRead += bytes;
  }

  async #writeAll(): Promise<void> {
    // The caller goes on first.
    await nextTurn();
    for (let entry = this.#queue[0]; entry !== undefined; entry = this.#queue[0]) {
      try {
        if (this.#saves) await this.#write(entry);
        else this.index.remove(entry);
      } catch (error) {
        this.index.remove(entry);
        this.#stopSaving(error);
      }
      this.#release(entry);
      this.#queue.shift();
      this.onRoom();
    }
    this.#writing = undefined;
  }

  async #write(entry: Entry): Promise<void> {
    const staged = entry.staged ?? [];
    const parts: BlockPart[] = [];
    for (const [at, bytes] of staged.entries()) {
      const sum = new Checksum();
      await sumUp(sum, [bytes]);
      parts.push({ ...(entry.header.parts[at] as BlockPart), sum: sum.digest() });
    }
    const head = encodeHeader({ ...entry.header, parts });
    const size = staged.reduce((sum, bytes) => sum + bytes.byteLength, head.byteLength);
    if (!(await this.#makeRoomFor(size))) {
      this.index.remove(entry);
      return;
    }
    const produce = async (sink: FileSink): Promise<void> => {
      await sink.write(head);
      for (const bytes of staged) await sink.write(bytes);
    };
    const { write = writeFileAtomically } = this.#options;
    const path = this.#folder.pathOf(entry);
    try {
      await write(path, produce, { mode: fileMode });
    } catch (error) {
      // Somebody may have removed the whole folder.
      if (causeOf(error) !== 'ENOENT') throw error;
      await this.#folder.create();
      await write(path, produce, { mode: fileMode });
    }
    this.#total += size;
    this.statistics.blocksWritten++;
    this.statistics.bytesWritten += size;
    this.index.resize(entry, size);
    await this.#removePassing(this.#replaces.get(entry));
    if (entry.kind === 'state' || entry.passing === true) return;
    for (const old of this.index.covered(entry)) {
      if (!this.index.hasChildren(old.name)) await this.#removeUnused(old);
    }
  }

  async #removePassing(blocks: readonly BlockKey[] = []): Promise<void> {
    for (const { kind, name } of blocks) {
      const old = this.index.get(kind, name);
      if (old?.passing === true) await this.#removeUnused(old);
    }
  }

  async #removeUnused(entry: Entry): Promise<void> {
    if (entry.pins > 0 || entry.staged !== undefined) return;
    this.#total -= entry.bytes;
    await this.#folder.remove(entry);
  }

  /** Keeps the budget before a file is written; false when there is no room for it at all. */
  async #makeRoomFor(bytes: number): Promise<boolean> {
    const { root } = this.#options;
    if (bytes > this.#budget) return false;
    const now = performance.now();
    if (now - this.#measured > measureMs || this.#total + bytes > this.#budget) {
      this.#total = await storedBytes(root);
      this.#measured = now;
    }
    if (this.#total + bytes <= this.#budget) return true;
    // A little more than needed, so that the next blocks have room too.
    const most = Math.max(0, Math.min(this.#budget - bytes, this.#budget * 0.98));
    const { left, blocks } = await makeRoom({ root, most, own: this.#folder });
    this.statistics.evicted += blocks;
    this.#total = left;
    return left + bytes <= this.#budget;
  }

  #take(bytes: number): Uint8Array {
    return this.#spare.get(bytes)?.pop() ?? new Uint8Array(bytes);
  }

  /** What was staged is on the disk; its memory may serve again. */
  #release(entry: Entry): void {
    for (const bytes of entry.staged ?? []) {
      this.#stagedBytes -= bytes.byteLength;
      if (entry.pins > 0 || this.#queue.length < 2) continue;
      const spare = this.#spare.get(bytes.byteLength) ?? [];
      if (spare.length < 16) spare.push(bytes);
      this.#spare.set(bytes.byteLength, spare);
    }
    entry.staged = undefined;
    if (this.#queue.length < 2) this.#spare.clear();
  }

  #stopSaving(error: unknown): void {
    if (!this.#saves) return;
    this.#saves = false;
    const { message } = error as Error;
    const hint = PacelineError.is(error) ? ` ${error.hint ?? ''}` : '';
    this.#options.onWarning(`The KV cache is no longer saved: ${message}.${hint}`);
  }

  #reportBroken(path: string, why: string): void {
    this.statistics.broken++;
    this.#options.onWarning(`${path} was set aside: ${why}. Its tokens are computed again.`);
  }
}

function copyStaged({ staged = [] }: Entry, targets: readonly ReadTarget[]): number {
  for (const [filled, { part, into, done }] of targets.entries()) {
    const from = staged[part];
    let at = 0;
    for (const target of into) {
      const piece = from?.subarray(at, at + target.byteLength);
      if (piece?.byteLength !== target.byteLength) return filled;
      target.set(piece);
      at += target.byteLength;
    }
    done?.();
  }
  return targets.length;
}

function causeOf(error: unknown): unknown {
  return PacelineError.is(error) ? error.details.code : undefined;
}
