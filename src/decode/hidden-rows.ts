/**
 * The target's hidden rows of the last positions, as drafters keep them until they need them. Rows
 * are copied in; what is older than the window is forgotten.
 */
import type { FeatureRows } from './drafter.js';

export class HiddenRows {
  readonly width: number;
  readonly #window: number;
  readonly #rows: Float32Array;
  /** Rows of positions [first, end) are known. */
  #first = 0;
  #end = 0;

  constructor(width: number, window: number) {
    this.width = width;
    this.#window = window;
    this.#rows = new Float32Array(width * window);
  }

  /** The first known position; equals `end` when none is. */
  get first(): number {
    return this.#first;
  }

  /** One past the last observed position. */
  get end(): number {
    return this.#end;
  }

  get bytes(): number {
    return this.#rows.byteLength;
  }

  /** Takes note of `count` positions, of which the last `features.rows` have rows. */
  append(count: number, features: FeatureRows | undefined): void {
    const known = Math.min(features?.rows ?? 0, count, this.#window);
    const end = this.#end + count;
    // A gap makes everything before it useless: rows are read in an unbroken run.
    if (known < count) this.#first = end - known;
    if (features !== undefined) {
      const skip = features.rows - known;
      for (let row = 0; row < known; row++) {
        const from = (skip + row) * this.width;
        const to = ((end - known + row) % this.#window) * this.width;
        this.#rows.set(features.data.subarray(from, from + this.width), to);
      }
    }
    this.#end = end;
    this.#first = Math.max(this.#first, end - this.#window);
  }

  /** Copies the row of a known position into `target`. */
  copy(position: number, target: Float32Array, at: number): void {
    const from = (position % this.#window) * this.width;
    target.set(this.#rows.subarray(from, from + this.width), at);
  }

  truncate(length: number): void {
    this.#end = Math.min(this.#end, length);
    this.#first = Math.min(this.#first, this.#end);
  }

  /** The known rows, oldest first, as bytes that `restore` takes. */
  snapshot(): Uint8Array {
    const known = this.#end - this.#first;
    const words = new Float64Array(2);
    words.set([this.#first, this.#end]);
    const rows = new Float32Array(known * this.width);
    for (let at = 0; at < known; at++) this.copy(this.#first + at, rows, at * this.width);
    const bytes = new Uint8Array(words.byteLength + rows.byteLength);
    bytes.set(new Uint8Array(words.buffer));
    bytes.set(new Uint8Array(rows.buffer), words.byteLength);
    return bytes;
  }

  /** Returns false, and changes nothing, when the bytes are not a snapshot of such rows. */
  restore(bytes: Uint8Array): boolean {
    if (bytes.byteLength < 16) return false;
    const copy = bytes.slice();
    const [first = -1, end = -1] = new Float64Array(copy.buffer, 0, 2);
    const known = end - first;
    const sound = Number.isSafeInteger(first) && Number.isSafeInteger(end) && first >= 0;
    if (!sound || known < 0 || known > this.#window) return false;
    if (copy.byteLength !== 16 + known * this.width * 4) return false;
    this.#first = first;
    this.#end = first;
    const data = new Float32Array(copy.buffer, 16, known * this.width);
    this.append(known, { rows: known, width: this.width, data });
    this.#first = first;
    return true;
  }
}
