/**
 * Random permutations as PyTorch's CPU generator draws them (a Mersenne Twister of 32 bits), so that
 * the control that keeps random experts keeps those of EMO's own scripts.
 */

const size = 624;
const middle = 397;

/** MT19937 (Matsumoto and Nishimura 1998). */
class MersenneTwister {
  readonly #state = new Uint32Array(size);
  #next = size;

  /** @param seed 0 to 2^32 - 1. */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed;
    for (let at = 1; at < size; at++) {
      const before = state[at - 1] as number;
      state[at] = Math.imul(1_812_433_253, before ^ (before >>> 30)) + at;
    }
  }

  /** A whole number of 32 bits. */
  next(): number {
    if (this.#next === size) this.#turn();
    let y = this.#state[this.#next++] as number;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #turn(): void {
    const state = this.#state;
    for (let at = 0; at < size; at++) {
      const y =
        ((state[at] as number) & 0x8000_0000) | ((state[(at + 1) % size] as number) & 0x7fff_ffff);
      const mixed = (state[(at + middle) % size] as number) ^ (y >>> 1);
      state[at] = y & 1 ? mixed ^ 0x9908b0df : mixed;
    }
    this.#next = 0;
  }
}

/** Draws permutations one after the other. @param seed 0 to 2^32 - 1. */
export function permutations(seed: number): (count: number) => number[] {
  const twister = new MersenneTwister(seed);
  return (count) => {
    const order = Array.from({ length: count }, (_, at) => at);
    for (let at = 0; at < count - 1; at++) {
      const other = at + (twister.next() % (count - at));
      [order[at], order[other]] = [order[other] as number, order[at] as number];
    }
    return order;
  };
}
