/**
 * What a GGUF file holds, as TypeScript types: metadata values and descriptions of tensors. No
 * reading or writing here. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import type { GgmlType } from '../ggml/types.js';

/** Ids of the metadata value types, as they stand in files. */
export const GgufValueType = {
  UINT8: 0,
  INT8: 1,
  UINT16: 2,
  INT16: 3,
  UINT32: 4,
  INT32: 5,
  FLOAT32: 6,
  BOOL: 7,
  STRING: 8,
  ARRAY: 9,
  UINT64: 10,
  INT64: 11,
  FLOAT64: 12,
} as const;

export type GgufValueTypeName = keyof typeof GgufValueType;
export type GgufValueType = (typeof GgufValueType)[GgufValueTypeName];

const names = new Map<number, GgufValueTypeName>(
  (Object.keys(GgufValueType) as GgufValueTypeName[]).map((name) => [GgufValueType[name], name]),
);

/** True when `id` is a metadata value type of the format. */
export function isGgufValueType(id: number): id is GgufValueType {
  return names.has(id);
}

/** Lower-case name of a value type: `uint32`. */
export function valueTypeName(type: GgufValueType): string {
  return (names.get(type) ?? String(type)).toLowerCase();
}

/** Bytes of one value, or 0 for strings and arrays, whose size varies. */
export function valueBytes(type: GgufValueType): number {
  switch (type) {
    case GgufValueType.UINT8:
    case GgufValueType.INT8:
    case GgufValueType.BOOL:
      return 1;
    case GgufValueType.UINT16:
    case GgufValueType.INT16:
      return 2;
    case GgufValueType.UINT32:
    case GgufValueType.INT32:
    case GgufValueType.FLOAT32:
      return 4;
    case GgufValueType.UINT64:
    case GgufValueType.INT64:
    case GgufValueType.FLOAT64:
      return 8;
    default:
      return 0;
  }
}

type Types = typeof GgufValueType;

/** Types whose values are always exact as a JavaScript number. */
export type GgufNumberType = Types[
  | 'UINT8'
  | 'INT8'
  | 'UINT16'
  | 'INT16'
  | 'UINT32'
  | 'INT32'
  | 'FLOAT32'
  | 'FLOAT64'];

/** 64-bit integers: a number when that is exact, else a bigint. */
export type GgufWideType = Types['UINT64' | 'INT64'];

export type GgufScalar =
  | { readonly type: GgufNumberType; readonly value: number }
  | { readonly type: GgufWideType; readonly value: number | bigint }
  | { readonly type: Types['BOOL']; readonly value: boolean }
  | { readonly type: Types['STRING']; readonly value: string };

export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

/** An array; numbers stay in typed arrays of their own width, so memory is that of the file. */
export type GgufArray = { readonly type: Types['ARRAY'] } & (
  | { readonly itemType: GgufNumberType; readonly value: GgufNumbers }
  | { readonly itemType: GgufWideType; readonly value: BigUint64Array | BigInt64Array }
  /** One byte a value, 0 or 1. */
  | { readonly itemType: Types['BOOL']; readonly value: Uint8Array }
  | { readonly itemType: Types['STRING']; readonly value: readonly string[] }
  | { readonly itemType: Types['ARRAY']; readonly value: readonly GgufArray[] }
);

/** One metadata value with its type. */
export type GgufMetadataEntry = GgufScalar | GgufArray;

/** Any value that metadata can hold. */
export type GgufValue = GgufMetadataEntry['value'];

/** Where a tensor's bytes are and what they mean. */
export interface GgufTensorInfo {
  readonly name: string;
  /** 1 to 4 extents in ggml order: `shape[0]` varies fastest in memory. */
  readonly shape: readonly number[];
  readonly type: GgmlType;
  /** Position of the first byte in its file. */
  readonly offset: number;
  readonly bytes: number;
  /** Index into `GgufFile.files`; 0 unless the model is split. */
  readonly file: number;
}
