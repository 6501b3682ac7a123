/**
 * The tokens of a vocabulary by their bytes, as one array in depth-first order: whoever walks it
 * with a state skips a subtree as soon as its first byte is not allowed. Knows nothing of languages.
 */

/** Byte strings back to back: token t is bytes[starts[t]] to bytes[starts[t + 1]]. */
export interface TokenTexts {
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
}

export interface TokenTrie {
  readonly size: number;
  /** Per node in depth-first order: its byte, its depth from 1, and the node after its subtree. */
  readonly byte: Uint8Array;
  readonly depth: Uint16Array;
  readonly skip: Int32Array;
  /** The first token that ends here, or -1. */
  readonly token: Int32Array;
  readonly deepest: number;
}

/** Tokens in the order of their bytes; of equal ones, the lowest id first. */
export function sortTokens(ids: Int32Array, { bytes, starts }: TokenTexts): Int32Array {
  const start = (id: number) => starts[id] as number;
  const end = (id: number) => starts[id + 1] as number;
  // Four bytes and the position in one double: sorting numbers is much faster than comparing bytes.
  const keys = new Float64Array(ids.length);
  for (let at = 0; at < ids.length; at++) {
    const id = ids[at] as number;
    let prefix = 0;
    for (let index = 0; index < 4; index++) {
      const from = start(id) + index;
      prefix = prefix * 256 + (from < end(id) ? (bytes[from] as number) : 0);
    }
    keys[at] = prefix * 0x100000 + at;
  }
  keys.sort();
  const sorted = new Int32Array(ids.length);
  for (let at = 0; at < ids.length; at++)
    sorted[at] = ids[(keys[at] as number) % 0x100000] as number;
  const compare = (a: number, b: number) => {
    const length = Math.min(end(a) - start(a), end(b) - start(b));
    for (let index = 0; index < length; index++) {
      const difference = (bytes[start(a) + index] as number) - (bytes[start(b) + index] as number);
      if (difference !== 0) return difference;
    }
    return end(a) - start(a) - (end(b) - start(b)) || a - b;
  };
  let from = 0;
  for (let at = 1; at <= sorted.length; at++) {
    const same =
      at < sorted.length &&
      Math.floor((keys[at] as number) / 0x100000) === Math.floor((keys[from] as number) / 0x100000);
    if (same) continue;
    if (at - from > 1) sorted.subarray(from, at).sort(compare);
    from = at;
  }
  return sorted;
}

/** Builds a trie of sorted tokens. `twins` gets, for each token, the next one of the same bytes. */
export function buildTrie(
  sorted: Int32Array,
  { bytes, starts }: TokenTexts,
  twins?: Int32Array,
): TokenTrie {
  let capacity = Math.max(16, sorted.length * 2);
  let byte = new Uint8Array(capacity);
  let depth = new Uint16Array(capacity);
  let skip = new Int32Array(capacity);
  let token = new Int32Array(capacity);
  const open: number[] = [];
  let size = 0;
  let deepest = 0;
  let previous = -1;
  for (const id of sorted) {
    const from = starts[id] as number;
    const length = (starts[id + 1] as number) - from;
    if (length === 0) continue;
    let shared = 0;
    while (
      shared < open.length &&
      shared < length &&
      byte[open[shared] as number] === bytes[from + shared]
    ) {
      shared++;
    }
    if (shared === length && open.length === length) {
      if (twins && previous >= 0) twins[previous] = id;
      previous = id;
      continue;
    }
    while (open.length > shared) skip[open.pop() as number] = size;
    for (let at = shared; at < length; at++) {
      if (size === capacity) {
        capacity *= 2;
        byte = grown(byte, new Uint8Array(capacity));
        depth = grown(depth, new Uint16Array(capacity));
        skip = grown(skip, new Int32Array(capacity));
        token = grown(token, new Int32Array(capacity));
      }
      byte[size] = bytes[from + at] as number;
      depth[size] = at + 1;
      token[size] = -1;
      open.push(size++);
    }
    token[open[open.length - 1] as number] = id;
    deepest = Math.max(deepest, length);
    previous = id;
  }
  while (open.length > 0) skip[open.pop() as number] = size;
  return { size, deepest, byte, depth, skip, token };
}

function grown<Table extends { set(values: Table): void }>(old: Table, larger: Table): Table {
  larger.set(old);
  return larger;
}
