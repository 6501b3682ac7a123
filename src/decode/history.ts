/**
 * The tokens of one sequence, prompt and output: a growing list that can be cut back. The only
 * thing that sampling, checking and drafting share about a text.
 */
export class TokenHistory {
  #tokens: Int32Array;
  #length = 0;

  constructor(tokens: ArrayLike<number> = []) {
    this.#tokens = new Int32Array(Math.max(64, tokens.length * 2));
    this.append(tokens);
  }

  /** Tokens so far; the position of the next one. */
  get length(): number {
    return this.#length;
  }

  push(token: number): void {
    if (this.#length === this.#tokens.length) this.#grow(this.#length + 1);
    this.#tokens[this.#length++] = token;
  }

  append(tokens: ArrayLike<number>): void {
    const length = this.#length + tokens.length;
    if (length > this.#tokens.length) this.#grow(length);
    this.#tokens.set(tokens, this.#length);
    this.#length = length;
  }

  /** The last token; -1 when there is none. */
  get last(): number {
    return this.#length === 0 ? -1 : (this.#tokens[this.#length - 1] as number);
  }

  /** Forgets the tokens at position `length` and after; does nothing when there are none. */
  truncate(length: number): void {
    this.#length = Math.max(0, Math.min(this.#length, length));
  }

  /** The tokens without a copy; valid until the next change. */
  view(): Int32Array {
    return this.#tokens.subarray(0, this.#length);
  }

  #grow(least: number): void {
    const larger = new Int32Array(Math.max(least, this.#tokens.length * 2));
    larger.set(this.#tokens);
    this.#tokens = larger;
  }
}
