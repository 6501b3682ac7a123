/**
 * How the guesses of a block come to depend on each other. DSpark (arXiv 2607.05147) adds to a guess's logits
 * those of a matrix of low rank for the token before it, and may have a head that says how likely the guess
 * is right. DFlash2 rates the likeliest tokens of a guess by a product of two tables' rows, one of the
 * token before it and one of their own, weighed by the guess's hidden row.
 *
 * The token before is the one that was guessed, where llama.cpp takes the likeliest: they differ only when a
 * temperature, a penalty or a constraint has chosen another, and then only this one can come before.
 */
import { PacelineError } from '../base/errors.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { DflashLink } from './dflash-model.js';
import { declareLinear, linear } from './layers.js';
import type { Metadata } from './metadata.js';
import type { WeightLoader } from './weights.js';

export interface LinkSizes {
  readonly embedding: number;
  /** Logits of a guess, which may be fewer than the target has tokens. */
  readonly vocabulary: number;
  readonly targetVocabulary: number;
}

/** What tells a DSpark model and a DFlash2 model. */
const markovTable = 'markov_w1.weight';
export const selectorMatrix = 'selector_hidden.weight';

/**
 * The link of a file; undefined where guesses know nothing of each other.
 * @param finish what happens to logits when all is added up.
 * @throws {PacelineError} `broken-file`, `missing-tensor`, `wrong-shape`; `unsupported-architecture` for
 *   a file with two links.
 */
export function declareLink(
  m: Metadata,
  w: WeightLoader,
  sizes: LinkSizes,
  finish: (graph: Graph, z: Tensor) => Tensor,
): DflashLink | undefined {
  const [markov, selector] = [w.find(markovTable), w.find(selectorMatrix)];
  if (markov !== undefined && selector !== undefined) {
    throw new PacelineError(
      'unsupported-architecture',
      `DFlash models with both ${markovTable} and ${selectorMatrix} are not supported`,
      { hint: 'Take a DSpark model, or a DFlash2 model.' },
    );
  }
  if (markov !== undefined) return declareMarkov(w, markov.shape[0] ?? 1, sizes, finish);
  return selector === undefined ? undefined : declareSelector(m, w, sizes);
}

/** z + W2 W1[token before]; confidence sigmoid(w [hidden; W1[token before]] + b). */
function declareMarkov(
  w: WeightLoader,
  rank: number,
  { embedding, vocabulary, targetVocabulary }: LinkSizes,
  finish: (graph: Graph, z: Tensor) => Tensor,
): DflashLink {
  const before = w.table(markovTable, [rank, targetVocabulary], false);
  const bias = declareLinear(w, 'markov_w2', rank, vocabulary);
  const sure = w.find('conf_proj.weight') && declareLinear(w, 'conf_proj', embedding + rank, 1);
  return {
    kind: 'dspark',
    candidates: undefined,
    next(graph, { token, logits, hidden }) {
      const row = graph.rows(before, token); // [rank, 1]
      const sum = graph.add(logits, linear(graph, bias, row));
      const rated = sure && linear(graph, sure, graph.concat(hidden, row, 0)); // [1, 1]
      return { logits: finish(graph, sum), confidence: rated && graph.sigmoid(rated) };
    },
  };
}

/** z_b + (A[token before] * H hidden) . B[b] for each candidate b. */
function declareSelector(
  m: Metadata,
  w: WeightLoader,
  { embedding, vocabulary, targetVocabulary }: LinkSizes,
): DflashLink {
  const rank = m.count('selector_rank');
  const candidates = m.count('selector_top_k');
  if (candidates > vocabulary) {
    throw m.bad('selector_top_k', `is ${candidates}, where there are ${vocabulary} tokens`);
  }
  const before = w.table('selector_predecessor.weight', [rank, targetVocabulary], false);
  const after = w.table('selector_successor.weight', [rank, targetVocabulary], false);
  const gate = declareLinear(w, 'selector_hidden', embedding, rank);
  return {
    kind: 'dflash2',
    candidates,
    next(graph, { token, logits, hidden, candidates: ids }) {
      if (ids === undefined) throw new PacelineError('internal', 'Nothing to choose from');
      const weighed = graph.mul(graph.rows(before, token), linear(graph, gate, hidden)); // [rank, 1]
      const scores = graph.mulMat(graph.rows(after, ids), weighed); // [candidates, 1]
      return { logits: graph.add(logits, scores), confidence: undefined };
    },
  };
}
