/** Metadata entries of GGUF files, by their type. */
import { type GgufMetadataEntry, GgufValueType } from '../gguf/types.js';

const { ARRAY, BOOL, FLOAT32, INT32, STRING, UINT32 } = GgufValueType;

export const u32 = (value: number): GgufMetadataEntry => ({ type: UINT32, value });
export const f32 = (value: number): GgufMetadataEntry => ({ type: FLOAT32, value });
export const bool = (value: boolean): GgufMetadataEntry => ({ type: BOOL, value });
export const text = (value: string): GgufMetadataEntry => ({ type: STRING, value });
export const texts = (value: string[]): GgufMetadataEntry => ({
  type: ARRAY,
  itemType: STRING,
  value,
});
export const f32s = (value: Float32Array): GgufMetadataEntry => ({
  type: ARRAY,
  itemType: FLOAT32,
  value,
});
export const i32s = (value: Int32Array): GgufMetadataEntry => ({
  type: ARRAY,
  itemType: INT32,
  value,
});
export const u32s = (value: readonly number[]): GgufMetadataEntry => ({
  type: ARRAY,
  itemType: UINT32,
  value: Uint32Array.from(value),
});
export const bools = (value: readonly boolean[]): GgufMetadataEntry => ({
  type: ARRAY,
  itemType: BOOL,
  value: Uint8Array.from(value, Number),
});
