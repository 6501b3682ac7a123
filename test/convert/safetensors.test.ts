import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { readHeader } from '../../src/convert/safetensors.js';
import { readSentencePieces } from '../../src/convert/sentencepiece.js';
import { memorySource } from '../../src/gguf/source.js';
import { randomNumbers } from '../tokenizer/random-text.js';
import { fileOf, safetensors } from './checkpoint.js';

async function codeOf(bytes: Uint8Array): Promise<string> {
  try {
    await readHeader(memorySource(bytes));
    return 'read';
  } catch (error) {
    assert.ok(PacelineError.is(error), String(error));
    return error.code;
  }
}

const tensor = (dtype: string, shape: unknown, offsets: unknown) => ({
  a: { dtype, shape, data_offsets: offsets },
});
const data = Buffer.alloc(32);
const cases: readonly (readonly [name: string, file: Buffer, code: string])[] = [
  ['a proper file', fileOf(JSON.stringify(tensor('F32', [2, 4], [0, 32])), data), 'read'],
  ['an empty tensor', fileOf(JSON.stringify(tensor('F32', [0, 4], [8, 8])), data), 'read'],
  ['nothing', Buffer.alloc(0), 'broken-file'],
  ['a length past the end', fileOf('{}', data, 1000), 'broken-file'],
  ['a length of 2^63', fileOf('{}', data, 2 ** 62), 'broken-file'],
  ['no JSON', fileOf('{"a":', data), 'broken-file'],
  ['a list', fileOf('[1, 2]', data), 'broken-file'],
  ['a tensor that is a number', fileOf('{"a": 7}', data), 'broken-file'],
  ['FP8', fileOf(JSON.stringify(tensor('F8_E4M3', [32], [0, 32])), data), 'read'],
  [
    'another FP8',
    fileOf(JSON.stringify(tensor('F8_E5M2', [32], [0, 32])), data),
    'unsupported-type',
  ],
  [
    'a type of the prototype',
    fileOf(JSON.stringify(tensor('constructor', [32], [0, 32])), data),
    'unsupported-type',
  ],
  [
    'offsets past the end',
    fileOf(JSON.stringify(tensor('F32', [10], [0, 40])), data),
    'broken-file',
  ],
  [
    'offsets turned round',
    fileOf(JSON.stringify(tensor('F32', [2], [16, 8])), data),
    'broken-file',
  ],
  ['negative offsets', fileOf(JSON.stringify(tensor('F32', [2], [-8, 0])), data), 'broken-file'],
  [
    'a negative extent',
    fileOf(JSON.stringify(tensor('F32', [-2, -1], [0, 8])), data),
    'broken-file',
  ],
  ['a fraction', fileOf(JSON.stringify(tensor('F32', [1.5], [0, 6])), data), 'broken-file'],
  [
    'extents past 2^53',
    fileOf(JSON.stringify(tensor('F32', [2 ** 40, 2 ** 40], [0, 32])), data),
    'broken-file',
  ],
  [
    'a shape that is a text',
    fileOf(JSON.stringify(tensor('F32', '8', [0, 32])), data),
    'broken-file',
  ],
  [
    'tensors that overlap',
    fileOf(
      JSON.stringify({
        a: { dtype: 'F32', shape: [4], data_offsets: [0, 16] },
        b: { dtype: 'F32', shape: [4], data_offsets: [12, 28] },
      }),
      data,
    ),
    'broken-file',
  ],
];

for (const [name, file, code] of cases) {
  test(`safetensors: ${name}`, async () => assert.equal(await codeOf(file), code));
}

test('safetensors: changed bytes are read or refused, and never end otherwise', async () => {
  const whole = safetensors(
    [
      ['one', { shape: [3, 2], values: new Float32Array(6) }],
      ['two', { shape: [5], values: new Float32Array(5) }],
    ],
    'F32',
  );
  const random = randomNumbers(5);
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.from(whole.subarray(0, 1 + Math.floor(random() * whole.length)));
    for (let change = 0; change < 3; change++) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    if ((await codeOf(bytes)) !== 'read') refused++;
  }
  assert.ok(refused > 2000);
});

/** A protocol buffer with pieces, as sentencepiece writes it. */
function pieces(all: readonly (readonly [text: string, score: number, type: number])[]): Buffer {
  const parts = all.map(([text, score, type]) => {
    const bytes = Buffer.from(text);
    const number = Buffer.alloc(4);
    number.writeFloatLE(score);
    const piece = Buffer.concat([
      ...[Buffer.from([0x0a, bytes.length]), bytes, Buffer.from([0x15]), number],
      Buffer.from([0x18, type]),
    ]);
    return Buffer.concat([Buffer.from([0x0a, piece.length]), piece]);
  });
  // A field of the trainer's settings, which is skipped.
  return Buffer.concat([...parts, Buffer.from([0x12, 2, 0x08, 1])]);
}

test('sentencepiece: pieces come in order, other fields are skipped', () => {
  const read = readSentencePieces(
    pieces([
      ['<unk>', 0, 2],
      ['▁a', -1.5, 1],
      ['<0x0A>', 0, 6],
    ]),
    'x',
  );
  assert.deepEqual(read, [
    { text: '<unk>', score: 0, type: 2 },
    { text: '▁a', score: -1.5, type: 1 },
    { text: '<0x0A>', score: 0, type: 6 },
  ]);
});

test('sentencepiece: changed bytes are read or refused, and never end otherwise', () => {
  const whole = pieces(Array.from({ length: 20 }, (_, at) => [`piece${at}`, -at, 1] as const));
  const random = randomNumbers(9);
  let refused = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.from(whole.subarray(0, Math.floor(random() * whole.length)));
    for (let change = 0; change < 2 && bytes.length > 0; change++) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    try {
      readSentencePieces(bytes, 'fuzzed');
    } catch (error) {
      assert.ok(PacelineError.is(error) && error.code === 'broken-file', String(error));
      refused++;
    }
  }
  assert.ok(refused > 2000);
});
