/** One hand-made file for each check of the reader: it is refused, with the offset and the reason. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../src/base/errors.js';
import { memorySource } from '../../src/gguf/source.js';
import { entry, type RawFile, rawFile, tensor, text, u8, u32, u64 } from './raw.js';
import { readBytes, refused } from './support.js';

interface Case {
  readonly name: string;
  readonly file: RawFile | Buffer;
  readonly message: RegExp;
  /** Where the error must say it is. */
  readonly at?: number;
  readonly code?: ErrorCode;
}

const huge = 2n ** 63n + 5n;
const array = (itemType: number, count: number | bigint, ...items: Buffer[]) =>
  entry('k', 9, u32(itemType), u64(count), ...items);
const withEntries = (...entries: Buffer[]): RawFile => ({ entries });
const withTensors = (...tensors: Buffer[]): RawFile => ({ tensors });
const alignment = (type: number, value: Buffer): RawFile =>
  withEntries(entry('general.alignment', type, value));
/** Array in array in array ..., the innermost empty. */
const deep = (levels: number) => {
  const level = Buffer.concat([u32(9), u64(1)]);
  const levelBytes = Buffer.alloc(levels * level.length, level);
  return entry('k', 9, levelBytes, u32(0), u64(0));
};

const cases: readonly Case[] = [
  // The beginning.
  { name: 'empty file', file: Buffer.alloc(0), message: /truncated/, at: 0 },
  { name: 'two bytes', file: Buffer.from('GG'), message: /truncated/, at: 0 },
  {
    name: 'another magic',
    file: { magic: 'GGUX' },
    message: /starts with "GGUX", expected/,
    at: 0,
  },
  { name: 'binary magic', file: { magic: '\x7fELF' }, message: /0x7f454c46/, at: 0 },
  { name: 'old format', file: { magic: 'tjgg' }, message: /GGJT format/, at: 0 },
  {
    name: 'Git LFS pointer',
    file: Buffer.from('version https://git-lfs'),
    message: /git lfs pull/,
  },
  { name: 'web page', file: Buffer.from('<!DOCTYPE html><html>'), message: /web page/, at: 0 },
  { name: 'version 0', file: { version: 0 }, message: /version 0 is not known/, at: 4 },
  { name: 'version 1', file: { version: 1 }, message: /version 1 is no longer in use/, at: 4 },
  { name: 'version 4', file: { version: 4 }, message: /version 4 is not known/, at: 4 },
  { name: 'big-endian 3', file: { version: 0x03000000 }, message: /is big-endian/, at: 4 },
  { name: 'big-endian 2', file: { version: 0x02000000 }, message: /is big-endian/, at: 4 },
  // Counts.
  { name: 'huge tensor count', file: { tensorCount: huge }, message: /number of tensors/, at: 8 },
  { name: 'too many tensors', file: { tensorCount: 1 }, message: /number of tensors/, at: 8 },
  { name: 'huge entry count', file: { entryCount: huge }, message: /metadata entries/, at: 16 },
  { name: 'too many entries', file: { entryCount: 3 }, message: /metadata entries/, at: 16 },
  {
    name: 'more entries than allowed',
    file: { entryCount: 200_000, data: 4_000_000 },
    message: /200000 metadata entries, more than the 100000 allowed/,
  },
  {
    name: 'more tensors than allowed',
    file: { tensorCount: 100_001, data: 4_000_000 },
    message: /100001 tensors, more than the 100000 allowed/,
  },
  // Keys.
  { name: 'empty key', file: withEntries(entry('', 4, u32(1))), message: /no proper key/, at: 24 },
  { name: 'NUL in key', file: withEntries(entry('a\0', 4, u32(1))), message: /no proper key/ },
  {
    name: 'key longer than the file',
    file: withEntries(Buffer.concat([u64(10 ** 9), Buffer.alloc(64)])),
    message: /needs 999999936 bytes more/,
    at: 24,
  },
  {
    name: 'key of 2^64 - 1 bytes',
    file: withEntries(Buffer.concat([u64(2n ** 64n - 1n), Buffer.alloc(64)])),
    message: /a string of 18446744073709551615 needs/,
    at: 24,
  },
  {
    name: 'key longer than allowed',
    file: withEntries(entry('k'.repeat(65536), 4, u32(1))),
    message: /has 65536 bytes, more than the 65535 allowed/,
  },
  {
    name: 'key twice',
    file: withEntries(entry('k', 4, u32(1)), entry('k', 4, u32(1))),
    message: /key k occurs twice/,
    at: 24 + 17,
  },
  {
    name: 'long key with control characters twice',
    file: withEntries(
      entry(`\u001b[2J${'k'.repeat(9000)}`, 0, u8(1)),
      entry(`\u001b[2J${'k'.repeat(9000)}`, 0, u8(1)),
    ),
    message: /metadata key \\u001b\[2Jk{73}\.\.\. occurs twice/,
  },
  // Values.
  { name: 'value type 13', file: withEntries(entry('k', 13, u64(0))), message: /value type 13/ },
  {
    name: 'value type -1',
    file: withEntries(entry('k', 2 ** 32 - 1, u64(0))),
    message: /type 4294/,
  },
  { name: 'boolean 2', file: withEntries(entry('k', 7, u8(2))), message: /boolean of value 2/ },
  {
    name: 'value cut off',
    file: withEntries(entry('k', 12, u32(0))),
    message: /truncated/,
    at: 37,
  },
  {
    name: 'string longer than the file',
    file: withEntries(entry('k', 8, u64(77), Buffer.alloc(7))),
    message: /string of 77 needs 70 bytes more/,
    at: 37,
  },
  // Arrays.
  { name: 'array of type 13', file: withEntries(array(13, 0)), message: /value type 13/, at: 37 },
  { name: 'huge array', file: withEntries(array(0, huge)), message: /an array of 922337/, at: 41 },
  { name: 'array past 2^64 bytes', file: withEntries(array(11, 2n ** 62n)), message: /an array/ },
  {
    name: 'numbers cut off',
    file: withEntries(array(4, 3, u64(0))),
    message: /needs 4 bytes more/,
  },
  {
    name: 'huge strings',
    file: withEntries(array(8, 2 ** 40)),
    message: /an array of 1099511627776/,
  },
  {
    name: 'strings cut off',
    file: withEntries(array(8, 2, text('abcd'))),
    message: /an array of 2/,
  },
  {
    name: 'string in array longer than the file',
    file: withEntries(array(8, 3, text('a'), u64(99), u64(0))),
    message: /k\[1\]: a string of 99 needs 91 bytes more/,
    at: 37 + 12 + 9,
  },
  {
    name: 'string in array of 2^40 bytes',
    file: withEntries(array(8, 3, text('a'), u64(2 ** 40), u64(0))),
    message: /k\[1\]: a string of 1099511627776/,
  },
  {
    name: 'boolean 3 in array',
    file: withEntries(array(7, 2, u8(1), u8(3))),
    message: /k\[1\].*3/,
  },
  { name: 'arrays too deep', file: withEntries(deep(4)), message: /too deep/ },
  { name: 'arrays of a million levels', file: withEntries(deep(1_000_000)), message: /too deep/ },
  {
    name: 'too many arrays in an array',
    file: withEntries(array(9, 100_001, Buffer.alloc(12 * 100_001))),
    message: /100001 arrays within arrays/,
  },
  // Alignment.
  { name: 'alignment 0', file: alignment(4, u32(0)), message: /is 0, expected a power of two/ },
  { name: 'alignment 24', file: alignment(4, u32(24)), message: /is 24, expected a power of two/ },
  { name: 'alignment 4', file: alignment(4, u32(4)), message: /is 4, expected a power of two/ },
  { name: 'alignment 2^31', file: alignment(4, u32(2 ** 31)), message: /is 2147483648/ },
  { name: 'alignment as int32', file: alignment(5, u32(32)), message: /is int32, expected uint32/ },
  { name: 'alignment as string', file: alignment(8, text('32')), message: /is string, expected/ },
  // Tensors.
  {
    name: 'empty name',
    file: withTensors(tensor({ name: '' })),
    message: /no proper name/,
    at: 24,
  },
  { name: 'NUL in name', file: withTensors(tensor({ name: 'a\0b' })), message: /no proper name/ },
  {
    name: 'name of 65 bytes',
    file: withTensors(tensor({ name: 'n'.repeat(65) })),
    message: /has 65 bytes, more than the 64 allowed/,
    at: 24,
  },
  {
    name: 'name twice',
    file: withTensors(tensor(), tensor({ offset: 32 })),
    message: /tensor a occurs twice/,
  },
  { name: 'no dimensions', file: withTensors(tensor({ shape: [] })), message: /has 0 dimensions/ },
  {
    name: 'five dimensions',
    file: withTensors(tensor({ shape: [8, 1, 1, 1, 1] })),
    message: /has 5 dimensions, expected 1 to 4/,
    at: 33,
  },
  {
    name: '2^32 - 1 dimensions',
    file: withTensors(tensor({ rank: 2 ** 32 - 1 })),
    message: /has 4294967295 dimensions/,
  },
  {
    name: 'extent 0',
    file: withTensors(tensor({ shape: [8, 0] })),
    message: /shape \[8, 0\]/,
    at: 33 + 4 + 8,
  },
  { name: 'extent 2^63', file: withTensors(tensor({ shape: [huge] })), message: /shape \[9223/ },
  {
    name: 'product past 2^64',
    file: withTensors(tensor({ shape: [2 ** 32, 2 ** 32, 2 ** 32, 1] })),
    message: /expected 1 to 2\^53 elements/,
  },
  {
    name: 'product that wraps to 8',
    file: withTensors(tensor({ shape: [2 ** 31 * 2 + 8, 2n ** 61n] })),
    message: /expected 1 to 2\^53 elements/,
  },
  {
    name: 'more bytes than numbers count',
    file: withTensors(tensor({ shape: [2 ** 52], type: 28 })),
    message: /more than any file holds/,
  },
  {
    name: 'type 43',
    file: withTensors(tensor({ type: 43 })),
    message: /tensor a has type 43/,
    code: 'unsupported-type',
  },
  {
    name: 'removed type',
    file: withTensors(tensor({ type: 31, shape: [32] })),
    message: /tensor a has type 31/,
    code: 'unsupported-type',
  },
  {
    name: 'type -1',
    file: withTensors(tensor({ type: 2 ** 32 - 1 })),
    message: /has type 4294967295/,
    code: 'unsupported-type',
  },
  {
    name: 'half a block',
    file: withTensors(tensor({ type: 2, shape: [48] })),
    message: /rows of 48 elements, expected a multiple of 32, the block of Q4_0/,
  },
  {
    name: 'half a super-block',
    file: withTensors(tensor({ type: 12, shape: [128, 2] })),
    message: /rows of 128 elements, expected a multiple of 256, the block of Q4_K/,
  },
  {
    name: 'unaligned',
    file: withTensors(tensor({ offset: 4 })),
    message: /starts at 4 of the data/,
  },
  {
    name: 'outside the file',
    file: withTensors(tensor({ offset: 32 })),
    message: /tensor a needs 32 bytes more/,
  },
  { name: 'offset past 2^53', file: withTensors(tensor({ offset: huge })), message: /far outside/ },
  {
    name: 'offset of 2^53 - 32',
    file: withTensors(tensor({ offset: 2 ** 53 - 32 })),
    message: /truncated/,
  },
  {
    name: 'the same place',
    file: { tensors: [tensor({ name: 'a' }), tensor({ name: 'b' })] },
    message: /tensors a and b overlap/,
  },
  {
    name: 'overlap by a byte',
    file: { tensors: [tensor({ name: 'b', offset: 32 }), tensor({ name: 'a', shape: [9] })] },
    message: /tensors a and b overlap/,
  },
  {
    name: 'description cut off',
    file: Buffer.concat([rawFile({ tensors: [tensor()], data: 0 }).subarray(0, 50)]),
    message: /truncated/,
  },
];

for (const { name, file, message, at, code } of cases) {
  test(`refused: ${name}`, async () => {
    const bytes = Buffer.isBuffer(file) ? file : rawFile(file);
    const error = await refused(readBytes(bytes), code ?? 'broken-file', message);
    assert.ok(typeof error.details.offset === 'number');
    if (at !== undefined) assert.equal(error.details.offset, at);
    assert.match(error.message, /^memory/);
  });
}

test('the files that the cases change are fine without the change', async () => {
  const file = await readBytes(
    rawFile({
      entries: [array(8, 2, text('a'), text('é')), entry('general.alignment', 4, u32(32))],
      tensors: [tensor(), tensor({ name: 'n'.repeat(64), offset: 32 })],
    }),
  );
  assert.equal(file.tensors.size, 2);
  assert.equal((await readBytes(rawFile(withEntries(deep(3))))).metadata.size, 1);
});

test('a count too large for the file allocates nothing of its size', async () => {
  const source = memorySource(rawFile(withEntries(array(0, 2 ** 32, Buffer.alloc(100)))));
  const before = process.memoryUsage().arrayBuffers;
  const { parseHeader } = await import('../../src/gguf/header.js');
  await refused(parseHeader(source), 'broken-file', /array of 4294967296/);
  assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 24);
});
