/**
 * A checksum of 128 bits that plain JavaScript computes about as fast as memory is copied, so that
 * every byte from the disk can be checked where Node.js has no fast one of its own. Four lanes take a
 * word each by steps that can be undone (a product with an odd number, a shifted exclusive or), so
 * that a change of any one word always shows, and any other change but for one in 2^32 or less. It
 * finds damage; it does not resist forgery.
 */

const factors = [0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f, 0x165667b1] as const;
const stepBytes = 16;

/** Takes four lanes over parts of memory, step by step. */
export type TakeLanes = (parts: readonly Uint8Array[], lanes: Int32Array) => Promise<void>;

export class Checksum {
  readonly #lanes = Int32Array.of(1, 2, 3, 4);
  #bytes = 0;
  /** What is too little for a step. */
  readonly #rest = new Uint8Array(stepBytes);
  #restLength = 0;

  /** Takes note of bytes; how they are cut into calls makes no difference. */
  update(bytes: Uint8Array): this {
    this.#bytes += bytes.byteLength;
    let at = 0;
    if (this.#restLength > 0) {
      at = Math.min(stepBytes - this.#restLength, bytes.byteLength);
      this.#rest.set(bytes.subarray(0, at), this.#restLength);
      this.#restLength += at;
      if (this.#restLength < stepBytes) return this;
      this.#steps(this.#rest, 0, 1);
      this.#restLength = 0;
    }
    const count = Math.floor((bytes.byteLength - at) / stepBytes);
    this.#steps(bytes, at, count);
    at += count * stepBytes;
    this.#rest.set(bytes.subarray(at));
    this.#restLength = bytes.byteLength - at;
    return this;
  }

  /**
   * The same for parts of whole steps of 16 bytes, by a function that takes the lanes over them.
   * @returns false, with nothing done, when the parts or what came before them are no whole steps.
   */
  async updateBy(parts: readonly Uint8Array[], take: TakeLanes): Promise<boolean> {
    if (this.#restLength > 0) return false;
    if (parts.some(({ byteLength }) => byteLength % stepBytes !== 0)) return false;
    await take(parts, this.#lanes);
    for (const { byteLength } of parts) this.#bytes += byteLength;
    return true;
  }

  /** 32 hexadecimal digits. */
  digest(): string {
    const last = new Uint8Array(stepBytes);
    last.set(this.#rest.subarray(0, this.#restLength));
    const copy = new Checksum();
    copy.#lanes.set(this.#lanes);
    copy.#steps(last, 0, 1);
    const length = new DataView(new ArrayBuffer(stepBytes));
    length.setFloat64(0, this.#bytes, true);
    copy.#steps(new Uint8Array(length.buffer), 0, 1);
    return Array.from(copy.#lanes, (lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
  }

  #steps(bytes: Uint8Array, from: number, count: number): void {
    const start = bytes.byteOffset + from;
    // A view of words must begin at a multiple of 4.
    const words =
      start % 4 === 0
        ? new Int32Array(bytes.buffer, start, count * 4)
        : new Int32Array(bytes.slice(from, from + count * stepBytes).buffer);
    let [a = 0, b = 0, c = 0, d = 0] = this.#lanes;
    for (let at = 0; at < words.length; at += 4) {
      a = Math.imul(a ^ (words[at] as number), factors[0]);
      b = Math.imul(b ^ (words[at + 1] as number), factors[1]);
      c = Math.imul(c ^ (words[at + 2] as number), factors[2]);
      d = Math.imul(d ^ (words[at + 3] as number), factors[3]);
      a ^= a >>> 15;
      b ^= b >>> 15;
      c ^= c >>> 15;
      d ^= d >>> 15;
    }
    this.#lanes.set([a, b, c, d]);
  }
}

/** The checksum of some bytes. */
export function checksum(bytes: Uint8Array): string {
  return new Checksum().update(bytes).digest();
}
