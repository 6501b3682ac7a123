/**
 * The state of a sequence whose layers keep rows, another layer's rows, what they have seen folded
 * up, or nothing. Rows past `length` are garbage that the next pass overwrites, so that going back is
 * free and always possible; where something is folded, to what its memory reaches.
 */
import { createHash } from 'node:crypto';
import { PacelineError } from '../base/errors.js';
import type { Backend } from '../ggml/backend.js';
import { loggedRows } from '../ggml/recurrent-shape.js';
import type { GgmlType } from '../ggml/types.js';
import { type LayerState, recurrentShapes, rowShapes } from '../models/layer-state.js';
import type { LayerTensors, RecurrentTensors } from '../models/model.js';
import { contextOverflow } from './overflow.js';
import { RecurrentMemory } from './recurrent-memory.js';
import { RowMemory } from './row-memory.js';
import type { SequenceState } from './state.js';

export interface LayeredStateOptions {
  readonly backend: Backend;
  /** One entry a layer. */
  readonly layers: readonly LayerState[];
  /** Positions that fit. */
  readonly capacity: number;
  /** Element type of keys and values. */
  readonly type: GgmlType;
  /** Names the weights and whatever else decides the bytes of a row; part of the fingerprint. */
  readonly identity: string;
  /**
   * Asked before rows are first written, which is when the system has to find memory for them; throws
   * to refuse so many bytes. Default: nobody is asked.
   */
  readonly admit?: ((bytes: number) => void) | undefined;
}

/** Positions of a saved block. */
const blockLength = 64;
/** Positions that memory is asked for at a time. */
const admittedAtOnce = 256;
/** Counts changes of how bytes lie in blocks. */
const layoutVersion = 1;

export class LayeredState implements SequenceState {
  readonly blockLength = blockLength;
  readonly canGoBack: boolean;
  readonly mostProvisional: number;
  readonly #options: LayeredStateOptions;
  readonly #memory: RowMemory;
  /** Of the layers that fold what they have seen, if there are any. */
  readonly #folded: RecurrentMemory | undefined;
  /** For each layer, where its rows are in the memory; undefined where it has none. */
  readonly #places: readonly (number | undefined)[];
  /** For each layer, where its folded state is. */
  readonly #foldedPlaces: readonly (number | undefined)[];
  #length = 0;
  #provisional: number | undefined;
  /** Positions whose memory was admitted. */
  #admitted = 0;
  #fingerprint: string | undefined;
  #pending: Promise<void> | undefined;

  /**
   * @throws {PacelineError} `memory`; `usage` when rows don't fit the type;
   *   `unsupported-architecture` for kinds of state that have no memory yet.
   */
  constructor(options: LayeredStateOptions) {
    this.#options = options;
    const { backend, layers, capacity, type } = options;
    this.#places = placesOf(layers);
    this.#foldedPlaces = placesOfKind(layers, 'recurrent');
    const recurrent = recurrentShapes(layers);
    this.canGoBack = recurrent.length === 0;
    this.mostProvisional = this.canGoBack ? Number.POSITIVE_INFINITY : loggedRows;
    this.#memory = new RowMemory({ backend, layout: rowShapes(layers), capacity, type });
    try {
      this.#folded = this.canGoBack
        ? undefined
        : new RecurrentMemory({ backend, layers: recurrent, admit: options.admit });
    } catch (error) {
      this.#memory.dispose();
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
    return this.#memory.bytes + (this.#folded?.bytes ?? 0);
  }

  get fingerprint(): string {
    const { layers, type, identity } = this.#options;
    this.#fingerprint ??= createHash('sha256')
      .update(JSON.stringify({ layoutVersion, blockLength, type, layers, identity }))
      .digest('hex');
    return this.#fingerprint;
  }

  layer(index: number): LayerTensors {
    const place = this.#places[index];
    if (place === undefined) throw new PacelineError('internal', `Layer ${index} keeps no rows`);
    return this.#memory.layer(place);
  }

  recurrent(index: number): RecurrentTensors {
    const place = this.#foldedPlaces[index];
    if (place !== undefined && this.#folded) return this.#folded.layer(place);
    throw new PacelineError('internal', `Layer ${index} folds nothing`);
  }

  begin(rows: number): void {
    if (this.#length + rows > this.capacity) {
      throw contextOverflow(this.#length + rows, this.capacity);
    }
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
    this.#provisional = undefined;
    this.#length += kept;
  }

  reachable(length: number): number {
    const wanted = Math.max(0, Math.min(length, this.#length));
    return this.#folded?.reachable(wanted) ?? wanted;
  }

  truncate(length: number): void {
    if (length !== this.reachable(length)) {
      throw new PacelineError('internal', `${this.#length} rows cannot be cut to ${length}`);
    }
    this.#folded?.truncate(length);
    this.#length = length;
  }

  checkpoint(): void {
    this.#folded?.checkpoint();
  }

  fork(): LayeredState {
    const copy = new LayeredState(this.#options);
    copy.#admit(this.#length);
    const copyFolded = this.#folded && copy.#folded?.copy(this.#folded);
    const length = this.#length;
    const ready = (this.#pending ?? Promise.resolve()).then(async () => {
      await copy.#memory.copyFrom(this.#memory, length);
      await copyFolded?.();
    });
    copy.#length = length;
    for (const state of [this, copy]) state.hold(ready);
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
    if (this.#pending === undefined) this.#memory.release(this.#length);
  }

  blockBytes(index: number): number {
    return this.#memory.bytesOf(...this.#block(index));
  }

  readBlock(index: number, into: Uint8Array): void {
    this.#checkBlock(index, into);
    this.#memory.read(...this.#block(index), into);
  }

  writeBlock(index: number, from: Uint8Array): void {
    this.#checkBlock(index, from);
    this.#memory.write(...this.#block(index), from);
  }

  blockMemory(index: number): readonly Uint8Array[] | undefined {
    return this.#memory.views(...this.#block(index));
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
    this.#length = length;
  }

  dispose(): void {
    const free = () => {
      this.#memory.dispose();
      this.#folded?.dispose();
    };
    if (this.#pending === undefined) free();
    else void this.#pending.then(free, free);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Asks for the memory of positions that were never written. */
  #admit(positions: number): void {
    if (positions <= this.#admitted) return;
    const end = Math.ceil(positions / admittedAtOnce) * admittedAtOnce;
    const most = Math.min(end, this.capacity);
    const once = this.#admitted === 0 ? (this.#folded?.stateBytes ?? 0) : 0;
    this.#options.admit?.(this.#memory.bytesOf(this.#admitted, most) + once);
    this.#admitted = most;
  }

  #block(index: number): [from: number, end: number] {
    const from = index * blockLength;
    return [from, Math.min(from + blockLength, this.capacity)];
  }

  #checkBlock(index: number, bytes: Uint8Array): void {
    const sound = Number.isSafeInteger(index) && index >= 0 && index * blockLength < this.capacity;
    if (sound && bytes.byteLength === this.blockBytes(index)) return;
    throw new PacelineError('internal', `Block ${index} does not have ${bytes.byteLength} bytes`);
  }
}

/** For each layer the place of its rows among the layers that keep some. */
function placesOf(layers: readonly LayerState[]): (number | undefined)[] {
  const places: (number | undefined)[] = [];
  let count = 0;
  for (const state of layers) {
    if (state.kind === 'rows') places.push(count++);
    else if (state.kind === 'shared') places.push(places[state.layer]);
    else if (state.kind === 'none' || state.kind === 'recurrent') places.push(undefined);
    else {
      const problem = `There is no memory yet for ${state.kind} state of layers`;
      throw new PacelineError('unsupported-architecture', problem, {
        hint: 'Use a model of one of the supported architectures.',
      });
    }
  }
  return places;
}

/** For each layer its place among those of a kind. */
function placesOfKind(
  layers: readonly LayerState[],
  kind: LayerState['kind'],
): (number | undefined)[] {
  let count = 0;
  return layers.map((state) => (state.kind === kind ? count++ : undefined));
}
