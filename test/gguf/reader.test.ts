import assert from 'node:assert/strict';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readGguf } from '../../src/gguf/reader.js';
import { partPath } from '../../src/gguf/split.js';
import { ggufValue } from '../../src/gguf/values.js';
import { encodeGguf, writeGguf } from '../../src/gguf/writer.js';
import { vocabularyFile, vocabularyNames } from '../support/vocabularies.js';
import { entry, rawFile, tensor, u8, u32 } from './raw.js';
import {
  checkConsistent,
  everyTensor,
  everything,
  everyValue,
  nestedValue,
  patterned,
  plain,
  readBytes,
  refused,
  temporaryFolder,
} from './support.js';

test('every type of value and tensor comes back as it was written', async (context) => {
  const path = join(await temporaryFolder(context), 'every.gguf');
  const metadata = [...everyValue, nestedValue];
  await writeGguf(path, { metadata, tensors: everyTensor });
  await using file = await readGguf(path);
  assert.equal(file.version, 3);
  assert.deepEqual(file.files, [path]);
  assert.deepEqual(
    [...file.metadata].map(([key, value]) => [key, plain(value)]),
    metadata.map(([key, value]) => [key, plain(value)]),
  );
  assert.deepEqual(
    [...file.tensors.keys()],
    everyTensor.map(({ name }) => name),
  );
  checkConsistent(file, (await readFile(path)).length);
  for (const { name, type, shape, data } of everyTensor) {
    const info = file.tensors.get(name);
    assert.ok(info);
    assert.equal(info.type, type);
    assert.deepEqual(info.shape, shape);
    const bytes = new Uint8Array(info.bytes);
    await file.readTensor(info, bytes);
    assert.deepEqual(bytes, data);
    const part = new Uint8Array(2);
    await file.readTensor(info, part, { start: 3 });
    assert.deepEqual(part, data.subarray(3, 5));
  }
});

test('version 2 is read like version 3', async () => {
  const bytes = await encodeGguf(everything);
  bytes[4] = 2;
  const file = await readBytes(bytes);
  assert.equal(file.version, 2);
  assert.equal(file.tensors.size, everyTensor.length);
  assert.equal(file.string('a.string.empty'), '');
});

test('general.alignment moves the data', async () => {
  for (const alignment of [8, 64, 4096]) {
    const metadata = [['general.alignment', ggufValue.uint32(alignment)]] as const;
    const file = await readBytes(await encodeGguf({ metadata, tensors: everyTensor }));
    for (const tensor of file.tensors.values()) assert.equal(tensor.offset % alignment, 0);
    const last = everyTensor.at(-1);
    const info = file.tensors.get(last?.name ?? '');
    assert.ok(info);
    const bytes = new Uint8Array(info.bytes);
    await file.readTensor(info, bytes);
    assert.deepEqual(bytes, last?.data);
  }
});

test('tensors may stand in any order and leave gaps', async () => {
  const tensors = [tensor({ name: 'b', offset: 128 }), tensor({ name: 'a', offset: 32 })];
  const file = await readBytes(rawFile({ tensors, data: 160 }));
  checkConsistent(file, 1000);
  assert.equal((file.tensors.get('b')?.offset ?? 0) - (file.tensors.get('a')?.offset ?? 0), 96);
});

test('strings longer than the window, and many of them, are read', async () => {
  const long = 'ab🦊'.repeat(500_000);
  const many = Array.from({ length: 40_000 }, (_, index) => `▁${index}`.repeat(index % 9));
  const file = await readBytes(
    await encodeGguf({
      metadata: [
        ['long', ggufValue.string(long)],
        ['many', ggufValue.strings(many)],
        ['mixed', ggufValue.strings(['a', long, 'ü', long.slice(0, 400_000), ''])],
        ['numbers', ggufValue.numbers('float32', new Float32Array(600_000).fill(2))],
        ['after', ggufValue.uint32(7)],
      ],
      tensors: [],
    }),
  );
  assert.equal(file.string('long'), long);
  assert.deepEqual(file.stringArray('many'), many);
  assert.deepEqual(file.stringArray('mixed'), ['a', long, 'ü', long.slice(0, 400_000), '']);
  assert.equal(file.numberArray('numbers').length, 600_000);
  assert.equal(file.number('after'), 7);
});

test('getters give what was asked for or name key, finding and file', async () => {
  const file = await readBytes(await encodeGguf(everything));
  assert.equal(file.string('general.architecture'), 'test');
  assert.equal(file.number('a.uint64'), 2 ** 53 - 1);
  assert.equal(file.integer('a.uint16'), 65535);
  assert.equal(file.boolean('a.true'), true);
  assert.deepEqual(file.booleanArray('b.booleans'), [true, false, true]);
  assert.deepEqual(file.numberArray('b.uint16'), [0, 65535, 3]);
  assert.deepEqual(file.scalarOrArray('a.uint8', 3), [255, 255, 255]);
  assert.deepEqual(file.scalarOrArray('b.uint16', 3), [0, 65535, 3]);
  for (const absent of [
    file.optionalString('no'),
    file.optionalNumber('no'),
    file.optionalInteger('no'),
    file.optionalBoolean('no'),
    file.optionalStringArray('no'),
    file.optionalNumberArray('no'),
    file.optionalBooleanArray('no'),
    file.optionalScalarOrArray('no', 2),
  ]) {
    assert.equal(absent, undefined);
  }
  const wrong: readonly [() => unknown, RegExp][] = [
    [() => file.string('no'), /^memory: metadata key no is missing/],
    [() => file.string('a.uint8'), /a\.uint8 is uint8, expected a string/],
    [() => file.number('a.string'), /a\.string is string, expected a number/],
    [() => file.number('a.uint64.wide'), /18446744073709551615, past 2\^53/],
    [() => file.integer('a.float32'), /is 1.5, expected an integer/],
    [() => file.integer('a.uint8', { most: 254 }), /is 255, expected an integer from 0 to 254/],
    [() => file.boolean('a.uint8'), /expected a boolean/],
    [() => file.stringArray('b.uint8'), /an array of uint8, expected an array of strings/],
    [() => file.numberArray('b.strings'), /expected an array of numbers/],
    [() => file.numberArray('b.uint64'), /past 2\^53/],
    [() => file.scalarOrArray('b.uint16', 4), /has 3 items, expected 4/],
  ];
  for (const [work, message] of wrong) {
    await refused(Promise.resolve().then(work), 'broken-file', message);
  }
});

test('all reference vocabularies are read', async () => {
  for (const name of vocabularyNames) {
    const path = vocabularyFile(name);
    await using file = await readGguf(path);
    const tokens = file.stringArray('tokenizer.ggml.tokens');
    assert.ok(tokens.length >= 32000 && tokens.every((token) => typeof token === 'string'), name);
    assert.equal(file.numberArray('tokenizer.ggml.token_type').length, tokens.length);
    // Read and written again, the bytes are those of the reference writer.
    const { metadata } = file;
    const again = await encodeGguf({ metadata, tensors: [] });
    assert.ok(Buffer.from(again).equals(await readFile(path)), name);
  }
});

test('a split model is read as one, from any of its parts', async (context) => {
  const prefix = join(await temporaryFolder(context), 'model');
  const groups = [everyTensor.slice(0, 2), [], everyTensor.slice(2)];
  const write = (number: number, changes: Record<string, number> = {}) => {
    const value = (key: string, normal: number) => ggufValue.uint16(changes[key] ?? normal);
    return writeGguf(partPath(prefix, number, 3), {
      metadata: [
        ...(number === 0 ? everyValue : []),
        ['split.no', value('split.no', number)],
        ['split.count', value('split.count', 3)],
        ['split.tensors.count', ggufValue.int32(changes.tensors ?? everyTensor.length)],
      ],
      tensors: groups[number] ?? [],
    });
  };
  for (const number of [0, 1, 2]) await write(number);
  for (const number of [0, 2]) {
    await using file = await readGguf(partPath(prefix, number, 3));
    assert.equal(file.files.length, 3);
    assert.equal(file.string('general.architecture'), 'test');
    assert.deepEqual(
      [...file.tensors.keys()],
      everyTensor.map(({ name }) => name),
    );
    for (const { name, data } of everyTensor) {
      const info = file.tensors.get(name);
      assert.ok(info);
      const bytes = new Uint8Array(info.bytes);
      await file.readTensor(info, bytes);
      assert.deepEqual(bytes, data);
    }
  }
  const open = () => readGguf(partPath(prefix, 0, 3));
  await write(1, { 'split.no': 2 });
  await refused(open(), 'broken-file', /00002-of-00003\.gguf says it is part 3 of 3/);
  await write(1, { 'split.count': 4 });
  await refused(open(), 'broken-file', /says it is part 2 of 4, expected 2 of 3/);
  await write(1);
  await write(0, { tensors: 9 });
  await refused(open(), 'broken-file', /the parts hold 6 tensors, expected 9/);
  await write(0);
  await truncate(partPath(prefix, 2, 3), 400);
  await refused(open(), 'broken-file', /00003-of-00003\.gguf is truncated/);
  await writeFile(partPath(prefix, 2, 3), await readFile(partPath(prefix, 0, 3)));
  await refused(open(), 'broken-file', /00003-of-00003\.gguf says it is part 1/);
  await truncate(partPath(prefix, 2, 3), 0);
  await refused(open(), 'broken-file', /00003-of-00003\.gguf is truncated/);
  const { rm } = await import('node:fs/promises');
  await rm(partPath(prefix, 2, 3));
  const missing = await refused(open(), 'model-not-found', /Part 3 of 3 is missing.*00003-of-0/);
  assert.equal(missing.details.file, partPath(prefix, 2, 3));
});

test('tensors that are in two parts, and parts under other names, are refused', async (context) => {
  const folder = await temporaryFolder(context);
  const write = (path: string, number: number) =>
    writeGguf(path, {
      metadata: [
        ['split.no', ggufValue.uint16(number)],
        ['split.count', ggufValue.uint16(2)],
        ['split.tensors.count', ggufValue.int32(2)],
      ],
      tensors: [patterned('same', 'F32', [4])],
    });
  const prefix = join(folder, 'm');
  await write(partPath(prefix, 0, 2), 0);
  await write(partPath(prefix, 1, 2), 1);
  await refused(readGguf(partPath(prefix, 0, 2)), 'broken-file', /tensor same is already in an/);
  await write(join(folder, 'renamed.gguf'), 0);
  const error = await refused(
    readGguf(join(folder, 'renamed.gguf')),
    'broken-file',
    /not named so/,
  );
  assert.match(error.hint ?? '', /-00001-of-00002\.gguf/);
});

test('what is no readable file is refused by kind', async (context) => {
  const folder = await temporaryFolder(context);
  await refused(
    readGguf(join(folder, 'no.gguf')),
    'model-not-found',
    /There is no file .*no\.gguf/,
  );
  await refused(readGguf(join(folder, 'no', 'no.gguf')), 'model-not-found', /no file/);
  await mkdir(join(folder, 'folder.gguf'));
  await refused(readGguf(join(folder, 'folder.gguf')), 'model-not-found', /is a folder/);
  await refused(readGguf('/dev/null'), 'model-not-found', /not a regular file/);
});

test('a truncated file says how many bytes are missing', async (context) => {
  const path = join(await temporaryFolder(context), 'cut.gguf');
  const size = await writeGguf(path, everything);
  // The last tensor has 18 bytes in a padding of 32.
  await truncate(path, size - 14 - 10);
  const error = await refused(readGguf(path), 'broken-file', /truncated.*blk\.0\.d needs 10 bytes/);
  assert.equal(error.details.missing, 10);
  assert.match(error.hint ?? '', /download the file again/);
  const bytes = await readFile(path);
  for (let length = 0; length < 1500; length += 7) {
    await refused(readBytes(bytes.subarray(0, length)), 'broken-file', /truncated|damaged/);
  }
});

test('a file that shrinks after it was opened is an error, as is reading after close', async (context) => {
  const path = join(await temporaryFolder(context), 'shrinks.gguf');
  const size = await writeGguf(path, everything);
  const file = await readGguf(path);
  const info = file.tensors.get('blk.0.d');
  assert.ok(info);
  await assert.rejects(file.readTensor(info, new Uint8Array(info.bytes + 1)), /do not fit/);
  await truncate(path, size - 20);
  const work = file.readTensor(info, new Uint8Array(info.bytes));
  await refused(work, 'broken-file', /became shorter/);
  await file.close();
  await file.close();
  await refused(file.readTensor(info, new Uint8Array(info.bytes)), 'disposed', /was closed/);
});

test('an aborted read stops', async () => {
  const signal = AbortSignal.abort();
  await assert.rejects(readGguf(vocabularyFile('gpt-2'), { signal }), { code: 'aborted' });
});

test('a boolean key keeps its type through the raw bytes', async () => {
  const file = await readBytes(rawFile({ entries: [entry('k', 7, u8(1)), entry('n', 4, u32(9))] }));
  assert.equal(file.boolean('k'), true);
  assert.equal(file.number('n'), 9);
});
