import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Progress } from '../../src/base/progress.js';
import { GgmlType } from '../../src/ggml/types.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { ggufValue } from '../../src/gguf/values.js';
import { encodeGguf, type GgufTensorToWrite, writeGguf } from '../../src/gguf/writer.js';
import { readWithGgml } from './oracle.js';
import {
  everyTensor,
  everything,
  everyValue,
  patterned,
  readBytes,
  temporaryFolder,
} from './support.js';

/** A value as ggml's functions give it: C strings end at the first NUL, booleans are 0 and 1. */
function asGgmlGives(value: GgufMetadataEntry): unknown {
  const cut = (text: string) => text.split('\0')[0];
  switch (value.type) {
    case GgufValueType.STRING:
      return cut(value.value);
    case GgufValueType.BOOL:
      return Number(value.value);
    case GgufValueType.ARRAY:
      return value.itemType === GgufValueType.STRING
        ? value.value.map(cut)
        : Array.from(value.value as Iterable<number | bigint>, narrow);
    default:
      return narrow(value.value);
  }
}

function narrow(value: unknown): unknown {
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

for (const alignment of [undefined, 8, 256]) {
  test(`ggml reads what we write, at alignment ${alignment ?? 'default'}`, async (context) => {
    const path = join(await temporaryFolder(context), 'ours.gguf');
    const metadata: (readonly [string, GgufMetadataEntry])[] = [...everyValue];
    if (alignment !== undefined) {
      metadata.push(['general.alignment', ggufValue.uint32(alignment)]);
    }
    const size = await writeGguf(path, { metadata, tensors: everyTensor });
    const bytes = await readFile(path);
    assert.equal(bytes.length, size);
    const file = readWithGgml(path);
    assert.ok(file, 'ggml refused the file');
    assert.equal(file.version, 3);
    assert.equal(file.alignment, alignment ?? 32);
    assert.deepEqual(
      file.entries.map(({ key, type, itemType, value }) => [
        key,
        type,
        itemType,
        Array.isArray(value) ? value.map(narrow) : narrow(value),
      ]),
      metadata.map(([key, value]) => [
        key,
        value.type,
        value.type === GgufValueType.ARRAY ? value.itemType : undefined,
        asGgmlGives(value),
      ]),
    );
    assert.deepEqual(
      file.tensors.map(({ name, type, extents }) => [name, type, extents]),
      everyTensor.map(({ name, type, shape }) => [
        name,
        type,
        [0, 1, 2, 3].map((axis) => shape[axis] ?? 1),
      ]),
    );
    assert.deepEqual(
      file.tensors.map((found) =>
        Uint8Array.from(bytes.subarray(found.offset, found.offset + found.bytes)),
      ),
      everyTensor.map(({ data }) => data),
    );
  });
}

test('the oracle sees a difference', async () => {
  const bytes = await encodeGguf(everything);
  assert.ok(readWithGgml(bytes));
  const at = Buffer.from(bytes).indexOf('a.int8');
  bytes[at] = 'z'.charCodeAt(0);
  assert.ok(readWithGgml(bytes)?.entries.some(({ key }) => key === 'z.int8'));
});

test('block layouts are those of the library', async () => {
  const koffi = (await import('koffi')).default;
  const { findCpuPackage } = await import('../../src/ggml/library.js');
  const { isGgmlType, typeTraits } = await import('../../src/ggml/types.js');
  const { folder } = findCpuPackage();
  const name = (await readdir(folder)).find((file) => /^(lib)?ggml-base\./.test(file));
  const library = koffi.load(join(folder, name ?? ''));
  const blockSize = library.func('int64_t ggml_blck_size(int type)');
  const blockBytes = library.func('size_t ggml_type_size(int type)');
  const typeName = library.func('const char *ggml_type_name(int type)');
  for (let type = 0; type < 43; type++) {
    const elements = Number(blockSize(type));
    assert.equal(isGgmlType(type), elements > 0, `type ${type}`);
    if (!isGgmlType(type)) continue;
    const found = typeTraits(type);
    assert.equal(found.name, String(typeName(type)).toUpperCase());
    assert.equal(found.blockSize, elements, found.name);
    assert.equal(found.blockBytes, Number(blockBytes(type)), found.name);
  }
});

test('tensors come from buffers, functions, pieces and streams alike', async () => {
  const { data, ...facts } = patterned('t', 'F32', [100, 3]);
  const pieces = [data.subarray(0, 1), data.subarray(1, 1), data.subarray(1, 777)];
  pieces.push(data.subarray(777));
  const sources: GgufTensorToWrite['data'][] = [
    data,
    () => data,
    async () => data,
    () => pieces,
    async function* stream() {
      yield* pieces;
    },
  ];
  const expected = await encodeGguf({ metadata: [], tensors: [{ ...facts, data }] });
  for (const source of sources) {
    const bytes = await encodeGguf({ metadata: [], tensors: [{ ...facts, data: source }] });
    assert.deepEqual(bytes, expected);
  }
});

test('progress ends at the size of the file', async (context) => {
  const path = join(await temporaryFolder(context), 'progress.gguf');
  const seen: Progress[] = [];
  const size = await writeGguf(path, everything, { onProgress: (step) => seen.push(step) });
  assert.ok(seen.length > everyTensor.length);
  assert.deepEqual(seen.at(-1), { task: 'writing', done: size, total: size, unit: 'bytes' });
  assert.ok(seen.every(({ done }, index) => done >= (seen[index - 1]?.done ?? 0)));
});

test('a file that cannot be finished leaves the old one and nothing else', async (context) => {
  const folder = await temporaryFolder(context);
  const path = join(folder, 'kept.gguf');
  await writeFile(path, 'old');
  const controller = new AbortController();
  const tensor = patterned('t', 'F32', [8]);
  const failing: readonly [RegExp, GgufTensorToWrite['data']][] = [
    [/was given fewer than its 32 bytes/, tensor.data.subarray(1)],
    [/was given more than its 32 bytes/, () => [tensor.data, tensor.data]],
    [
      /no more/,
      async function* () {
        yield tensor.data.subarray(0, 16);
        throw new Error('no more');
      },
    ],
    [
      /aborted/,
      async function* () {
        yield tensor.data.subarray(0, 16);
        controller.abort();
        yield tensor.data.subarray(16);
      },
    ],
  ];
  for (const [message, data] of failing) {
    const content = { metadata: [], tensors: [{ ...tensor, data }] };
    const { signal } = controller;
    await assert.rejects(writeGguf(path, content, { signal }), message);
    assert.deepEqual(await readdir(folder), ['kept.gguf']);
    assert.equal(await readFile(path, 'utf8'), 'old');
  }
  await writeGguf(path, { metadata: [], tensors: [tensor] });
  assert.equal((await readBytes(await readFile(path))).tensors.size, 1);
});

test('a folder that does not exist is an io error with a hint', async (context) => {
  const path = join(await temporaryFolder(context), 'no', 'file.gguf');
  await assert.rejects(writeGguf(path, everything), { code: 'io', hint: /folder does not exist/ });
});

test('a full disk is an io error', { skip: process.platform !== 'linux' }, async () => {
  const { writeError } = await import('../../src/base/files.js');
  const { open } = await import('node:fs/promises');
  const handle = await open('/dev/full', 'w');
  const error = await handle.write(Buffer.alloc(10)).then(
    () => assert.fail('written'),
    (reason: unknown) => reason,
  );
  await handle.close();
  const typed = writeError('x.gguf', error);
  assert.equal(typed.code, 'io');
  assert.match(typed.hint ?? '', /disk is full/);
});

test('content that no reader would take is refused', async () => {
  const { type, shape, data } = patterned('t', 'F32', [8]);
  const value = ggufValue.uint8(1);
  const tensors = (...list: GgufTensorToWrite[]) => ({ metadata: [], tensors: list });
  const metadata = (...list: [string, GgufMetadataEntry][]) => ({ metadata: list, tensors: [] });
  const bad = [
    tensors({ name: '', type, shape, data }),
    tensors({ name: 'n'.repeat(64), type, shape, data }),
    tensors({ name: 'a', type, shape, data }, { name: 'a', type, shape, data }),
    tensors({ name: 'a', type, shape: [], data }),
    tensors({ name: 'a', type, shape: [1, 2, 2, 2, 1], data }),
    tensors({ name: 'a', type, shape: [8, 0], data }),
    tensors({ name: 'a', type, shape: [1.5], data }),
    tensors({ name: 'a', type: GgmlType.Q4_0, shape: [8], data }),
    metadata(['', value]),
    metadata(['k', value], ['k', value]),
    metadata(['k', { type: GgufValueType.UINT8, value: 256 }]),
    metadata(['k', { type: GgufValueType.UINT32, value: 1.5 }]),
    metadata(['k', ggufValue.string('\ud800')]),
    metadata(['k', ggufValue.strings(['ok', 'half \udc00'])]),
    metadata(['general.alignment', ggufValue.uint32(24)]),
    metadata(['general.alignment', ggufValue.string('32')]),
  ];
  for (const content of bad) {
    await assert.rejects(encodeGguf(content), { code: 'internal', message: /^Cannot write|is no/ });
  }
  const misfits = [
    () => ggufValue.uint8(-1),
    () => ggufValue.int16(32768),
    () => ggufValue.uint32(0.5),
    () => ggufValue.uint64(-1),
    () => ggufValue.uint64(2 ** 60),
    () => ggufValue.int64(2n ** 63n),
    () => ggufValue.numbers('int8', [0, 128]),
    () => ggufValue.wideNumbers('uint64', [-1n]),
  ];
  for (const make of misfits) assert.throws(make, { code: 'internal', message: /is no u?int/ });
});
