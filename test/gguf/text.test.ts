/** Strings that are not UTF-8: nothing is refused, nothing is lost. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesOfText, textOfBytes } from '../../src/gguf/text.js';
import { ggufValue } from '../../src/gguf/values.js';
import { encodeGguf } from '../../src/gguf/writer.js';
import { randomNumbers } from '../tokenizer/random-text.js';
import { entry, rawFile, tensor, text, u32, u64 } from './raw.js';
import { plain, readBytes, refused } from './support.js';

/** Bytes, and the text that Python's `bytes.decode('utf-8', 'surrogateescape')` makes of them. */
const cases: readonly (readonly [string, string])[] = [
  ['61ff62', 'a\udcffb'],
  ['c3', '\udcc3'],
  ['c3a9', 'é'],
  ['c3c3a9a9', '\udcc3é\udca9'],
  ['c0af', '\udcc0\udcaf'],
  ['e08080', '\udce0\udc80\udc80'],
  ['eda080', '\udced\udca0\udc80'],
  ['ed9fbf', '\ud7ff'],
  ['f09f90', '\udcf0\udc9f\udc90'],
  ['f09f9099ff', '🐙\udcff'],
  ['f4908080', '\udcf4\udc90\udc80\udc80'],
  ['f48fbfbf80', '\u{10ffff}\udc80'],
  ['f8888080', '\udcf8\udc88\udc80\udc80'],
  ['efbbbfff', '\ufeff\udcff'],
];

describe('bytes that are not UTF-8', () => {
  for (const [hex, expected] of cases) {
    test(hex, () => {
      const bytes = Buffer.from(hex, 'hex');
      assert.equal(textOfBytes(bytes), expected);
      assert.deepEqual(bytesOfText(expected), bytes);
    });
  }

  test('any bytes come back', () => {
    const random = randomNumbers(3);
    const leads = [0x20, 0x41, 0x80, 0xbf, 0xc3, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xff];
    for (let count = 0; count < 20_000; count++) {
      const bytes = Buffer.from(
        Array.from({ length: Math.floor(random() * 12) }, () =>
          random() < 0.6
            ? (leads[Math.floor(random() * leads.length)] as number)
            : Math.floor(random() * 256),
        ),
      );
      const text = textOfBytes(bytes);
      assert.deepEqual(bytesOfText(text), bytes, bytes.toString('hex'));
      // Where no byte is foreign, the text is what UTF-8 says.
      const valid = bytes.toString('utf8');
      if (Buffer.from(valid).equals(bytes)) assert.equal(text, valid);
    }
  });

  test('megabytes of them are read in one go', () => {
    const bytes = Buffer.alloc(4 * 2 ** 20, 0xe1);
    assert.equal(textOfBytes(bytes).length, bytes.length);
  });
});

test('a file with such keys, names and strings is read, and written as it was', async () => {
  const foreign = Buffer.from([0x61, 0xff]);
  const half = Buffer.from([0xc3]);
  const other = Buffer.from([0xa9]);
  const file = await readBytes(
    rawFile({
      entries: [
        entry('general.name', 8, text(foreign)),
        entry(foreign, 8, text('b')),
        entry('k', 9, u32(8), u64(5), ...['x', half, other, 'é', ''].map(text)),
      ],
      tensors: [tensor({ name: Buffer.from([0x62, 0xfe]) })],
    }),
  );
  assert.equal(file.optionalString('general.name'), 'a\udcff');
  assert.equal(file.optionalString('a\udcff'), 'b');
  assert.deepEqual(file.stringArray('k'), ['x', '\udcc3', '\udca9', 'é', '']);
  assert.deepEqual([...file.tensors.keys()], ['b\udcfe']);
  const tensors = [...file.tensors.values()].map(({ name, type, shape, bytes }) => ({
    ...{ name, type, shape, data: new Uint8Array(bytes) },
  }));
  const bytes = await encodeGguf({ metadata: file.metadata, tensors });
  for (const part of [foreign, half, Buffer.from([0x62, 0xfe])]) {
    assert.ok(Buffer.from(bytes).includes(part));
  }
  const again = await readBytes(bytes);
  const values = ({ metadata }: typeof file) => [...metadata].map(([, value]) => plain(value));
  assert.deepEqual(values(again), values(file));
  assert.deepEqual([...again.tensors.keys()], [...file.tensors.keys()]);
});

test('a lone surrogate that stands for no byte is not written', async () => {
  for (const wrong of ['\ud800', '\udc7f', '\udd00', 'a\udfff']) {
    const metadata = [['k', ggufValue.string(wrong)]] as const;
    await refused(
      encodeGguf({ metadata, tensors: [] }).catch((error: unknown) => {
        throw Object.assign(error as Error, { hint: 'none' });
      }),
      'internal',
      /not valid Unicode/,
    );
  }
});
