/**
 * Which tokens may be chosen: top-k, top-p and min-p over one row of logits, without a full sort.
 *
 * Guarantees sets that depend on the logits alone: at equal logits the lower id is kept first, and
 * sums run in a fixed order with the portable exponential. Works in buffers that it owns and
 * reuses: a result is valid until the next call, which is safe because nothing here is
 * asynchronous. Knows nothing of noise, penalties or positions.
 */
import { PacelineError } from '../base/errors.js';
import { portableExp, portableLog } from '../base/portable-math.js';

/** The tokens that survived: entries 0..count-1. */
export interface Candidates {
  readonly ids: Int32Array;
  /** (logit - largest logit) / temperature of each: 0 or less. */
  readonly scaled: Float64Array;
  count: number;
}

export interface FilterSettings {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

/** A token this far below the best (e^-40) has no weight in the sum that top-p looks at. */
const negligible = -40;
const bucketsPerUnit = 8;
const bucketSums = new Float64Array(-negligible * bucketsPerUnit + 1);

let ids = new Int32Array(0);
let scaled = new Float64Array(0);
let weights = new Float64Array(0);

function reserve(size: number): void {
  if (ids.length >= size) return;
  ids = new Int32Array(size);
  scaled = new Float64Array(size);
  weights = new Float64Array(size);
}

/** True if token a with logit x is likelier than token b with logit y: the lower id at ties. */
function before(x: number, a: number, y: number, b: number): boolean {
  return x > y || (x === y && a < b);
}

/** Moves the heap's entry `at` down until its children are likelier than it. */
function siftDown(logits: Float32Array, heap: Int32Array, size: number, at: number): void {
  const id = heap[at] as number;
  const value = logits[id] as number;
  let hole = at;
  for (;;) {
    let child = 2 * hole + 1;
    if (child >= size) break;
    let childId = heap[child] as number;
    if (child + 1 < size) {
      const other = heap[child + 1] as number;
      if (before(logits[childId] as number, childId, logits[other] as number, other)) {
        child += 1;
        childId = other;
      }
    }
    if (!before(value, id, logits[childId] as number, childId)) break;
    heap[hole] = childId;
    hole = child;
  }
  heap[hole] = id;
}

/**
 * Writes the ids of the k largest logits into `heap`, in no stated order (a heap whose root is the
 * least likely of them); lower ids win at ties. One comparison for most tokens.
 * @returns how many were written: k, or all when there are fewer.
 * @throws {PacelineError} `bad-weights` at NaN and +Infinity.
 */
export function selectTop(logits: Float32Array, k: number, heap: Int32Array): number {
  const length = logits.length;
  const size = Math.min(k, length);
  for (let i = 0; i < size; i++) {
    if (!((logits[i] as number) < Infinity)) throw badLogit(i, logits[i] as number);
    heap[i] = i;
  }
  for (let at = (size >> 1) - 1; at >= 0; at--) siftDown(logits, heap, size, at);
  if (size === 0) return 0;
  let least = logits[heap[0] as number] as number;
  for (let id = size; id < length; ) {
    if (id + 8 <= length && noneAbove(logits, id, least)) {
      id += 8;
      continue;
    }
    const end = Math.min(length, id + 8);
    for (; id < end; id++) {
      const value = logits[id] as number;
      // Ids ascend, so a later token with the same logit never displaces an earlier one.
      if (value <= least) continue;
      if (!(value < Infinity)) throw badLogit(id, value);
      heap[0] = id;
      siftDown(logits, heap, size, 0);
      least = logits[heap[0] as number] as number;
    }
  }
  return size;
}

/** True if the eight logits from `at` are all at most `bound`; false also if one is NaN. */
function noneAbove(logits: Float32Array, at: number, bound: number): boolean {
  return (
    (logits[at] as number) <= bound &&
    (logits[at + 1] as number) <= bound &&
    (logits[at + 2] as number) <= bound &&
    (logits[at + 3] as number) <= bound &&
    (logits[at + 4] as number) <= bound &&
    (logits[at + 5] as number) <= bound &&
    (logits[at + 6] as number) <= bound &&
    (logits[at + 7] as number) <= bound
  );
}

/**
 * Id of the largest logit, the lowest at ties.
 * @throws {PacelineError} `bad-weights` at NaN, +Infinity, or when every logit is -Infinity.
 */
export function argmax(logits: Float32Array): number {
  const length = logits.length;
  let largest = Number.NEGATIVE_INFINITY;
  let token = -1;
  for (let id = 0; id < length; ) {
    if (id + 8 <= length && noneAbove(logits, id, largest)) {
      id += 8;
      continue;
    }
    const end = Math.min(length, id + 8);
    for (; id < end; id++) {
      const value = logits[id] as number;
      if (value <= largest) continue;
      if (!(value < Number.POSITIVE_INFINITY)) throw badLogit(id, value);
      largest = value;
      token = id;
    }
  }
  if (token < 0) throw badLogit(0, Number.NEGATIVE_INFINITY);
  return token;
}

function badLogit(token: number, value: number): PacelineError {
  const what =
    value === Number.NEGATIVE_INFINITY
      ? 'No token can be chosen: every logit is -Infinity'
      : `The logit of token ${token} is ${value}`;
  return new PacelineError('bad-weights', what, {
    hint: 'The weights of the model may be broken; check the file against its source.',
    details: { token, value: String(value) },
  });
}

/** Drops what is outside the smallest most likely set whose share of the weight reaches topP. */
function keepNucleus(kept: Candidates, topP: number): void {
  const { ids, scaled } = kept;
  bucketSums.fill(0);
  for (let i = 0; i < kept.count; i++) {
    const s = scaled[i] as number;
    if (s < negligible) continue;
    const weight = portableExp(s);
    weights[i] = weight;
    const bucket = Math.floor(-s * bucketsPerUnit);
    bucketSums[bucket] = (bucketSums[bucket] as number) + weight;
  }
  let total = 0;
  for (const sum of bucketSums) total += sum;
  const wanted = topP * total;
  let reached = 0;
  let crossing = 0;
  for (; crossing < bucketSums.length - 1; crossing++) {
    const sum = bucketSums[crossing] as number;
    if (sum > 0 && reached + sum >= wanted) break;
    reached += sum;
  }
  // Only the bucket in which the share is reached has to be sorted.
  const members: number[] = [];
  for (let i = 0; i < kept.count; i++) {
    const s = scaled[i] as number;
    if (s >= negligible && Math.floor(-s * bucketsPerUnit) === crossing) members.push(i);
  }
  members.sort((a, b) => {
    const difference = (scaled[b] as number) - (scaled[a] as number);
    return difference !== 0 ? difference : (ids[a] as number) - (ids[b] as number);
  });
  let lastScaled = Number.NEGATIVE_INFINITY;
  let lastId = -1;
  for (const i of members) {
    reached += weights[i] as number;
    lastScaled = scaled[i] as number;
    lastId = ids[i] as number;
    if (reached >= wanted) break;
  }
  let count = 0;
  for (let i = 0; i < kept.count; i++) {
    const s = scaled[i] as number;
    const id = ids[i] as number;
    if (!before(lastScaled, lastId, s, id)) {
      ids[count] = id;
      scaled[count] = s;
      count += 1;
    }
  }
  kept.count = count;
}

/** Keeps the entries that are at least `least`. */
function keepScaled(kept: Candidates, least: number): void {
  const { ids, scaled } = kept;
  let count = 0;
  for (let i = 0; i < kept.count; i++) {
    const s = scaled[i] as number;
    if (s < least) continue;
    ids[count] = ids[i] as number;
    scaled[count] = s;
    count += 1;
  }
  kept.count = count;
}

/**
 * The tokens that top-k, then top-p, then min-p leave, all taken after the temperature. The most
 * likely token always stays.
 * @param logits one row.
 * @param settings temperature above 0; the others as in SamplingSettings.
 * @throws {PacelineError} `bad-weights` at NaN, +Infinity, or when every logit is -Infinity.
 */
export function filterCandidates(logits: Float32Array, settings: FilterSettings): Candidates {
  const { temperature, topK, topP, minP } = settings;
  const length = logits.length;
  reserve(length);
  const kept: Candidates = { ids, scaled, count: 0 };
  const leastScaled = minP > 0 ? portableLog(minP) : -Number.MAX_VALUE;
  if (topK > 0 && topK < length) {
    kept.count = selectTop(logits, topK, ids);
    // In one order, whatever other logits the row has: sums of floats depend on it.
    ids.subarray(0, kept.count).sort();
    let largest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < kept.count; i++) {
      largest = Math.max(largest, logits[ids[i] as number] as number);
    }
    if (largest === Number.NEGATIVE_INFINITY) throw badLogit(0, largest);
    for (let i = 0; i < kept.count; i++) {
      scaled[i] = ((logits[ids[i] as number] as number) - largest) / temperature;
    }
  } else {
    const largest = logits[argmax(logits)] as number;
    // Tokens that neither enter the sum of top-p nor pass min-p need not be listed.
    const cut = topP < 1 ? negligible : leastScaled;
    let count = 0;
    for (let id = 0; id < length; id++) {
      const s = ((logits[id] as number) - largest) / temperature;
      if (s >= cut) {
        ids[count] = id;
        scaled[count] = s;
        count += 1;
      }
    }
    kept.count = count;
  }
  if (topP < 1) keepNucleus(kept, topP);
  if (minP > 0) keepScaled(kept, leastScaled);
  return kept;
}
