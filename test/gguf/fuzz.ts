/**
 * Mutates GGUF files and checks that each is read or refused with a typed error, in under a second,
 * with memory bounded by the file's size, and that what was read is consistent: tensors lie inside
 * the file, a second round through the writer changes nothing, and ggml, where it reads the same
 * bytes, sees the same. Mutations are a function of the seed.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { PacelineError } from '../../src/base/errors.js';
import { type GgufFile, readGgufFrom } from '../../src/gguf/reader.js';
import { type ByteSource, memorySource } from '../../src/gguf/source.js';
import { bytesOfText } from '../../src/gguf/text.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { ggufValue } from '../../src/gguf/values.js';
import { encodeGguf } from '../../src/gguf/writer.js';
import { vocabularyFile, vocabularyNames } from '../support/vocabularies.js';
import { readWithGgml } from './oracle.js';
import {
  checkConsistent,
  everyTensor,
  everything,
  everyValue,
  nestedValue,
  patterned,
  plain,
  readBytes,
} from './support.js';

/** A file to mutate, alone or as a part of a split model. */
interface Base {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Parts beside the mutated one, by path; the mutated one is `path`. */
  readonly path: string;
  readonly others: ReadonlyMap<string, Uint8Array>;
  /** Share of the rounds; large files get few. */
  readonly weight: number;
  /** Positions of what looks like a 64-bit length or count. */
  readonly lengths: readonly number[];
}

export interface FuzzReport {
  readonly rounds: number;
  readonly read: number;
  readonly refused: number;
  /** Files that ggml read too, and saw alike. */
  readonly agreed: number;
  readonly slowestMs: number;
  readonly bases: number;
}

/** Runs `rounds` mutations. Fails with base, round and seed in the message. */
export async function fuzz(rounds: number, seed: number): Promise<FuzzReport> {
  const bases = await makeBases();
  const wheel = bases.flatMap((base) => new Array<Base>(base.weight).fill(base));
  const random = new Random(seed);
  const report = { rounds, read: 0, refused: 0, agreed: 0, slowestMs: 0, bases: bases.length };
  for (let round = 0; round < rounds; round++) {
    const base = wheel[random.below(wheel.length)] as Base;
    const bytes = mutate(base, random);
    try {
      const outcome = await tryOne(base, bytes, round % 4 === 0);
      report.slowestMs = Math.max(report.slowestMs, outcome.ms);
      if (outcome.read) report.read++;
      else report.refused++;
      if (outcome.agreed) report.agreed++;
    } catch (error) {
      const where = `${base.name}, seed ${seed}, round ${round}`;
      throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
    }
  }
  return report;
}

interface Outcome {
  readonly read: boolean;
  readonly agreed: boolean;
  readonly ms: number;
}

async function tryOne(base: Base, bytes: Uint8Array, thorough: boolean): Promise<Outcome> {
  const total = [...base.others.values()].reduce((sum, other) => sum + other.length, bytes.length);
  const before = process.memoryUsage();
  const start = performance.now();
  let file: GgufFile | undefined;
  try {
    file = await readGgufFrom(base.path, opener(base, bytes));
  } catch (error) {
    if (!PacelineError.is(error)) throw error;
    const known = ['broken-file', 'unsupported-type', 'model-not-found'].includes(error.code);
    assert.ok(known && error.hint, `refused as ${error.code}: ${error.message}`);
    // A changed count of parts asks for parts that are not there; nothing else may.
    assert.ok(error.code !== 'model-not-found' || error.details.part, error.message);
  }
  const ms = performance.now() - start;
  assert.ok(ms < 1000, `took ${ms} ms`);
  const after = process.memoryUsage();
  // Two windows of at most 1 MiB, one copy of the largest value, the values themselves.
  const buffers = after.arrayBuffers - before.arrayBuffers;
  assert.ok(buffers <= 4 * total + 2 ** 22, `${buffers} bytes of buffers for ${total} of file`);
  const heap = after.heapUsed - before.heapUsed;
  assert.ok(heap <= 64 * total + 2 ** 24, `${heap} bytes of heap for ${total} of file`);
  if (file === undefined) return { read: false, agreed: false, ms };
  if (file.files.length === 1) checkConsistent(file, bytes.length);
  await readAllTensors(file);
  const small = bytes.length < 100_000 && file.files.length === 1;
  if (!thorough || !small) return { read: true, agreed: false, ms };
  await checkRewritten(file);
  return { read: true, agreed: compareWithGgml(file, bytes), ms };
}

function opener(base: Base, bytes: Uint8Array): (path: string) => Promise<ByteSource> {
  return async (path) => {
    const found = path === base.path ? bytes : base.others.get(path);
    if (found === undefined) throw new PacelineError('model-not-found', `There is no file ${path}`);
    return memorySource(found, path);
  };
}

async function readAllTensors(file: GgufFile): Promise<void> {
  for (const tensor of file.tensors.values()) {
    await file.readTensor(tensor, new Uint8Array(tensor.bytes));
  }
}

/** What was read can be written, and reads the same again. */
async function checkRewritten(file: GgufFile): Promise<void> {
  const tensors = [...file.tensors.values()].filter(({ name }) => Buffer.byteLength(name) < 64);
  const again = await readBytes(
    await encodeGguf({
      metadata: file.metadata,
      tensors: tensors.map((tensor) => ({
        ...tensor,
        data: async () => {
          const data = new Uint8Array(tensor.bytes);
          await file.readTensor(tensor, data);
          return data;
        },
      })),
    }),
  );
  assert.deepEqual(
    [...again.metadata].map(([key, value]) => [key, plain(value)]),
    [...file.metadata].map(([key, value]) => [key, plain(value)]),
  );
  const facts = ({ name, type, shape }: (typeof tensors)[number]) => ({ name, type, shape });
  assert.deepEqual([...again.tensors.values()].map(facts), tensors.map(facts));
}

/** True when ggml reads the bytes too; then it must see what we see. */
function compareWithGgml(file: GgufFile, bytes: Uint8Array): boolean {
  const theirs = readWithGgml(bytes);
  if (theirs === undefined) return false;
  assert.equal(theirs.version, file.version);
  assert.deepEqual(
    theirs.entries.map(({ key, type, itemType, value }) => [key, type, itemType, summary(value)]),
    [...file.metadata].map(([key, entry]) => [
      asDecoded(key),
      entry.type,
      entry.type === GgufValueType.ARRAY ? entry.itemType : undefined,
      summary(comparable(entry)),
    ]),
  );
  assert.deepEqual(
    theirs.tensors.map(({ name, type, extents, offset, bytes: size }) => ({
      name,
      type,
      shape: extents,
      offset,
      bytes: size,
    })),
    [...file.tensors.values()].map(({ name, type, shape, offset, bytes: size }) => ({
      name: asDecoded(name),
      type,
      shape: [0, 1, 2, 3].map((axis) => shape[axis] ?? 1),
      offset,
      bytes: size,
    })),
  );
  return true;
}

function comparable(entry: GgufMetadataEntry): unknown {
  if (entry.type === GgufValueType.BOOL) return Number(entry.value);
  return entry.type === GgufValueType.ARRAY ? [...entry.value] : entry.value;
}

/** C strings end at a NUL, 64-bit integers come as numbers or bigints. */
function summary(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(summary);
  return typeof value === 'string' ? asDecoded(value.split('\0')[0] ?? '') : String(value);
}

/** As the FFI decodes the bytes: foreign ones become U+FFFD. */
function asDecoded(text: string): string {
  return bytesOfText(text).toString('utf8');
}

async function makeBases(): Promise<Base[]> {
  const bases: Base[] = [];
  const add = (name: string, weight: number, bytes: Uint8Array, others?: Map<string, Uint8Array>) =>
    bases.push({
      name,
      path: others === undefined ? name : 'm-00002-of-00002.gguf',
      bytes,
      weight,
      others: others ?? new Map(),
      lengths: lengthFields(bytes),
    });
  add('every value and tensor', 30, await encodeGguf(everything));
  add('nested arrays', 10, await encodeGguf({ metadata: [nestedValue], tensors: everyTensor }));
  const alignment = ['general.alignment', ggufValue.uint32(64)] as const;
  add('aligned', 15, await encodeGguf({ metadata: [alignment], tensors: everyTensor }));
  const part = (number: number) => [
    ['split.no', ggufValue.uint16(number)] as const,
    ['split.count', ggufValue.uint16(2)] as const,
    ['split.tensors.count', ggufValue.int32(everyTensor.length + 1)] as const,
  ];
  const first = await encodeGguf({
    metadata: [...everyValue, ...part(0)],
    tensors: [patterned('first', 'F32', [4])],
  });
  const second = await encodeGguf({ metadata: part(1), tensors: everyTensor });
  add('part of a split model', 15, second, new Map([['m-00001-of-00002.gguf', first]]));

  for (const name of vocabularyNames) {
    const bytes = await readFile(vocabularyFile(name));
    // Whole where that is quick, its beginning, and a version with short lists and with tensors.
    if (bytes.length < 2_000_000) add(name, 1, bytes);
    add(`${name}, first 4 KB`, 3, bytes.subarray(0, 4096));
    add(`${name}, first 300 KB`, 2, bytes.subarray(0, 300_000));
    const metadata = [...(await readBytes(bytes)).metadata].map(
      ([key, entry]) => [key, shortened(entry)] as const,
    );
    add(`${name}, short`, 15, await encodeGguf({ metadata, tensors: everyTensor }));
  }
  return bases;
}

function shortened(entry: GgufMetadataEntry): GgufMetadataEntry {
  if (entry.type !== GgufValueType.ARRAY) return entry;
  return { ...entry, value: entry.value.slice(0, 40) } as GgufMetadataEntry;
}

/** Positions whose 64 bits are a number that could be a length in this file. */
function lengthFields(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: number[] = [];
  for (let at = 0; at + 8 <= bytes.length && fields.length < 5000; at++) {
    const low = view.getUint32(at, true);
    if (view.getUint32(at + 4, true) === 0 && low > 0 && low < 300_000) fields.push(at);
  }
  return fields;
}

type Mutation = (bytes: Uint8Array<ArrayBuffer>, base: Base, random: Random) => Uint8Array;

const mutations: readonly Mutation[] = [
  function flipBits(bytes, _base, random) {
    for (let left = 1 + random.below(8); left > 0; left--) {
      const at = random.place(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    }
    return bytes;
  },
  function setBytes(bytes, _base, random) {
    const at = random.place(bytes.length);
    const value = random.below(3) === 0 ? random.below(256) : random.pick([0, 0xff, 0x7f, 0x80]);
    return bytes.fill(value, at, at + 1 + random.below(8));
  },
  function editLength(bytes, base, random) {
    const at = random.pick(base.lengths);
    if (at + 8 > bytes.length) return bytes;
    const view = new DataView(bytes.buffer);
    const old = view.getBigUint64(at, true);
    const rest = BigInt(bytes.length - at - 8);
    const values = [old + 1n, old - 1n, old * 2n, rest, rest + 1n, rest / 8n, rest / 8n + 1n];
    view.setBigUint64(at, BigInt.asUintN(64, random.pick([...values, ...hugeCounts])), true);
    return bytes;
  },
  function editWord(bytes, _base, random) {
    if (bytes.length < 4) return bytes;
    const at = random.place(bytes.length - 3);
    const values = [0, 1, 2, 5, 8, 9, 12, 13, 31, 43, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
    new DataView(bytes.buffer).setUint32(at, random.pick(values), true);
    return bytes;
  },
  function copyRange(bytes, _base, random) {
    const from = random.place(bytes.length);
    return bytes.copyWithin(random.place(bytes.length), from, from + 1 + random.below(64));
  },
  function insertRange(bytes, _base, random) {
    const at = random.place(bytes.length);
    const from = random.place(bytes.length);
    const piece = bytes.subarray(from, from + 1 + random.below(200));
    return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
  },
  function deleteRange(bytes, _base, random) {
    const at = random.place(bytes.length);
    const after = bytes.subarray(at + 1 + random.below(64));
    return Buffer.concat([bytes.subarray(0, at), after]);
  },
  function truncate(bytes, _base, random) {
    return bytes.subarray(0, random.place(bytes.length));
  },
  function swapText(bytes, _base, random) {
    // Another letter keeps the structure, so that the reader gets far.
    const at = random.place(bytes.length);
    const byte = bytes[at] ?? 0;
    if (byte >= 0x61 && byte <= 0x7a) bytes[at] = 0x61 + random.below(26);
    return bytes;
  },
];

const hugeCounts = [
  0n,
  1n,
  2n ** 16n,
  2n ** 31n - 1n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 40n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 61n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

function mutate(base: Base, random: Random): Uint8Array {
  let bytes: Uint8Array = base.bytes;
  const many = random.below(4) === 0 ? 1 + random.below(4) : 1;
  for (let left = many; left > 0; left--) {
    bytes = random.pick(mutations)(Uint8Array.from(bytes), base, random);
  }
  return bytes;
}

/** A small seeded generator (xorshift32), so that a failing round can be run again. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return Math.floor(((x >>> 0) / 2 ** 32) * limit);
  }

  /** A position, every other time within the first kilobyte, where the structure is. */
  place(length: number): number {
    return this.below(this.below(2) === 0 ? Math.min(length, 1024) : length);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}
