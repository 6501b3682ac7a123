/** The small pass between two guesses of a block, which tells the next what the one before it became. */
import type { Graph } from '../ggml/graph.js';
import { GgmlType } from '../ggml/types.js';
import type { DflashLink } from '../models/dflash-model.js';
import { selectTop } from './filters.js';

/** `size` logits: these at these tokens, and no chance for the others. */
export function placed(logits: Float32Array, tokens: Iterable<number>, size: number): Float32Array {
  const all = new Float32Array(size).fill(-Infinity);
  let index = 0;
  for (const token of tokens) all[token] = logits[index++] ?? -Infinity;
  return all;
}

/** A guess, and what came before it. */
export interface LinkedGuess {
  readonly before: number;
  readonly hidden: Float32Array;
  /** Of all tokens, or of the candidates. */
  readonly logits: Float32Array;
  readonly candidates?: readonly number[];
  readonly signal: AbortSignal | undefined;
}

/** One pass of a link. */
export async function linked(
  graph: Graph,
  link: DflashLink,
  { before, hidden, logits, candidates, signal }: LinkedGuess,
): Promise<{ readonly logits: Float32Array; readonly sure: number | undefined }> {
  const column = (name: string, data: Float32Array) =>
    graph.input(name, GgmlType.F32, [data.length, 1], data);
  const made = link.next(graph, {
    token: graph.indices('token before', [before]),
    logits: column('unlinked logits', logits),
    hidden: column('hidden row', hidden),
    candidates: candidates && graph.indices('candidates', candidates),
  });
  graph.output(made.logits);
  if (made.confidence !== undefined) graph.output(made.confidence);
  await graph.compute({ signal });
  return {
    logits: graph.read(made.logits),
    sure: made.confidence && graph.read(made.confidence)[0],
  };
}

/**
 * The `count` tokens of the largest logits, largest first; of equal ones the smaller token.
 * @throws {PacelineError} `bad-weights`, as `selectTop`.
 */
export function largest(logits: Float32Array, count: number): number[] {
  const heap = new Int32Array(count);
  const found = Array.from(heap.subarray(0, selectTop(logits, count, heap)));
  const logit = (token: number): number => logits[token] as number;
  return found.sort((a, b) => (logit(a) === logit(b) ? a - b : logit(b) - logit(a)));
}
