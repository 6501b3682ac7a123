/**
 * The names under which quantised models are known, such as Q4_K_M, with the number that GGUF's
 * `general.file_type` gives to each and the type that most of its matrices get. Which tensors get
 * another type is in `tensor-types.ts`. Numbers and default types are those of llama.cpp.
 */
import { PacelineError } from '../base/errors.js';
import { GgmlType, type GgmlTypeName } from '../ggml/types.js';

/** [file type, type of most matrices] by name. DS4 is not one of llama.cpp's: it bears Q8_0's number. */
const table = {
  F32: [0, 'F32'],
  F16: [1, 'F16'],
  BF16: [32, 'BF16'],
  Q8_0: [7, 'Q8_0'],
  Q6_K: [18, 'Q6_K'],
  Q5_K_M: [17, 'Q5_K'],
  Q5_K_S: [16, 'Q5_K'],
  Q5_1: [9, 'Q5_1'],
  Q5_0: [8, 'Q5_0'],
  Q4_K_M: [15, 'Q4_K'],
  Q4_K_S: [14, 'Q4_K'],
  Q4_1: [3, 'Q4_1'],
  Q4_0: [2, 'Q4_0'],
  IQ4_NL: [25, 'IQ4_NL'],
  IQ4_XS: [30, 'IQ4_XS'],
  MXFP4_MOE: [38, 'MXFP4'],
  Q3_K_L: [13, 'Q3_K'],
  Q3_K_M: [12, 'Q3_K'],
  Q3_K_S: [11, 'Q3_K'],
  IQ3_M: [27, 'IQ3_S'],
  IQ3_S: [26, 'IQ3_S'],
  IQ3_XS: [22, 'IQ3_S'],
  IQ3_XXS: [23, 'IQ3_XXS'],
  Q2_K: [10, 'Q2_K'],
  Q2_K_S: [21, 'Q2_K'],
  Q2_0: [41, 'Q2_0'],
  IQ2_M: [29, 'IQ2_S'],
  IQ2_S: [28, 'IQ2_XS'],
  IQ2_XS: [20, 'IQ2_XS'],
  IQ2_XXS: [19, 'IQ2_XXS'],
  TQ2_0: [37, 'TQ2_0'],
  TQ1_0: [36, 'TQ1_0'],
  IQ1_M: [31, 'IQ1_M'],
  IQ1_S: [24, 'IQ1_S'],
  Q1_0: [40, 'Q1_0'],
  DS4: [7, 'Q8_0'],
} as const satisfies Readonly<Record<string, readonly [number, GgmlTypeName]>>;

export type MixName = keyof typeof table;

/** All names, from the most bits a weight to the fewest. */
export const mixNames = Object.keys(table) as readonly MixName[];

const aliases: Readonly<Record<string, MixName>> = {
  Q3_K: 'Q3_K_M',
  Q4_K: 'Q4_K_M',
  Q5_K: 'Q5_K_M',
};

export interface Mix {
  readonly name: MixName;
  /** `general.file_type`. */
  readonly fileType: number;
  /** The type of matrices that have no rule of their own. */
  readonly type: GgmlType;
}

/**
 * The mix of that name, in any case; `Q4_K` means Q4_K_M, as everywhere.
 * @throws {PacelineError} `usage`, with the names that there are.
 */
export function mixByName(name: string): Mix {
  const upper = name.toUpperCase();
  const found = aliases[upper] ?? mixNames.find((candidate) => candidate === upper);
  if (found === undefined) {
    throw new PacelineError('usage', `There is no quantisation "${name}"`, {
      hint: `Take one of ${mixNames.join(', ')}.`,
      details: { name },
    });
  }
  const [fileType, type] = table[found];
  return { name: found, fileType, type: GgmlType[type] };
}
