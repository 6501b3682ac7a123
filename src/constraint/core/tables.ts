/**
 * Growable tables of integers: the storage of expressions and of their derivatives. Plain arrays and
 * maps hold the same facts in five times the memory. Knows nothing of what the integers mean.
 */

/** A list of 32-bit integers that grows. */
export class IntList {
  values = new Int32Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.values.length) {
      const grown = new Int32Array(this.length * 2);
      grown.set(this.values);
      this.values = grown;
    }
    this.values[this.length++] = value;
  }

  at(index: number): number {
    return this.values[index] as number;
  }
}

/** A map from 32-bit integers to integers from 0 up, by open addressing. */
export class IntMap {
  private keys = new Int32Array(4096);
  private values = new Int32Array(4096).fill(-1);
  private mask = 4095;
  size = 0;

  /** -1 where the key is not there. */
  get(key: number): number {
    const { keys, values, mask } = this;
    let slot = hash(key) & mask;
    for (;;) {
      const value = values[slot] as number;
      if (value === -1 || keys[slot] === key) return value;
      slot = (slot + 1) & mask;
    }
  }

  set(key: number, value: number): void {
    if (this.size * 2 > this.mask) this.grow();
    const { keys, values, mask } = this;
    let slot = hash(key) & mask;
    while (values[slot] !== -1 && keys[slot] !== key) slot = (slot + 1) & mask;
    if (values[slot] === -1) this.size++;
    keys[slot] = key;
    values[slot] = value;
  }

  private grow(): void {
    const { keys, values } = this;
    this.mask = this.mask * 2 + 1;
    this.keys = new Int32Array(this.mask + 1);
    this.values = new Int32Array(this.mask + 1).fill(-1);
    this.size = 0;
    for (let slot = 0; slot < values.length; slot++) {
      if (values[slot] !== -1) this.set(keys[slot] as number, values[slot] as number);
    }
  }
}

/** Mixes the bits of an integer. */
export function hash(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  return mixed ^ (mixed >>> 16);
}

/** Lists of integers by content: equal lists have one id. */
export class ListTable {
  private readonly lists: Int32Array[] = [];
  private readonly byHash = new Map<number, number[]>();

  intern(list: Int32Array): number {
    let code = list.length;
    for (const value of list) code = hash(code ^ value) ^ Math.imul(code, 31);
    const bucket = this.byHash.get(code);
    if (bucket) {
      for (const id of bucket) if (equal(this.lists[id] as Int32Array, list)) return id;
    }
    const id = this.lists.push(list) - 1;
    if (bucket) bucket.push(id);
    else this.byHash.set(code, [id]);
    return id;
  }

  get(id: number): Int32Array {
    return this.lists[id] as Int32Array;
  }
}

function equal(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}
