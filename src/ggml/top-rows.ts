/**
 * The largest elements of rows, chosen where the rows are computed: of a row of a hundred thousand logits
 * some dozens come down from a card.
 */
import type { Graph } from './graph.js';
import type { Tensor } from './tensor.js';

export interface TopTensors {
  /** Elements that are taken of each row. */
  readonly count: number;
  /** Their places, in no stated order: I32 [count, rows], an output. */
  readonly places: Tensor;
  /**
   * F32 [count + 1, rows], or [2 * count + 1, rows] with probabilities, an output: the elements, the
   * sum of the whole row, and the elements' part of its softmax. The sum is no finite number if one of
   * the row is none, which choosing would not show.
   */
  readonly numbers: Tensor;
}

/**
 * The `count` largest elements of each row of x [n, rows].
 * @param options.probabilities whether to tell the softmax too; default: no.
 */
export function takeTop(
  graph: Graph,
  x: Tensor,
  count: number,
  options: { readonly probabilities?: boolean } = {},
): TopTensors {
  const [n, rows] = x.shape;
  const places = graph.largest(x, count);
  const at = (of: Tensor) => {
    const taken = graph.getRows(graph.reshape(of, [1, n, rows]), places); // [1, count, rows]
    return graph.reshape(taken, [count, rows]);
  };
  const told = graph.concat(at(x), graph.sumRows(x), 0);
  const numbers = options.probabilities ? graph.concat(told, at(graph.softmax(x)), 0) : told;
  return { count, places: graph.output(places), numbers: graph.output(numbers) };
}
