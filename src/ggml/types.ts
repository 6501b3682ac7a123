/**
 * The tensor types of ggml 0.25.1: ids as they stand in files, names, and how many bytes a block of
 * elements takes. Pure arithmetic; knows neither the library nor any file. Ids that ggml has
 * removed (4, 5, 31 to 33, 36 to 38) are not types here, so a file that uses one is refused.
 */

/** Ids of the tensor types, as ggml and GGUF number them. */
export const GgmlType = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q8_1: 9,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  Q8_K: 15,
  IQ2_XXS: 16,
  IQ2_XS: 17,
  IQ3_XXS: 18,
  IQ1_S: 19,
  IQ4_NL: 20,
  IQ3_S: 21,
  IQ2_S: 22,
  IQ4_XS: 23,
  I8: 24,
  I16: 25,
  I32: 26,
  I64: 27,
  F64: 28,
  IQ1_M: 29,
  BF16: 30,
  TQ1_0: 34,
  TQ2_0: 35,
  MXFP4: 39,
  NVFP4: 40,
  Q1_0: 41,
  Q2_0: 42,
} as const;

export type GgmlTypeName = keyof typeof GgmlType;
export type GgmlType = (typeof GgmlType)[GgmlTypeName];

export interface GgmlTypeTraits {
  /** Upper-case name as in model cards: `Q4_K`. */
  readonly name: GgmlTypeName;
  /** Elements in a block; a row holds a whole number of blocks. */
  readonly blockSize: number;
  /** Bytes of a block. */
  readonly blockBytes: number;
}

/** Elements and bytes of a block of each type. */
const blocks: Readonly<Record<GgmlTypeName, readonly [elements: number, bytes: number]>> = {
  F32: [1, 4],
  F16: [1, 2],
  Q4_0: [32, 18],
  Q4_1: [32, 20],
  Q5_0: [32, 22],
  Q5_1: [32, 24],
  Q8_0: [32, 34],
  Q8_1: [32, 36],
  Q2_K: [256, 84],
  Q3_K: [256, 110],
  Q4_K: [256, 144],
  Q5_K: [256, 176],
  Q6_K: [256, 210],
  Q8_K: [256, 292],
  IQ2_XXS: [256, 66],
  IQ2_XS: [256, 74],
  IQ3_XXS: [256, 98],
  IQ1_S: [256, 50],
  IQ4_NL: [32, 18],
  IQ3_S: [256, 110],
  IQ2_S: [256, 82],
  IQ4_XS: [256, 136],
  I8: [1, 1],
  I16: [1, 2],
  I32: [1, 4],
  I64: [1, 8],
  F64: [1, 8],
  IQ1_M: [256, 56],
  BF16: [1, 2],
  TQ1_0: [256, 54],
  TQ2_0: [256, 66],
  MXFP4: [32, 17],
  NVFP4: [64, 36],
  Q1_0: [128, 18],
  Q2_0: [64, 18],
};

const traits = new Map<number, GgmlTypeTraits>(
  (Object.keys(blocks) as GgmlTypeName[]).map((name) => {
    const [blockSize, blockBytes] = blocks[name];
    return [GgmlType[name], { name, blockSize, blockBytes }];
  }),
);

/** True when `id` is a type that this version of ggml has. */
export function isGgmlType(id: number): id is GgmlType {
  return traits.has(id);
}

/** Name and block layout of a type. */
export function typeTraits(type: GgmlType): GgmlTypeTraits {
  const found = traits.get(type);
  if (found === undefined) throw new RangeError(`Not a ggml type: ${type}`);
  return found;
}

/** Name of a type, such as `Q4_0`. */
export function typeName(type: GgmlType): GgmlTypeName {
  return typeTraits(type).name;
}

/** The type of that name (in any case, so that `q4_k` is found), or undefined. */
function typeByName(name: string): GgmlType | undefined {
  const upper = name.toUpperCase();
  return Object.hasOwn(GgmlType, upper) ? GgmlType[upper as GgmlTypeName] : undefined;
}

/** True for types that share a scale among the elements of a block. */
export function isQuantized(type: GgmlType): boolean {
  return typeTraits(type).blockSize > 1;
}

/**
 * False for what ggml only makes of activations on the way: it has no operation with weights of such a
 * type, and ends the process when asked for one.
 */
export function isStored(type: GgmlType): boolean {
  return type !== GgmlType.Q8_1 && type !== GgmlType.Q8_K;
}

/**
 * Bytes of a row of `ne0` elements.
 * @throws {RangeError} when `ne0` is not a whole number of blocks.
 */
export function rowBytes(type: GgmlType, ne0: number): number {
  const { name, blockSize, blockBytes } = typeTraits(type);
  if (!Number.isSafeInteger(ne0) || ne0 < 0 || ne0 % blockSize !== 0) {
    throw new RangeError(`A ${name} row must hold a multiple of ${blockSize} elements, not ${ne0}`);
  }
  return (ne0 / blockSize) * blockBytes;
}

/**
 * Bytes of a contiguous tensor of shape `shape` (ggml order: `ne0` first).
 * @throws {RangeError} when a row is not a whole number of blocks or the size is past 2^53.
 */
export function tensorBytes(type: GgmlType, shape: readonly number[]): number {
  let bytes = rowBytes(type, shape[0] ?? 1);
  for (let axis = 1; axis < shape.length; axis++) {
    const extent = shape[axis] ?? 1;
    if (!Number.isSafeInteger(extent) || extent < 0) {
      throw new RangeError(`A tensor cannot have ${extent} elements on axis ${axis}`);
    }
    bytes *= extent;
  }
  if (!Number.isSafeInteger(bytes)) {
    throw new RangeError(`A ${typeName(type)} tensor of shape [${shape.join(', ')}] is too large`);
  }
  return bytes;
}

/** Types that weights can be converted to: ggml both writes and reads them. */
export const targetTypes: readonly GgmlTypeName[] = [
  'F32',
  'F16',
  'BF16',
  'Q1_0',
  'Q2_0',
  'Q4_0',
  'Q4_1',
  'Q5_0',
  'Q5_1',
  'Q8_0',
  'Q2_K',
  'Q3_K',
  'Q4_K',
  'Q5_K',
  'Q6_K',
  'TQ1_0',
  'TQ2_0',
  'MXFP4',
  'NVFP4',
  'IQ1_S',
  'IQ1_M',
  'IQ2_XXS',
  'IQ2_XS',
  'IQ2_S',
  'IQ3_XXS',
  'IQ3_S',
  'IQ4_NL',
  'IQ4_XS',
];

/** True when rows of this type can be made. */
export function isTargetType(type: GgmlType): boolean {
  return targetTypes.includes(typeName(type));
}

/** The type of that name, if weights can be converted to it. */
export function targetTypeByName(name: string): GgmlType | undefined {
  const type = typeByName(name);
  return type !== undefined && isTargetType(type) ? type : undefined;
}
