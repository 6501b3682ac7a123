/**
 * The head of models that rank: a row of the last layer to a number for each class. Only files that
 * say that they rank (`pooling_type`) have one; in others its tensors have no use.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import { declareLinear, type Linear, linear } from './layers.js';
import type { Metadata } from './metadata.js';
import type { WeightLoader } from './weights.js';

export interface Classifier {
  /** Followed by a tanh. */
  readonly dense: Linear | undefined;
  readonly output: Linear | undefined;
  /** Whether the numbers are the classes' probabilities. */
  readonly softmax: boolean;
}

/** `pooling_type` of models that rank. */
const rank = 4;

/** The head of a file, if it has one; `softmax`: see `Classifier`. */
export function declareClassifier(
  m: Metadata,
  w: WeightLoader,
  embedding: number,
  softmax: boolean,
): Classifier | undefined {
  const names = ['cls', 'cls.output'] as const;
  if (m.count('pooling_type', 0, 0) !== rank) {
    w.skip(...names.flatMap((name) => [`${name}.weight`, `${name}.bias`]));
    return undefined;
  }
  const [dense, output] = names.map((name) => {
    const rows = w.find(`${name}.weight`)?.shape[1] ?? 1;
    return w.find(`${name}.weight`) && declareLinear(w, name, embedding, rows);
  });
  return dense || output ? { dense, output, softmax } : undefined;
}

/** x [embedding, rows] to [classes, rows]. */
export function classify(graph: Graph, c: Classifier, x: Tensor): Tensor {
  const inner = c.dense ? graph.tanh(linear(graph, c.dense, x)) : x;
  const classes = c.output ? linear(graph, c.output, inner) : inner;
  return c.softmax ? graph.softmax(classes) : classes;
}
