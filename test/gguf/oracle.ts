/** ggml's own GGUF reader, as the reference for files that we write. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { findCpuPackage } from '../../src/ggml/library.js';
import { GgufValueType } from '../../src/gguf/types.js';

const { folder } = findCpuPackage();
const name = readdirSync(folder).find((file) => /^(lib)?ggml-base\.(so|dylib|dll)$/.test(file));
if (name === undefined) throw new Error(`No ggml-base library in ${folder}`);
const library = koffi.load(join(folder, name));

koffi.struct('gguf_init_params', { no_alloc: 'bool', ctx: 'uintptr_t' });
const init = library.func(
  'uintptr_t gguf_init_from_buffer(const uint8_t *data, size_t size, gguf_init_params params)',
);
const initFile = library.func(
  'uintptr_t gguf_init_from_file(const char *name, gguf_init_params params)',
);
const free = library.func('void gguf_free(uintptr_t file)');
const number = (symbol: string) => {
  const call = library.func(`int64_t ${symbol}(uintptr_t file)`);
  return (file: number) => Number(call(file));
};
const version = number('gguf_get_version');
const alignment = number('gguf_get_alignment');
const dataOffset = number('gguf_get_data_offset');
const entryCount = number('gguf_get_n_kv');
const tensorCount = number('gguf_get_n_tensors');
const key = library.func('const char *gguf_get_key(uintptr_t file, int64_t index)');
const type = library.func('int gguf_get_kv_type(uintptr_t file, int64_t index)');
const arrayType = library.func('int gguf_get_arr_type(uintptr_t file, int64_t index)');
const arrayLength = library.func('size_t gguf_get_arr_n(uintptr_t file, int64_t index)');
const arrayData = library.func('uintptr_t gguf_get_arr_data(uintptr_t file, int64_t index)');
const arrayString = library.func(
  'const char *gguf_get_arr_str(uintptr_t file, int64_t index, size_t item)',
);
const string = library.func('const char *gguf_get_val_str(uintptr_t file, int64_t index)');
const data = library.func('uintptr_t gguf_get_val_data(uintptr_t file, int64_t index)');
const tensorName = library.func('const char *gguf_get_tensor_name(uintptr_t file, int64_t index)');
const tensorOffset = library.func('size_t gguf_get_tensor_offset(uintptr_t file, int64_t index)');
const tensorSize = library.func('size_t gguf_get_tensor_size(uintptr_t file, int64_t index)');
const tensorType = library.func('int gguf_get_tensor_type(uintptr_t file, int64_t index)');
const tensorExtents = library.func('int64_t *gguf_get_tensor_ne(uintptr_t file, int64_t index)');

/** ggml's names for scalar types in koffi's terms. */
const scalars: Readonly<Record<number, string>> = {
  [GgufValueType.UINT8]: 'uint8_t',
  [GgufValueType.INT8]: 'int8_t',
  [GgufValueType.UINT16]: 'uint16_t',
  [GgufValueType.INT16]: 'int16_t',
  [GgufValueType.UINT32]: 'uint32_t',
  [GgufValueType.INT32]: 'int32_t',
  [GgufValueType.FLOAT32]: 'float',
  [GgufValueType.FLOAT64]: 'double',
  [GgufValueType.BOOL]: 'uint8_t',
  [GgufValueType.UINT64]: 'uint64_t',
  [GgufValueType.INT64]: 'int64_t',
};

export interface OracleEntry {
  readonly key: string;
  readonly type: number;
  readonly itemType?: number;
  /** Integers of 64 bits as they come, booleans as 0 and 1. */
  readonly value: unknown;
}

export interface OracleTensor {
  readonly name: string;
  readonly type: number;
  /** Always 4 extents. */
  readonly extents: readonly number[];
  /** From the file's start. */
  readonly offset: number;
  readonly bytes: number;
}

export interface OracleFile {
  readonly version: number;
  readonly alignment: number;
  readonly entries: readonly OracleEntry[];
  readonly tensors: readonly OracleTensor[];
}

/** What ggml reads from those bytes or that file, or undefined when it refuses them. */
export function readWithGgml(source: Uint8Array | string): OracleFile | undefined {
  const params = { no_alloc: true, ctx: 0 };
  const opened =
    typeof source === 'string' ? initFile(source, params) : init(source, source.length, params);
  const file = Number(opened);
  if (file === 0) return undefined;
  try {
    return {
      version: version(file),
      alignment: alignment(file),
      entries: Array.from({ length: entryCount(file) }, (_, index) => readEntry(file, index)),
      tensors: Array.from({ length: tensorCount(file) }, (_, index) => ({
        name: tensorName(file, index),
        type: tensorType(file, index),
        extents: [...koffi.decode(tensorExtents(file, index), 'int64_t', 4)].map(Number),
        offset: dataOffset(file) + Number(tensorOffset(file, index)),
        bytes: Number(tensorSize(file, index)),
      })),
    };
  } finally {
    free(file);
  }
}

function readEntry(file: number, index: number): OracleEntry {
  const entry = { key: key(file, index) as string, type: type(file, index) as number };
  if (entry.type === GgufValueType.STRING) return { ...entry, value: string(file, index) };
  if (entry.type !== GgufValueType.ARRAY) {
    return { ...entry, value: koffi.decode(data(file, index), scalars[entry.type] as string) };
  }
  const itemType = arrayType(file, index) as number;
  const length = Number(arrayLength(file, index));
  const value =
    itemType === GgufValueType.STRING
      ? Array.from({ length }, (_, item) => arrayString(file, index, item))
      : length === 0
        ? []
        : [...koffi.decode(arrayData(file, index), scalars[itemType] as string, length)];
  return { ...entry, itemType, value };
}
