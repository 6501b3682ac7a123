/**
 * Which of a text's checkpoints is given up when there are too many: those that are kept lie the
 * farther apart the farther they are back, and the last one stays.
 */

/**
 * The place of the checkpoint without which the gap that opens is smallest for how far it is back.
 * @param lengths of at least two checkpoints, in order.
 */
export function leastUseful(lengths: readonly number[]): number {
  const end = lengths.at(-1) as number;
  const gaps = lengths.slice(0, -1).map((_, at) => {
    const before = lengths[at - 1] ?? 0;
    return ((lengths[at + 1] as number) - before) / (end - before);
  });
  return gaps.indexOf(Math.min(...gaps));
}
