/**
 * How much memory a layer takes that folds what it has seen into a state that does not grow. A state
 * is the folded part, as it was after some position, and a log of the inputs that came after it, so
 * that rows of wrong guesses are undone by cutting the log (see
 * `native/include/paceline_recurrent.h`, whose layout this is).
 */

/** What one layer keeps of a sequence, in F32 elements. */
export interface RecurrentShape {
  /** Of the folded part. */
  readonly folded: number;
  /** Of one row's inputs. */
  readonly inputs: number;
  /** Rows before a row that a convolution looks back on. */
  readonly tail: number;
}

/** Most rows that a log holds, and so most rows of a pass that can be undone one by one. */
export const loggedRows = 16;

/** States of a layer: a pass reads one and writes the other. */
const states = 2;

/** Elements of one state. */
export function stateElements({ folded, inputs, tail }: RecurrentShape): number {
  return folded + (tail + loggedRows) * inputs;
}

/** Bytes that these layers take in one sequence, checkpoints apart. */
export function recurrentBytes(layers: readonly RecurrentShape[]): number {
  return layers.reduce((sum, layer) => sum + states * 4 * stateElements(layer), 0);
}

/** Sizes of a gated delta net: a matrix for each value head, behind a convolution. */
export interface DeltaNetSizes {
  readonly keyHeads: number;
  readonly valueHeads: number;
  /** Elements of a head. */
  readonly headLength: number;
  /** Rows that the convolution covers. */
  readonly kernel: number;
}

/** What a gated delta net keeps. */
export function deltaNetShape(sizes: DeltaNetSizes): RecurrentShape {
  const { valueHeads, headLength, kernel } = sizes;
  const columns = Math.ceil(headLength / 16) * 16;
  return {
    folded: columns * headLength * valueHeads,
    inputs: deltaNetChannels(sizes) + 2 * valueHeads,
    tail: kernel - 1,
  };
}

/** Channels of its convolution: queries, keys and values. */
export function deltaNetChannels({ keyHeads, valueHeads, headLength }: DeltaNetSizes): number {
  return headLength * (2 * keyHeads + valueHeads);
}

/** What a short convolution keeps: its inputs alone. */
export function shortConvolutionShape(sizes: {
  /** Rows that it covers. */
  readonly kernel: number;
  readonly channels: number;
}): RecurrentShape {
  return { folded: 0, inputs: sizes.channels, tail: sizes.kernel - 1 };
}

/** Blocks of so many positions overlap: the one before takes part in each. */
export const overlappingRatio = 4;

/**
 * What the makers of rows of blocks keep: for every position the values and gates of each maker, of which
 * those of overlapping blocks have twice as many channels as a row.
 */
export function compressorShape(sizes: {
  /** Positions of a block. */
  readonly ratio: number;
  /** Elements of each maker's rows. */
  readonly widths: readonly number[];
}): RecurrentShape {
  const { ratio, widths } = sizes;
  const span = ratio === overlappingRatio ? 2 : 1;
  const inputs = widths.reduce((sum, width) => sum + 2 * span * width, 0);
  return { folded: 0, inputs, tail: span * ratio - 1 };
}
