/**
 * Reads little-endian values one after another from a source through a sliding window. Every length
 * is compared with the bytes that are left before anything of that size is allocated, so memory is
 * bounded by the source. Knows the format's primitives, not its structure.
 *
 * `prefetch` is the only thing that waits; primitives then work without it, which keeps hundreds of
 * thousands of strings fast.
 */
import { isUtf8 } from 'node:buffer';
import { PacelineError, throwIfAborted } from '../base/errors.js';
import type { ByteSource } from './source.js';
import { textOfBytes } from './text.js';

const windowBytes = 2 ** 20;
/** Strings of a batch are decoded by one call and cut apart. */
const batchStrings = 16384;
/** The longest string taken: chat templates have some hundred kilobytes. */
const maximalString = 64 * 2 ** 20;

/** A name from a file for use in a message: short, without control characters and foreign bytes. */
export function shown(name: string): string {
  const start = name.length > 80 ? `${name.slice(0, 77)}...` : name;
  return start.replace(/[\p{Cc}\p{Cs}\p{Bidi_Control}]/gu, (control) => {
    return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** The error for content that breaks the format. `problem` says what was found and expected. */
export function brokenFile(
  file: string,
  offset: number,
  problem: string,
  details: Readonly<Record<string, unknown>> = {},
): PacelineError {
  return new PacelineError('broken-file', `${file}: ${problem} (at byte ${offset})`, {
    hint: 'The file is damaged or was written by a faulty tool; download or convert it again.',
    details: { file, offset, ...details },
  });
}

/** The error for a file that ends too early. */
export function truncatedFile(
  file: string,
  offset: number,
  what: string,
  missing: number | bigint,
): PacelineError {
  return new PacelineError(
    'broken-file',
    `${file} is truncated or damaged: ${what} needs ${missing} bytes more than there are (at byte ${offset})`,
    {
      hint: 'The download was probably cut off; download the file again.',
      details: { file, offset, missing: Number(missing), truncated: true },
    },
  );
}

export class HeaderCursor {
  readonly #source: ByteSource;
  readonly #signal: AbortSignal | undefined;
  /** Window over the source: bytes `#at` to `#end` of it are still to be read. */
  #window: Buffer;
  #view: DataView;
  #at = 0;
  #end = 0;
  /** Position in the source of the window's first byte. */
  #base = 0;
  #scratch: Buffer | undefined;

  constructor(source: ByteSource, signal?: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
    this.#window = Buffer.allocUnsafeSlow(Math.min(source.size, windowBytes));
    this.#view = viewOf(this.#window);
  }

  /** The source's name, for messages. */
  get file(): string {
    return this.#source.name;
  }

  /** Position in the source of the next byte. */
  get offset(): number {
    return this.#base + this.#at;
  }

  /** Bytes of the source from here on. */
  get remaining(): number {
    return this.#source.size - this.offset;
  }

  broken(problem: string, offset = this.offset): PacelineError {
    return brokenFile(this.#source.name, offset, problem);
  }

  truncated(what: string, missing: number | bigint): PacelineError {
    return truncatedFile(this.#source.name, this.offset, what, missing);
  }

  /** Makes the next `bytes` bytes, or those that are left, readable without waiting. */
  async prefetch(bytes: number): Promise<void> {
    const wanted = Math.min(bytes, this.remaining);
    const kept = this.#end - this.#at;
    if (kept >= wanted) return;
    throwIfAborted(this.#signal);
    const capacity = Math.max(Math.min(windowBytes, this.remaining), wanted);
    const old = this.#window;
    if (old.byteLength < capacity) {
      this.#window = Buffer.allocUnsafeSlow(capacity);
      this.#view = viewOf(this.#window);
    }
    old.copy(this.#window, 0, this.#at, this.#end);
    this.#base += this.#at;
    this.#at = 0;
    this.#end = Math.min(this.#window.byteLength, this.#source.size - this.#base);
    await this.#source.read(this.#window.subarray(kept, this.#end), this.#base + kept);
  }

  u8(what: string): number {
    return this.#view.getUint8(this.#take(1, what));
  }

  i8(what: string): number {
    return this.#view.getInt8(this.#take(1, what));
  }

  u16(what: string): number {
    return this.#view.getUint16(this.#take(2, what), true);
  }

  i16(what: string): number {
    return this.#view.getInt16(this.#take(2, what), true);
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }

  i32(what: string): number {
    return this.#view.getInt32(this.#take(4, what), true);
  }

  f32(what: string): number {
    return this.#view.getFloat32(this.#take(4, what), true);
  }

  f64(what: string): number {
    return this.#view.getFloat64(this.#take(8, what), true);
  }

  u64(what: string): number | bigint {
    return narrow(this.#view.getBigUint64(this.#take(8, what), true));
  }

  i64(what: string): number | bigint {
    return narrow(this.#view.getBigInt64(this.#take(8, what), true));
  }

  /**
   * A 64-bit count of things that take at least `itemBytes` bytes each in the rest of the source.
   * @throws {PacelineError} `broken-file` when so many cannot follow.
   */
  count(what: string, itemBytes: number): number {
    const at = this.offset;
    const count = this.u64(what);
    if (typeof count === 'bigint' || count * itemBytes > this.remaining) {
      const missing = BigInt(count) * BigInt(itemBytes) - BigInt(this.remaining);
      throw truncatedFile(this.#source.name, at, `${what} of ${count}`, missing);
    }
    return count;
  }

  /** A string with its length before it. Waits only when it is not in the window. */
  async string(what: string, longest = maximalString): Promise<string> {
    await this.prefetch(8);
    const at = this.offset;
    const length = this.count(`${what}: a string`, 1);
    if (length > longest) {
      throw this.broken(`${what} has ${length} bytes, more than the ${longest} allowed`, at);
    }
    await this.prefetch(length);
    const start = this.#take(length, what);
    return textOfBytes(this.#window.subarray(start, start + length));
  }

  /** `count` bytes in memory of their own, aligned for any typed array. */
  async bytes(count: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    if (count > this.remaining) throw this.truncated(what, count - this.remaining);
    throwIfAborted(this.#signal);
    const result = new Uint8Array(count);
    const ready = Math.min(count, this.#end - this.#at);
    result.set(this.#window.subarray(this.#at, this.#at + ready));
    this.#at += ready;
    if (ready < count) {
      await this.#source.read(result.subarray(ready), this.offset);
      this.#base = this.offset + count - ready;
      this.#at = 0;
      this.#end = 0;
    }
    return result;
  }

  /** `count` strings, each with its length before it. The caller has checked `count`. */
  async strings(count: number, what: string): Promise<string[]> {
    const result: string[] = [];
    while (result.length < count) {
      const length = await this.#prefetchString(what, result.length);
      if (length > windowBytes / 4) {
        result.push(await this.string(`${what}[${result.length}]`));
      } else {
        this.#stringBatch(result, Math.min(count - result.length, batchStrings));
      }
    }
    return result;
  }

  /** Makes the next string readable and gives its length. */
  async #prefetchString(what: string, index: number): Promise<number> {
    await this.prefetch(8);
    const at = this.#at;
    const label = `${what}[${index}]`;
    const length = this.count(`${label}: a string`, 1);
    this.#at = at;
    if (length > maximalString) {
      throw this.broken(`${label} has ${length} bytes, more than ${maximalString}`);
    }
    await this.prefetch(8 + length);
    return length;
  }

  /**
   * Appends up to `most` strings that are whole in the window (at least one is). Their bytes are laid
   * end to end and decoded by one call: if the whole is valid UTF-8 and no string starts within a
   * character, every string is valid. Else they are decoded one by one.
   */
  #stringBatch(result: string[], most: number): void {
    const window = this.#window;
    const end = this.#end;
    const scratch = this.#scratchOf(window.byteLength);
    const ends = new Int32Array(most);
    const origin = this.#at;
    let at = origin;
    let size = 0;
    let units = 0;
    let strings = 0;
    let high = 0;
    let valid = true;
    while (strings < most && at + 8 <= end) {
      const length = this.#view.getUint32(at, true);
      if (this.#view.getUint32(at + 4, true) !== 0 || length > end - at - 8) break;
      at += 8;
      if (length > 0 && ((window[at] ?? 0) & 0xc0) === 0x80) valid = false;
      for (const last = at + length; at < last; at++) {
        const byte = window[at] ?? 0;
        scratch[size++] = byte;
        high |= byte;
        // UTF-16 units: one a character, two where UTF-8 has four bytes.
        if ((byte & 0xc0) !== 0x80) units += byte >= 0xf0 ? 2 : 1;
      }
      ends[strings++] = units;
    }
    const bytes = scratch.subarray(0, size);
    if (!valid || (high >= 0x80 && !isUtf8(bytes))) {
      this.#at = origin;
      for (let index = 0; index < strings; index++) this.#pushString(result);
      return;
    }
    const text = bytes.toString(high < 0x80 ? 'latin1' : 'utf8');
    let from = 0;
    for (let index = 0; index < strings; index++) {
      const to = ends[index] ?? from;
      result.push(text.slice(from, to));
      from = to;
    }
    this.#at = at;
  }

  /** Appends the next string, which is whole in the window. */
  #pushString(result: string[]): void {
    const start = this.#at + 8;
    this.#at = start + this.#view.getUint32(this.#at, true);
    result.push(textOfBytes(this.#window.subarray(start, this.#at)));
  }

  #scratchOf(bytes: number): Buffer {
    if (this.#scratch === undefined || this.#scratch.byteLength < bytes) {
      this.#scratch = Buffer.allocUnsafeSlow(bytes);
    }
    return this.#scratch;
  }

  #take(bytes: number, what: string): number {
    const at = this.#at;
    if (this.#end - at < bytes) throw this.truncated(what, bytes - (this.#end - at));
    this.#at = at + bytes;
    return at;
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** A number when it is exact, else the bigint itself. */
function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
