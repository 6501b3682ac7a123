/**
 * How the memory for experts is shared out. A slot holds a whole expert; layers whose experts take the same
 * number of bytes share slots. Every layer is passed as often, so slots go to sizes by the bytes of their
 * experts, but each size gets enough for what one token needs of one layer.
 */
import { PacelineError } from '../../base/errors.js';

/** The experts of one layer. */
export interface ExpertsOfLayer {
  readonly experts: number;
  /** Bytes of one in memory, with all its matrices. */
  readonly bytes: number;
}

/** Bytes of all experts. */
export function bytesOfExperts(layers: readonly ExpertsOfLayer[]): number {
  return layers.reduce((sum, { experts, bytes }) => sum + experts * bytes, 0);
}

/** Bytes of so many slots of each size. */
export function bytesOfSlots(slots: Iterable<readonly [bytes: number, count: number]>): number {
  return [...slots].reduce((sum, [bytes, count]) => sum + bytes * count, 0);
}

/** The least memory with which a model computes: for each size, what one token needs of one layer. */
export function leastExpertMemory(layers: readonly ExpertsOfLayer[], used: number): number {
  const sizes = new Map(layers.map(({ bytes, experts }) => [bytes, Math.min(used, experts)]));
  return bytesOfSlots(sizes);
}

/**
 * Slots by their size, which together take at most `memory` bytes.
 * @param used experts that a token goes through in one layer.
 * @throws {PacelineError} `memory` when that is too little for one token and one layer.
 */
export function shareSlots(
  layers: readonly ExpertsOfLayer[],
  memory: number,
  used: number,
): ReadonlyMap<number, number> {
  const least = leastExpertMemory(layers, used);
  const whole = bytesOfExperts(layers);
  if (memory < least) {
    const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    throw new PacelineError(
      'memory',
      `A token needs ${used} experts of a layer at once, which take ${mebibytes(least)}; ` +
        `${mebibytes(memory)} are to hold experts (all of them: ${mebibytes(whole)})`,
      {
        hint: `Use an expertMemory of at least ${Math.ceil(least / 2 ** 20)} MiB.`,
        details: { least, memory, whole, used },
      },
    );
  }
  const counts = new Map<number, number>();
  for (const { bytes, experts } of layers) counts.set(bytes, (counts.get(bytes) ?? 0) + experts);
  // What is left beside the least goes to sizes by the bytes that they lack.
  const floor = (count: number) => Math.min(used, count);
  const lacking = [...counts].reduce((sum, [bytes, n]) => sum + (n - floor(n)) * bytes, 0);
  const share = lacking === 0 ? 0 : Math.min(1, (memory - least) / lacking);
  return new Map(
    [...counts].map(([bytes, n]) => [bytes, floor(n) + Math.floor((n - floor(n)) * share)]),
  );
}
