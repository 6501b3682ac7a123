/**
 * Makes metadata values to be written, with the checks that the file's widths ask for: a value that
 * does not fit its type is an error, never cut.
 */
import { PacelineError } from '../base/errors.js';
import {
  type GgufArray,
  type GgufMetadataEntry,
  type GgufNumbers,
  type GgufNumberType,
  GgufValueType,
  type GgufWideType,
  valueTypeName,
} from './types.js';

const integerRanges = new Map<number, readonly [least: number, most: number]>([
  [GgufValueType.UINT8, [0, 2 ** 8 - 1]],
  [GgufValueType.INT8, [-(2 ** 7), 2 ** 7 - 1]],
  [GgufValueType.UINT16, [0, 2 ** 16 - 1]],
  [GgufValueType.INT16, [-(2 ** 15), 2 ** 15 - 1]],
  [GgufValueType.UINT32, [0, 2 ** 32 - 1]],
  [GgufValueType.INT32, [-(2 ** 31), 2 ** 31 - 1]],
]);

type NumberArrayType = new (items: Iterable<number>) => GgufNumbers;

const arrayTypes: Readonly<Record<GgufNumberType, NumberArrayType>> = {
  [GgufValueType.UINT8]: Uint8Array,
  [GgufValueType.INT8]: Int8Array,
  [GgufValueType.UINT16]: Uint16Array,
  [GgufValueType.INT16]: Int16Array,
  [GgufValueType.UINT32]: Uint32Array,
  [GgufValueType.INT32]: Int32Array,
  [GgufValueType.FLOAT32]: Float32Array,
  [GgufValueType.FLOAT64]: Float64Array,
};

/** Constructors of metadata values: `ggufValue.uint32(8)`, `ggufValue.strings(['a', 'b'])`. */
export const ggufValue = {
  uint8: (value: number) => number(GgufValueType.UINT8, value),
  int8: (value: number) => number(GgufValueType.INT8, value),
  uint16: (value: number) => number(GgufValueType.UINT16, value),
  int16: (value: number) => number(GgufValueType.INT16, value),
  uint32: (value: number) => number(GgufValueType.UINT32, value),
  int32: (value: number) => number(GgufValueType.INT32, value),
  float32: (value: number) => number(GgufValueType.FLOAT32, value),
  float64: (value: number) => number(GgufValueType.FLOAT64, value),
  uint64: (value: number | bigint) => wide(GgufValueType.UINT64, value),
  int64: (value: number | bigint) => wide(GgufValueType.INT64, value),
  boolean: (value: boolean): GgufMetadataEntry => ({ type: GgufValueType.BOOL, value }),
  string: (value: string): GgufMetadataEntry => ({ type: GgufValueType.STRING, value }),
  strings: (value: readonly string[]): GgufArray => ({
    type: GgufValueType.ARRAY,
    itemType: GgufValueType.STRING,
    value,
  }),
  booleans: (value: readonly boolean[]): GgufArray => ({
    type: GgufValueType.ARRAY,
    itemType: GgufValueType.BOOL,
    value: Uint8Array.from(value, Number),
  }),
  /** An array of numbers of one type: `numbers('int32', [1, 2])`. */
  numbers(type: keyof typeof numberTypes, value: Iterable<number>): GgufArray {
    const itemType = numberTypes[type];
    const items = [...value];
    for (const item of items) checkNumber(itemType, item);
    return { type: GgufValueType.ARRAY, itemType, value: new arrayTypes[itemType](items) };
  },
  wideNumbers(type: 'uint64' | 'int64', value: Iterable<number | bigint>): GgufArray {
    const items = Array.from(value, (item) => checkWide(wideTypes[type], item));
    return type === 'uint64'
      ? {
          type: GgufValueType.ARRAY,
          itemType: GgufValueType.UINT64,
          value: BigUint64Array.from(items),
        }
      : {
          type: GgufValueType.ARRAY,
          itemType: GgufValueType.INT64,
          value: BigInt64Array.from(items),
        };
  },
  /** Arrays within an array; ggml itself reads none such. */
  arrays: (value: readonly GgufArray[]): GgufArray => ({
    type: GgufValueType.ARRAY,
    itemType: GgufValueType.ARRAY,
    value,
  }),
};

const numberTypes = {
  uint8: GgufValueType.UINT8,
  int8: GgufValueType.INT8,
  uint16: GgufValueType.UINT16,
  int16: GgufValueType.INT16,
  uint32: GgufValueType.UINT32,
  int32: GgufValueType.INT32,
  float32: GgufValueType.FLOAT32,
  float64: GgufValueType.FLOAT64,
} as const;

const wideTypes = { uint64: GgufValueType.UINT64, int64: GgufValueType.INT64 } as const;

function number(type: GgufNumberType, value: number): GgufMetadataEntry {
  checkNumber(type, value);
  return { type, value };
}

function wide(type: GgufWideType, value: number | bigint): GgufMetadataEntry {
  checkWide(type, value);
  return { type, value };
}

/**
 * Throws when a scalar does not fit its type, as in an entry that was not made here.
 * @throws {PacelineError} `internal`.
 */
export function checkScalar(entry: GgufMetadataEntry): void {
  if (entry.type === GgufValueType.UINT64 || entry.type === GgufValueType.INT64) {
    checkWide(entry.type, entry.value);
  } else if (typeof entry.value === 'number') {
    checkNumber(entry.type as GgufNumberType, entry.value);
  }
}

function checkNumber(type: GgufNumberType, value: number): void {
  const range = integerRanges.get(type);
  if (range === undefined) return;
  if (!Number.isInteger(value) || value < range[0] || value > range[1]) throw misfit(type, value);
}

function checkWide(type: GgufWideType, value: number | bigint): bigint {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw misfit(type, value);
  const exact = BigInt(value);
  const fits =
    type === GgufValueType.UINT64
      ? BigInt.asUintN(64, exact) === exact
      : BigInt.asIntN(64, exact) === exact;
  if (!fits) throw misfit(type, value);
  return exact;
}

function misfit(type: GgufNumberType | GgufWideType, value: number | bigint): PacelineError {
  return new PacelineError('internal', `${value} is no ${valueTypeName(type)}`);
}
