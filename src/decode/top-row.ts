/**
 * A row of logits of which the largest are here and the others stay on the device that computed them,
 * to be read if these do not decide. Which tokens are among them depends on the device where logits are
 * equal, so a choice stands only if it is clear of `most`.
 */
import { PacelineError } from '../base/errors.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { TopTensors } from '../ggml/top-rows.js';
import { logprobsOf } from './sampler.js';

/** A row of logits, whole or as its largest. */
export type Logits = Float32Array | TopRow;

export interface TopRowParts {
  /** Tokens, in any order. */
  readonly tokens: ArrayLike<number>;
  /** The logit of each. */
  readonly logits: ArrayLike<number>;
  /** Whether the row has other logits. */
  readonly more: boolean;
  /** The row's log-softmax at the token `tokens[0]`, if it is known. */
  readonly logprob?: number | undefined;
  /** Reads the whole row: one float a token. */
  readonly whole: () => Float32Array;
}

export class TopRow {
  /** Ascending, so that the first of equal entries is that of the lowest token. */
  readonly tokens: Int32Array;
  /** The logit of each. */
  readonly logits: Float32Array;
  /** No other token's logit is larger than this; -Infinity where there is no other token. */
  readonly most: number;
  /** Reads the whole row: one float a token. */
  readonly whole: () => Float32Array;
  /** Logarithm of the sum of the whole row's exponentials. */
  readonly #normaliser: number | undefined;

  constructor({ tokens, logits, more, logprob, whole }: TopRowParts) {
    const order = Array.from(tokens, (_, at) => at);
    order.sort((a, b) => (tokens[a] as number) - (tokens[b] as number));
    this.tokens = Int32Array.from(order, (at) => tokens[at] as number);
    this.logits = Float32Array.from(order, (at) => logits[at] as number);
    this.most = more ? this.logits.reduce((a, b) => Math.min(a, b)) : Number.NEGATIVE_INFINITY;
    this.whole = whole;
    this.#normaliser = logprob === undefined ? undefined : (logits[0] as number) - logprob;
  }

  /** The row's log-softmax at one of its tokens, as far as the device told what that takes. */
  logprob(token: number): number {
    const at = this.tokens.indexOf(token);
    if (at < 0 || this.#normaliser === undefined) return logprobsOf(this.whole(), token, 0).logprob;
    return (this.logits[at] as number) - this.#normaliser;
  }
}

/** The whole row. */
export function wholeRow(row: Logits): Float32Array {
  return row instanceof TopRow ? row.whole() : row;
}

/** The model's probability of a token. */
export function probabilityOf(row: Logits, token: number): number {
  const { logprob } =
    row instanceof TopRow ? { logprob: row.logprob(token) } : logprobsOf(row, token, 0);
  return Math.exp(logprob);
}

export interface TopOutputs {
  readonly top: TopTensors;
  /** What they were taken of, an output: [entries, rows]. */
  readonly logits: Tensor;
  /** Turns a whole row of entries into one of tokens, and tells an entry's token; default: they are the same. */
  readonly vocabulary?:
    | {
        readonly token: (entry: number) => number;
        readonly spread: (row: Float32Array) => Float32Array;
      }
    | undefined;
}

/**
 * Rows [first, first + count) of a computed graph. A row that is not all finite comes whole, so that
 * whoever chooses from it sees what is wrong. The others can be read as a whole until the graph is
 * computed again, or its workspace begins another.
 */
export function readTopRows(
  graph: Graph,
  { top, logits, vocabulary }: TopOutputs,
  [first, count]: readonly [number, number],
): Logits[] {
  const taken = top.count;
  const width = top.numbers.shape[0];
  const entries = logits.shape[0];
  const places = graph.readIndices(top.places, first * taken, count * taken);
  const numbers = graph.read(top.numbers, first * width, count * width);
  const { runs } = graph;
  return Array.from({ length: count }, (_, row) => {
    const whole = () => {
      if (graph.runs !== runs) throw new PacelineError('internal', 'A row of logits is gone');
      const read = graph.read(logits, (first + row) * entries, entries);
      return vocabulary?.spread(read) ?? read;
    };
    const own = numbers.subarray(row * width, (row + 1) * width);
    if (!Number.isFinite(own[taken])) return whole();
    const chosen = places.subarray(row * taken, (row + 1) * taken);
    const probability = width > taken + 1 ? own[taken + 1] : undefined;
    return new TopRow({
      tokens: vocabulary === undefined ? chosen : chosen.map(vocabulary.token),
      logits: own.subarray(0, taken),
      more: taken < entries,
      // Of an improbable token the probability has few digits, or none.
      logprob: probability !== undefined && probability > 1e-20 ? Math.log(probability) : undefined,
      whole,
    });
  });
}

/** Most logits that are taken of a row: sorting more on a card costs what reading the row does. */
export const mostTop = 512;
/** Fewest: with as few as are needed, each tie would have the row read. */
const leastTop = 8;

/** How many are taken where so many are needed: few sizes, as each has a graph of its own. */
export function topCount(needed: number): number {
  return Math.max(leastTop, 2 ** Math.ceil(Math.log2(needed)));
}
