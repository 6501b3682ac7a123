/**
 * The alphabet of expressions: the 256 bytes of text, then special tokens that a format names (they
 * are no text, so that no byte stands for them), and one symbol for all other special tokens.
 * Knows nothing of expressions or vocabularies.
 */

/** Any special token that no format names. */
export const OTHER_SPECIAL = 256;
/** The first of the named special tokens. */
export const FIRST_SPECIAL = 257;
/** Symbols fit into nine bits, so that a state and a symbol fit into one integer. */
export const SYMBOL_BITS = 9;
export const MAX_SPECIAL = (1 << SYMBOL_BITS) - FIRST_SPECIAL;

/** A set of bytes as 256 bits. */
export class ByteSet {
  readonly words = new Uint32Array(8);

  /** The set of the bytes in inclusive ranges. */
  static of(...ranges: readonly (readonly [number, number])[]): ByteSet {
    const set = new ByteSet();
    for (const [low, high] of ranges) {
      for (let byte = low; byte <= high; byte++) set.add(byte);
    }
    return set;
  }

  add(byte: number): void {
    this.words[byte >>> 5] = (this.words[byte >>> 5] as number) | (1 << (byte & 31));
  }

  has(byte: number): boolean {
    return (((this.words[byte >>> 5] as number) >>> (byte & 31)) & 1) === 1;
  }

  addAll(other: ByteSet): void {
    for (let word = 0; word < 8; word++) {
      this.words[word] = (this.words[word] as number) | (other.words[word] as number);
    }
  }

  get key(): string {
    return this.words.join();
  }
}

/** Sorted lists of bytes: the order of `Buffer.compare`. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const difference = (a[index] as number) - (b[index] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
