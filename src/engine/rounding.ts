/**
 * How far logits are off that a device computes for several rows at once, against those of single
 * rows: of what was measured when the model was loaded (`measure-rounding.ts`) and whenever a row was
 * computed again alone.
 */
/** How many times what was measured is allowed for: the largest of a few thousand differences is not the largest of all. */
const safety = 4;
export class Rounding {
  #largest = 0;

  /** Largest difference seen. */
  get largest(): number {
    return this.#largest;
  }

  /** How far a logit may be off; 0: rows do not depend on each other. */
  get bound(): number {
    return safety * this.#largest;
  }

  /** Takes a row that was computed alone and the same one computed beside others. */
  compare(alone: Float32Array, beside: Float32Array): void {
    for (let at = 0; at < alone.length; at++) {
      const difference = Math.abs((alone[at] as number) - (beside[at] as number));
      if (difference > this.#largest && difference < Number.POSITIVE_INFINITY) {
        this.#largest = difference;
      }
    }
  }
}
