/**
 * The state of a sequence whose layers keep rows, those of a window, of blocks of positions, another
 * layer's rows, what they have seen folded up, or nothing. Rows past `length` are garbage that the next pass overwrites, so
 * that going back is free and always possible; where rows are given up or something is folded, to
 * where its memory reaches.
 */
import { createHash } from 'node:crypto';
import { PacelineError } from '../base/errors.js';
import type { Accelerator } from '../ggml/accelerator.js';
import type { Backend } from '../ggml/backend.js';
import { loggedRows } from '../ggml/recurrent-shape.js';
import type { Tensor } from '../ggml/tensor.js';
import type { GgmlType } from '../ggml/types.js';
import { blockRows, type LayerState, recurrentShapes, rowsByKind } from '../models/layer-state.js';
import type { LayerTensors, RecurrentTensors } from '../models/model.js';
import { BlockMemory } from './block-memory.js';
import { contextOverflow } from './overflow.js';
import { RecurrentMemory } from './recurrent-memory.js';
import { allDone, RowMemory } from './row-memory.js';
import type { RowKind, SequenceState } from './state.js';
import { WindowedRows, type WindowedRowsOptions } from './windowed-rows.js';

export interface LayeredStateOptions {
  readonly backend: Backend;
  /** One entry a layer. */
  readonly layers: readonly LayerState[];
  /** Positions that fit. */
  readonly capacity: number;
  /** Element type of keys and values. */
  readonly type: GgmlType;
  /** The card that each layer's rows are on, one entry a layer; default: the host. */
  readonly places?: readonly (Accelerator | undefined)[] | undefined;
  /** Names the weights and whatever else decides the bytes of a row; part of the fingerprint. */
  readonly identity: string;
  /**
   * Asked before rows are first written, which is when the system has to find memory for them; throws
   * to refuse so many bytes. Default: nobody is asked.
   */
  readonly admit?: ((bytes: number) => void) | undefined;
  /** Hears which positions of layers with a window are lost; for tests. */
  readonly onLost?: WindowedRowsOptions['onLost'];
}

/** What divides the positions of a saved block. */
const blockStep = 64;
/** Positions that memory is asked for at a time. */
const admittedAtOnce = 256;
/** Counts changes of how bytes lie in blocks. */
const layoutVersion = 3;

export class LayeredState implements SequenceState {
  readonly blockLength: number;
  readonly canGoBack: boolean;
  readonly hasFixed: boolean;
  readonly mostProvisional: number;
  readonly rowKinds: readonly RowKind[];
  readonly #options: LayeredStateOptions;
  /** Rows of every position. */
  readonly #memory: RowMemory;
  /** Of the layers with a window, if there are any. */
  readonly #windowed: WindowedRows | undefined;
  /** Rows of blocks of positions, if there are any. */
  readonly #blocks: BlockMemory | undefined;
  /** Of the layers that fold what they have seen, if there are any. */
  readonly #folded: RecurrentMemory | undefined;
  /** For each layer, where its rows are; undefined where it has none. */
  readonly #places: readonly (RowPlace | undefined)[];
  /** For each layer, where its folded state is. */
  readonly #foldedPlaces: readonly (number | undefined)[];
  #length = 0;
  #provisional: number | undefined;
  /** Positions whose memory was admitted. */
  #admitted = 0;
  #fingerprint: string | undefined;
  #pending: Promise<void> | undefined;
  /** What reads rows for another state. */
  #lent: Promise<unknown> | undefined;
  /** Why this copy has not the rows that it should have. */
  #spoiled: unknown;

  /**
   * @throws {PacelineError} `memory`; `usage` when rows don't fit the type.
   */
  constructor(options: LayeredStateOptions) {
    this.#options = options;
    const { backend, layers, capacity, type } = options;
    this.#places = placesOf(layers);
    this.#foldedPlaces = placesOfFolded(layers);
    const recurrent = recurrentShapes(layers);
    const { whole, windowed } = rowsByKind(layers);
    const window = windowed.reduce((most, shape) => Math.max(most, shape.window), 0);
    const blocks = blockRows(layers);
    this.blockLength = blocks.reduce((length, { ratio }) => multiple(length, ratio), blockStep);
    this.rowKinds = window > 0 ? ['whole', 'window'] : ['whole'];
    this.hasFixed = recurrent.length > 0;
    this.canGoBack = !this.hasFixed && window === 0;
    this.mostProvisional = this.hasFixed ? loggedRows : Number.POSITIVE_INFINITY;
    const memory = { backend, capacity, type };
    const { onLost, admit } = options;
    const made: Disposable[] = [];
    const keep = <T extends Disposable>(part: T): T => {
      made.push(part);
      return part;
    };
    try {
      const places = placesByKind(layers, options.places);
      this.#memory = keep(new RowMemory({ ...memory, layout: whole, places: places.ofWhole }));
      if (window > 0) {
        const own = { layout: windowed, places: places.ofWindowed };
        this.#windowed = keep(new WindowedRows({ ...memory, ...own, window, onLost }));
      }
      if (blocks.length > 0) {
        this.#blocks = keep(new BlockMemory({ backend, capacity, type, layers }));
      }
      if (this.hasFixed) {
        this.#folded = keep(new RecurrentMemory({ backend, layers: recurrent, admit }));
      }
    } catch (error) {
      for (const part of made) part[Symbol.dispose]();
      throw error;
    }
  }

  get length(): number {
    return this.#length;
  }

  get capacity(): number {
    return this.#options.capacity;
  }

  get bytes(): number {
    const parts = [this.#memory, this.#windowed, this.#blocks, this.#folded];
    return parts.reduce((sum, part) => sum + (part?.bytes ?? 0), 0);
  }

  get fingerprint(): string {
    const { layers, type, identity } = this.#options;
    const { blockLength } = this;
    this.#fingerprint ??= createHash('sha256')
      .update(JSON.stringify({ layoutVersion, blockLength, type, layers, identity }))
      .digest('hex');
    return this.#fingerprint;
  }

  layer(index: number): LayerTensors {
    const place = this.#places[index];
    if (place === undefined) throw new PacelineError('internal', `Layer ${index} keeps no rows`);
    return this.#rows(place.kind).layer(place.index);
  }

  recurrent(index: number): RecurrentTensors {
    const place = this.#foldedPlaces[index];
    if (place !== undefined && this.#folded) return this.#folded.layer(place);
    throw new PacelineError('internal', `Layer ${index} folds nothing`);
  }

  blocks(index: number): readonly Tensor[] {
    const found = this.#blocks?.layer(index);
    if (found !== undefined) return found;
    throw new PacelineError('internal', `Layer ${index} keeps no rows of blocks`);
  }

  begin(rows: number): void {
    if (this.#length + rows > this.capacity) {
      throw contextOverflow(this.#length + rows, this.capacity);
    }
    this.#checkWhole();
    this.#windowed?.begin(this.#length);
    this.#admit(this.#length + rows);
    this.#folded?.begin();
    this.#provisional = rows;
  }

  commit(kept: number): void {
    if (this.#provisional === undefined || kept < 0 || kept > this.#provisional) {
      const had = this.#provisional ?? 'no';
      throw new PacelineError('internal', `${kept} rows cannot be kept of a pass with ${had}`);
    }
    this.#folded?.commit(this.#provisional, kept);
    this.#windowed?.commit(this.#length, kept);
    this.#provisional = undefined;
    this.#length += kept;
  }

  reachable(length: number): number {
    let reached = Math.max(0, Math.min(length, this.#length));
    for (;;) {
      const kept = this.#windowed?.reachable(reached) ?? reached;
      const folded = this.#folded?.reachable(kept) ?? kept;
      if (folded === reached) return reached;
      reached = folded;
    }
  }

  truncate(length: number): void {
    if (length !== this.reachable(length)) {
      throw new PacelineError('internal', `${this.#length} rows cannot be cut to ${length}`);
    }
    this.#folded?.truncate(length);
    this.#windowed?.truncate(length);
    this.#length = length;
  }

  checkpoint(length: number): void {
    if (this.hasFixed && length !== this.#length) {
      throw new PacelineError('internal', `${length} is past: it cannot become a checkpoint`);
    }
    this.#folded?.checkpoint();
    this.#windowed?.checkpoint(length);
  }

  fork(): LayeredState {
    this.#checkWhole();
    const copy = new LayeredState(this.#options);
    const length = this.#length;
    try {
      copy.#admit(length);
    } catch (error) {
      copy.dispose();
      throw error;
    }
    const copyFolded = this.#folded && copy.#folded?.copy(this.#folded);
    const copyWindowed = this.#windowed && copy.#windowed?.copy(this.#windowed);
    const all = [{ from: 0, end: length }];
    const ready = (this.#pending ?? Promise.resolve()).then(async () => {
      await copy.#memory.copyFrom(this.#memory, all);
      await copyWindowed?.();
      if (this.#blocks !== undefined)
        await copy.#blocks?.copyFrom(this.#blocks, { from: 0, end: length });
      await copyFolded?.();
    });
    copy.#length = length;
    copy.hold(
      ready.catch((error: unknown) => {
        copy.#spoiled = error;
        throw error;
      }),
    );
    // What was only read is as it was, however the copy fared.
    this.hold(ready.catch(() => {}));
    return copy;
  }

  get pending(): Promise<void> | undefined {
    return this.#pending;
  }

  hold(work: Promise<void>): void {
    const pending = Promise.allSettled([this.#pending, work]).then(() => {
      if (this.#pending === pending) this.#pending = undefined;
      return work;
    });
    pending.catch(() => {}); // whoever waits for it sees the failure
    this.#pending = pending;
  }

  trim(): void {
    // A copy may still read rows that the text has forgotten.
    if (this.#pending !== undefined) return;
    for (const kind of this.rowKinds) this.#rows(kind).release(this.#length, this.capacity);
    this.#blocks?.release(this.#length);
  }

  blockBytes(kind: RowKind, index: number, rows?: number): number {
    const [from, end] = this.#block(index, rows);
    const blocks = kind === 'whole' ? (this.#blocks?.savedBytes(from, end) ?? 0) : 0;
    return this.#rows(kind).savedBytes(from, end) + blocks;
  }

  holds(kind: RowKind, from: number, end: number): boolean {
    return end <= this.#length && (kind === 'whole' || this.#windowed?.holds(from, end) === true);
  }

  readBlock(kind: RowKind, index: number, into: Uint8Array, rows?: number): void {
    this.#checkBlock(kind, index, into, rows);
    const [from, end] = this.#block(index, rows);
    const whole = this.#rows(kind).savedBytes(from, end);
    this.#rows(kind).read(from, end, into.subarray(0, whole));
    if (kind === 'whole') this.#blocks?.read(from, end, into.subarray(whole));
  }

  writeBlock(kind: RowKind, index: number, from: Uint8Array, rows?: number): void {
    this.#checkBlock(kind, index, from, rows);
    const [start, end] = this.#block(index, rows);
    const whole = this.#rows(kind).savedBytes(start, end);
    this.#rows(kind).write(start, end, from.subarray(0, whole));
    if (kind === 'whole') this.#blocks?.write(start, end, from.subarray(whole));
  }

  blockMemory(kind: RowKind, index: number, rows?: number): readonly Uint8Array[] | undefined {
    const [from, end] = this.#block(index, rows);
    const whole = this.#rows(kind).views(from, end);
    if (kind !== 'whole' || this.#blocks === undefined) return whole;
    const blocks = this.#blocks.views(from, end);
    return whole && blocks && [...whole, ...blocks];
  }

  async copyRows(kind: RowKind, other: SequenceState, from: number, end: number): Promise<void> {
    if (!(other instanceof LayeredState)) {
      throw new PacelineError('internal', 'Rows of another kind of state cannot be copied');
    }
    const works = [this.#rows(kind).copyFrom(other.#rows(kind), [{ from, end }])];
    if (kind === 'whole' && this.#blocks !== undefined && other.#blocks !== undefined) {
      works.push(this.#blocks.copyFrom(other.#blocks, { from, end }));
    }
    const done = allDone(works);
    other.#lend(done);
    await done;
  }

  /** The memory stays until the work has settled. */
  #lend(work: Promise<void>): void {
    const lent = Promise.allSettled([this.#lent, work]).then(() => {
      if (this.#lent === lent) this.#lent = undefined;
    });
    this.#lent = lent;
  }

  neededFrom(kind: RowKind, length: number): number {
    return kind === 'window' ? (this.#windowed?.neededFrom(length) ?? length) : 0;
  }

  readFixed(length: number): Uint8Array {
    if (this.#folded !== undefined) return this.#folded.save(length);
    if (length === this.reachable(length)) return new Uint8Array(0);
    throw new PacelineError('internal', `There is nothing to save at ${length}`);
  }

  resume(length: number, fixed: Uint8Array): void {
    if (length > this.capacity) throw contextOverflow(length, this.capacity);
    if (this.#folded === undefined && fixed.byteLength > 0) {
      throw new PacelineError('broken-file', 'A saved state has more than the rows of its layers', {
        hint: 'Discard it; the prompt is then computed again.',
      });
    }
    this.#admit(length);
    this.#folded?.restore(length, fixed);
    this.#windowed?.restore(length);
    this.#length = length;
  }

  dispose(): void {
    const free = () => {
      this.#memory.dispose();
      this.#windowed?.dispose();
      this.#blocks?.dispose();
      this.#folded?.dispose();
    };
    if (this.#pending === undefined && this.#lent === undefined) free();
    else void Promise.allSettled([this.#pending, this.#lent]).then(free);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Nothing is computed from rows that are not there. @throws what kept them from being copied. */
  #checkWhole(): void {
    if (this.#spoiled !== undefined) throw this.#spoiled;
  }

  /** Asks for the memory of positions that were never written. */
  #admit(positions: number): void {
    // A card's memory was taken as a whole.
    if (positions <= this.#admitted || this.#options.places?.some(Boolean)) return;
    const end = Math.ceil(positions / admittedAtOnce) * admittedAtOnce;
    const most = Math.min(end, this.capacity);
    const once = this.#admitted === 0 ? (this.#folded?.stateBytes ?? 0) : 0;
    const rows = this.#memory.bytesOf(this.#admitted, most);
    const blocks = this.#blocks?.bytesOf(this.#admitted, most) ?? 0;
    this.#options.admit?.(rows + blocks + this.#windowBytes(this.#admitted, most) + once);
    this.#admitted = most;
  }

  /** What the rows of windows take more when the text gets so long. */
  #windowBytes(from: number, end: number): number {
    const windowed = this.#windowed;
    if (windowed === undefined) return 0;
    return windowed.memory.bytesOf(windowed.keptPositions(from), windowed.keptPositions(end));
  }

  #rows(kind: RowKind): RowMemory {
    return kind === 'window' && this.#windowed ? this.#windowed.memory : this.#memory;
  }

  #block(index: number, rows: number = this.blockLength): [from: number, end: number] {
    const from = index * this.blockLength;
    return [from, Math.min(from + Math.min(rows, this.blockLength), this.capacity)];
  }

  #checkBlock(kind: RowKind, index: number, bytes: Uint8Array, rows?: number): void {
    const sound =
      Number.isSafeInteger(index) && index >= 0 && index * this.blockLength < this.capacity;
    if (sound && bytes.byteLength === this.blockBytes(kind, index, rows)) return;
    throw new PacelineError('internal', `Block ${index} does not have ${bytes.byteLength} bytes`);
  }
}

/** The cards of the layers with rows of every position, and of those with a window, as `rowsByKind`. */
function placesByKind(layers: readonly LayerState[], places: LayeredStateOptions['places'] = []) {
  const ofWhole: (Accelerator | undefined)[] = [];
  const ofWindowed: (Accelerator | undefined)[] = [];
  for (const [layer, state] of layers.entries()) {
    if (state.kind !== 'rows' && state.kind !== 'compressed') continue;
    (state.window === undefined ? ofWhole : ofWindowed).push(places[layer]);
  }
  return { ofWhole, ofWindowed };
}

/** Where a layer's rows are: in which memory, and which of its layers. */
interface RowPlace {
  readonly kind: RowKind;
  readonly index: number;
}

/** For each layer the place of its rows among the layers that keep some of its kind. */
function placesOf(layers: readonly LayerState[]): (RowPlace | undefined)[] {
  const places: (RowPlace | undefined)[] = [];
  const counts = { whole: 0, window: 0 };
  for (const state of layers) {
    if (state.kind === 'rows' || state.kind === 'compressed') {
      const kind = state.window === undefined ? 'whole' : 'window';
      places.push({ kind, index: counts[kind]++ });
    } else if (state.kind === 'shared') places.push(places[state.layer]);
    else places.push(undefined);
  }
  return places;
}

/** For each layer its place among those that fold what they have seen. */
function placesOfFolded(layers: readonly LayerState[]): (number | undefined)[] {
  let count = 0;
  const folds = ({ kind }: LayerState) => kind === 'recurrent' || kind === 'compressed';
  return layers.map((state) => (folds(state) ? count++ : undefined));
}

/** The least common multiple. */
function multiple(a: number, b: number): number {
  let [divisor, rest] = [a, b];
  while (rest > 0) [divisor, rest] = [rest, divisor % rest];
  return (a / divisor) * b;
}
