/**
 * The states of a sequence's layers that fold what they have seen. Each layer has two: a pass reads
 * one and writes the other, so that a pass that failed has spoiled nothing. What was seen last is in
 * the log of a state, and is undone by cutting it; what goes back further needs a checkpoint.
 *
 * Tensors are written to before a pass only. Whatever else changes the state, such as going back to a
 * checkpoint, is remembered until then, so that a copy that is being made is never disturbed.
 */
import { PacelineError } from '../base/errors.js';
import {
  Allocation,
  copyTensorBytes,
  readTensorBytes,
  type TensorSpec,
  writeTensor,
} from '../ggml/allocation.js';
import type { Backend } from '../ggml/backend.js';
import { loggedRows, type RecurrentShape, stateElements } from '../ggml/recurrent-shape.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import type { RecurrentTensors } from '../models/model.js';
import { leastUseful } from './checkpoints.js';

export interface RecurrentMemoryOptions {
  readonly backend: Backend;
  /** One entry a layer. */
  readonly layers: readonly RecurrentShape[];
  /** Asked before a checkpoint is made; throws to refuse so many bytes. */
  readonly admit?: ((bytes: number) => void) | undefined;
}

/** A state as it was; never changed, so that copies of a sequence share it. */
interface Checkpoint {
  readonly length: number;
  readonly bytes: Uint8Array;
}

/** Checkpoints of a sequence: they take as much memory as half its states each. */
const mostCheckpoints = 8;
/** Bytes before the layers of a saved state: how many rows the logs have. */
const headerBytes = 4;

export class RecurrentMemory implements Disposable {
  readonly #options: RecurrentMemoryOptions;
  readonly #allocation: Allocation;
  /** Which of its two states a layer reads next. */
  #current: 0 | 1 = 0;
  /** Positions that have been seen; the last `#logged` of them are in the logs. */
  #length = 0;
  #logged = 0;
  /** Takes the place of the current states before the next pass. */
  #saved: Uint8Array | undefined;
  #checkpoints: readonly Checkpoint[] = [];

  /** @throws {PacelineError} `memory`. */
  constructor(options: RecurrentMemoryOptions) {
    this.#options = options;
    const specs = options.layers.flatMap((layer, index): TensorSpec[] =>
      ['a', 'b'].map((name) => ({
        name: `state.${index}.${name}`,
        type: GgmlType.F32,
        shape: [stateElements(layer)],
      })),
    );
    this.#allocation = new Allocation(options.backend, specs);
  }

  get bytes(): number {
    return this.#checkpoints.reduce((sum, { bytes }) => sum + bytes.length, this.#allocation.bytes);
  }

  /** Bytes of the states alone. */
  get stateBytes(): number {
    return this.#allocation.bytes;
  }

  /** What the next pass reads and writes. @throws {PacelineError} `internal` beyond the last layer. */
  layer(index: number): RecurrentTensors {
    const to = this.#state(index, this.#current === 0 ? 1 : 0);
    if (this.#length === 0) return { from: undefined, to, logged: 0 };
    return { from: this.#state(index, this.#current), to, logged: this.#logged };
  }

  /** Call it before every pass. */
  begin(): void {
    const saved = this.#saved;
    if (saved === undefined) return;
    this.#eachPart(this.#logged, (tensor, start, count) =>
      writeTensor(this.#options.backend, tensor, saved.subarray(start, start + count)),
    );
    this.#saved = undefined;
  }

  /**
   * Keeps the first `kept` of the `rows` that a pass has computed.
   * @throws {PacelineError} `internal` for a part of more than `loggedRows`.
   */
  commit(rows: number, kept: number): void {
    if (kept === 0) return;
    if (rows > loggedRows && kept !== rows) {
      throw new PacelineError('internal', `${kept} of ${rows} rows: all or none can be kept`);
    }
    this.#current = this.#current === 0 ? 1 : 0;
    this.#length += kept;
    this.#logged = rows > loggedRows ? 0 : kept;
  }

  /** The largest length up to this one that can be gone back to. */
  reachable(length: number): number {
    if (length >= this.#length - this.#logged) return Math.min(length, this.#length);
    return this.#checkpointBefore(length)?.length ?? 0;
  }

  /** Goes back to a length that is reachable. */
  truncate(length: number): void {
    if (length >= this.#length - this.#logged) {
      this.#logged -= this.#length - length;
      this.#length = length;
      // The logs of what is written back are as long as they were saved.
      if (this.#saved !== undefined) this.#saved = this.#shortened(this.#saved, this.#logged);
    } else {
      const checkpoint = this.#checkpointBefore(length);
      this.resume(length, checkpoint?.bytes ?? new Uint8Array(0));
    }
    this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint.length <= length);
  }

  /**
   * Makes the present length reachable from everywhere behind it; as long as memory allows it, and
   * until others are of more use: those that are kept lie the farther apart the farther they are back.
   */
  checkpoint(): void {
    const length = this.#length;
    if (length === 0 || this.#checkpoints.at(-1)?.length === length) return;
    try {
      this.#options.admit?.(this.#savedBytes(this.#logged));
    } catch (error) {
      if (PacelineError.is(error) && error.code === 'memory') return;
      throw error;
    }
    const all = [...this.#checkpoints, { length, bytes: this.save(length) }];
    if (all.length > mostCheckpoints) all.splice(leastUseful(all.map(({ length }) => length)), 1);
    this.#checkpoints = all;
  }

  /** The state at the present length or at a checkpoint; empty where nothing was seen. */
  save(length: number): Uint8Array {
    if (length === 0) return new Uint8Array(0);
    if (length !== this.#length) {
      const found = this.#checkpoints.find((checkpoint) => checkpoint.length === length);
      if (found !== undefined) return found.bytes;
      throw new PacelineError('internal', `There is nothing to save at ${length}`);
    }
    if (this.#saved !== undefined) return this.#saved;
    const bytes = new Uint8Array(this.#savedBytes(this.#logged));
    new DataView(bytes.buffer).setUint32(0, this.#logged, true);
    this.#eachPart(this.#logged, (tensor, start, count) =>
      readTensorBytes(this.#options.backend, tensor, bytes.subarray(start, start + count)),
    );
    return bytes;
  }

  /**
   * Goes on from what was saved, and forgets the checkpoints.
   * @throws {PacelineError} `broken-file` when it cannot be such a state at this length.
   */
  restore(length: number, bytes: Uint8Array): void {
    this.resume(length, bytes);
    this.#checkpoints = [];
  }

  private resume(length: number, bytes: Uint8Array): void {
    const whole = bytes.length >= headerBytes;
    const logged = whole
      ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
      : Number.NaN;
    const fits =
      length === 0
        ? bytes.length === 0
        : logged <= Math.min(loggedRows, length) && bytes.length === this.#savedBytes(logged);
    if (!fits) {
      const problem = `${bytes.length} bytes are no state of this model's layers at ${length}`;
      throw new PacelineError('broken-file', problem, {
        hint: 'Discard it; the prompt is then computed again.',
      });
    }
    this.#length = length;
    this.#logged = length === 0 ? 0 : logged;
    this.#saved = length === 0 ? undefined : bytes;
  }

  /**
   * Becomes a copy of a sequence of the same layers. Until what is returned has settled, neither may
   * take part in a pass.
   */
  copy(other: RecurrentMemory): () => Promise<void> {
    this.#length = other.#length;
    this.#logged = other.#logged;
    this.#saved = other.#saved;
    this.#checkpoints = other.#checkpoints;
    const [from, to] = [other.#current, this.#current];
    const { backend, layers } = this.#options;
    const logged = this.#logged;
    const needed = this.#length > 0 && this.#saved === undefined;
    return async () => {
      for (const [index, layer] of needed ? layers.entries() : []) {
        const bytes = usedBytes(layer, logged);
        await copyTensorBytes(backend, other.#state(index, from), this.#state(index, to), bytes);
      }
    };
  }

  dispose(): void {
    this.#allocation.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #state(index: number, which: 0 | 1): Tensor {
    const tensor = this.#allocation.tensors[2 * index + which];
    if (tensor !== undefined) return tensor;
    throw new PacelineError('internal', `There is no state of a layer ${index}`);
  }

  #checkpointBefore(length: number): Checkpoint | undefined {
    return this.#checkpoints.findLast((checkpoint) => checkpoint.length <= length);
  }

  #savedBytes(logged: number): number {
    const { layers } = this.#options;
    return layers.reduce((sum, layer) => sum + usedBytes(layer, logged), headerBytes);
  }

  /** The current states, and where they lie among the bytes of a saved one. */
  #eachPart(logged: number, visit: (tensor: Tensor, start: number, count: number) => void): void {
    let at = headerBytes;
    for (const [index, layer] of this.#options.layers.entries()) {
      const count = usedBytes(layer, logged);
      visit(this.#state(index, this.#current), at, count);
      at += count;
    }
  }

  /** A saved state with shorter logs. */
  #shortened(saved: Uint8Array, logged: number): Uint8Array {
    const had = new DataView(saved.buffer, saved.byteOffset).getUint32(0, true);
    if (had === logged) return saved;
    const bytes = new Uint8Array(this.#savedBytes(logged));
    new DataView(bytes.buffer).setUint32(0, logged, true);
    let [from, to] = [headerBytes, headerBytes];
    for (const layer of this.#options.layers) {
      const count = usedBytes(layer, logged);
      bytes.set(saved.subarray(from, from + count), to);
      from += usedBytes(layer, had);
      to += count;
    }
    return bytes;
  }
}

/** Bytes of a state whose log has so many rows. */
function usedBytes({ folded, inputs, tail }: RecurrentShape, logged: number): number {
  return 4 * (folded + (tail + logged) * inputs);
}
