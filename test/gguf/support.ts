/** What the GGUF tests share: sources in memory, an error's facts, a small model. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ErrorCode, PacelineError } from '../../src/base/errors.js';
import { GgmlType, type GgmlTypeName, tensorBytes } from '../../src/ggml/types.js';
import { type GgufFile, readGgufFrom } from '../../src/gguf/reader.js';
import { memorySource } from '../../src/gguf/source.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { ggufValue } from '../../src/gguf/values.js';
import type { GgufContent, GgufTensorToWrite } from '../../src/gguf/writer.js';

export function readBytes(bytes: Uint8Array): Promise<GgufFile> {
  return readGgufFrom('memory', async () => memorySource(bytes));
}

/** Checks that `work` fails with that code and message, and gives the error back. */
export async function refused(
  work: Promise<unknown>,
  code: ErrorCode,
  message: RegExp,
): Promise<PacelineError> {
  const error = await work.then(
    () => assert.fail('was not refused'),
    (reason: unknown) => reason,
  );
  assert.ok(PacelineError.is(error), String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  assert.ok(error.hint, 'an error says what to do');
  return error;
}

/** A folder that is gone after the test. */
export async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'paceline-gguf-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A tensor with bytes that tell its name and place apart. */
export function patterned(
  name: string,
  typeName: GgmlTypeName,
  shape: readonly number[],
): GgufTensorToWrite & { readonly data: Uint8Array } {
  const type = GgmlType[typeName];
  const data = new Uint8Array(tensorBytes(type, shape));
  for (let index = 0; index < data.length; index++) {
    data[index] = index * 7 + name.length * 31 + type;
  }
  return { name, type, shape, data };
}

/** One value of every type, with the extremes of each. */
export const everyValue: readonly (readonly [string, GgufMetadataEntry])[] = [
  ['general.architecture', ggufValue.string('test')],
  ['a.uint8', ggufValue.uint8(255)],
  ['a.int8', ggufValue.int8(-128)],
  ['a.uint16', ggufValue.uint16(65535)],
  ['a.int16', ggufValue.int16(-32768)],
  ['a.uint32', ggufValue.uint32(2 ** 32 - 1)],
  ['a.int32', ggufValue.int32(-(2 ** 31))],
  ['a.float32', ggufValue.float32(1.5)],
  ['a.float64', ggufValue.float64(Math.PI)],
  ['a.uint64', ggufValue.uint64(2 ** 53 - 1)],
  ['a.uint64.wide', ggufValue.uint64(2n ** 64n - 1n)],
  ['a.int64', ggufValue.int64(-(2 ** 53 - 1))],
  ['a.int64.wide', ggufValue.int64(-(2n ** 63n))],
  ['a.true', ggufValue.boolean(true)],
  ['a.false', ggufValue.boolean(false)],
  ['a.string', ggufValue.string('ünï \u0000 \ufeff 🦊')],
  ['a.string.empty', ggufValue.string('')],
  ['b.uint8', ggufValue.numbers('uint8', [0, 1, 255])],
  ['b.int8', ggufValue.numbers('int8', [-128, 127])],
  ['b.uint16', ggufValue.numbers('uint16', [0, 65535, 3])],
  ['b.int16', ggufValue.numbers('int16', [-1])],
  ['b.uint32', ggufValue.numbers('uint32', [4294967295])],
  ['b.int32', ggufValue.numbers('int32', [-2147483648, 2147483647])],
  ['b.float32', ggufValue.numbers('float32', [0.5, -0, Infinity])],
  ['b.float64', ggufValue.numbers('float64', [Math.E])],
  ['b.uint64', ggufValue.wideNumbers('uint64', [0, 2n ** 64n - 1n])],
  ['b.int64', ggufValue.wideNumbers('int64', [-5, 2n ** 62n])],
  ['b.booleans', ggufValue.booleans([true, false, true])],
  ['b.strings', ggufValue.strings(['', 'a', '', '▁the', '🦊🦊', '\ufeff', 'é'.repeat(20)])],
  ['b.empty', ggufValue.numbers('float32', [])],
  ['b.strings.empty', ggufValue.strings([])],
];

/** Arrays in arrays, which the format allows and ggml does not read. */
export const nestedValue: readonly [string, GgufMetadataEntry] = [
  'c.nested',
  ggufValue.arrays([
    ggufValue.numbers('uint8', [1, 2]),
    ggufValue.arrays([ggufValue.strings(['x', 'y']), ggufValue.arrays([])]),
  ]),
];

/** Tensors of several types, ranks and odd sizes. */
export const everyTensor = [
  patterned('token_embd.weight', 'Q8_0', [64, 5]),
  patterned('norm', 'F32', [3]),
  patterned('blk.0.a', 'Q4_K', [256, 3]),
  patterned('blk.0.b', 'F16', [5, 7, 2]),
  patterned('blk.0.c', 'BF16', [1, 2, 3, 4]),
  patterned('blk.0.d', 'Q4_0', [32]),
];

export const everything: GgufContent = { metadata: everyValue, tensors: everyTensor };

/** The same entry, comparable: typed arrays as arrays, -0 kept. */
export function plain(value: GgufMetadataEntry): unknown {
  if (value.type !== GgufValueType.ARRAY) return value;
  if (value.itemType === GgufValueType.ARRAY) return { ...value, value: value.value.map(plain) };
  return { ...value, value: [...value.value] };
}

/** Checks that a file that was read is consistent in itself. */
export function checkConsistent(file: GgufFile, size: number): void {
  let end = 0;
  const inOrder = [...file.tensors.values()].sort((a, b) => a.offset - b.offset);
  for (const tensor of inOrder) {
    assert.equal(file.tensors.get(tensor.name), tensor);
    assert.ok(tensor.shape.length >= 1 && tensor.shape.length <= 4);
    assert.equal(tensor.bytes, tensorBytes(tensor.type, tensor.shape));
    assert.ok(tensor.bytes > 0 && tensor.offset >= end, `${tensor.name} overlaps`);
    end = tensor.offset + tensor.bytes;
  }
  assert.ok(end <= size, 'a tensor lies outside the file');
}
