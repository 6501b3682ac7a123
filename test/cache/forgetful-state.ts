/**
 * State that cannot go back but to checkpoints, as recurrent layers have it: a state of rows whose
 * beginnings are forgotten on purpose. What the engine must do well with.
 */
import { PacelineError } from '../../src/base/errors.js';
import type { RowKind, SequenceState } from '../../src/cache/state.js';
import type { LayerTensors } from '../../src/models/model.js';

export class ForgetfulState implements SequenceState {
  readonly canGoBack = false;
  readonly hasFixed = true;
  readonly mostProvisional = 7;
  readonly #rows: SequenceState;
  #checkpoints: number[] = [];
  /** Times that more than the rows of one pass were forgotten. */
  restarts = 0;

  constructor(rows: SequenceState) {
    this.#rows = rows;
  }

  get length(): number {
    return this.#rows.length;
  }
  get capacity(): number {
    return this.#rows.capacity;
  }
  get bytes(): number {
    return this.#rows.bytes;
  }
  get fingerprint(): string {
    return `forgetful ${this.#rows.fingerprint}`;
  }
  get blockLength(): number {
    return this.#rows.blockLength;
  }

  layer(index: number): LayerTensors {
    return this.#rows.layer(index);
  }
  begin(rows: number): void {
    this.#rows.begin(rows);
    this.#provisional = rows;
  }
  #provisional = 0;

  commit(kept: number): void {
    const most = this.mostProvisional;
    if (this.#provisional > most && kept !== 0 && kept !== this.#provisional) {
      throw new PacelineError('internal', `${kept} of ${this.#provisional} rows: all or none`);
    }
    this.#rows.commit(kept);
  }

  reachable(length: number): number {
    if (length >= this.length) return this.length;
    return Math.max(0, ...this.#checkpoints.filter((at) => at <= length));
  }

  truncate(length: number): void {
    if (length !== this.reachable(length)) {
      throw new PacelineError('internal', `cannot go back to ${length}`);
    }
    if (length < this.length) this.restarts++;
    this.#rows.truncate(length);
    this.#checkpoints = this.#checkpoints.filter((at) => at <= length);
  }

  checkpoint(): void {
    if (!this.#checkpoints.includes(this.length)) this.#checkpoints.push(this.length);
  }

  fork(): ForgetfulState {
    const copy = new ForgetfulState(this.#rows.fork());
    copy.#checkpoints = [...this.#checkpoints];
    return copy;
  }

  get rowKinds(): readonly RowKind[] {
    return this.#rows.rowKinds;
  }
  blockBytes(kind: RowKind, index: number, rows?: number): number {
    return this.#rows.blockBytes(kind, index, rows);
  }
  holds(kind: RowKind, from: number, end: number): boolean {
    return this.#rows.holds(kind, from, end);
  }
  neededFrom(kind: RowKind, length: number): number {
    return this.#rows.neededFrom(kind, length);
  }
  readBlock(kind: RowKind, index: number, into: Uint8Array, rows?: number): void {
    this.#rows.readBlock(kind, index, into, rows);
  }
  writeBlock(kind: RowKind, index: number, from: Uint8Array, rows?: number): void {
    this.#rows.writeBlock(kind, index, from, rows);
  }
  copyRows(kind: RowKind, other: SequenceState, from: number, end: number): Promise<void> {
    const rows = other instanceof ForgetfulState ? other.#rows : other;
    return this.#rows.copyRows(kind, rows, from, end);
  }

  readFixed(length: number): Uint8Array {
    if (length === this.length || this.#checkpoints.includes(length)) return Uint8Array.of(42);
    throw new PacelineError('internal', `nothing was kept at ${length}`);
  }

  resume(length: number, fixed: Uint8Array): void {
    if (fixed.length !== 1 || fixed[0] !== 42) {
      throw new PacelineError('broken-file', 'this is not what was saved');
    }
    this.#rows.resume(length, new Uint8Array());
    this.#checkpoints = [];
  }

  blockMemory(kind: RowKind, index: number, rows?: number): readonly Uint8Array[] | undefined {
    return this.#rows.blockMemory(kind, index, rows);
  }

  get pending(): Promise<void> | undefined {
    return this.#rows.pending;
  }
  hold(work: Promise<void>): void {
    this.#rows.hold(work);
  }
  trim(): void {
    this.#rows.trim();
  }

  dispose(): void {
    this.#rows.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
