/**
 * Makes the vocabularies of the tests from a checkout of llama.cpp, which is in the npm package
 * node-llama-cpp 3.22.1: `git clone node_modules/node-llama-cpp/llama/gitRelease.bundle llama.cpp`.
 * Usage: node --import tsx test/support/pack-vocabularies.ts llama.cpp/models
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readGguf } from '../../src/gguf/reader.js';
import {
  casesPath,
  packedPath,
  packVocabulary,
  type ReferenceCase,
  unpackVocabulary,
  vocabularyNames,
} from './vocabularies.js';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('Name the folder with the vocabularies');

/** Where the first item of a list of strings is: behind its key, its two types and its length. */
function firstItem(file: Buffer, key: string): number {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(key.length));
  return file.indexOf(Buffer.concat([length, Buffer.from(key)])) + 8 + key.length + 4 + 4 + 8;
}

function cases(path: string): ReferenceCase[] {
  const texts = readFileSync(`${path}.inp`, 'utf8').split('\n__ggml_vocab_test__\n');
  const lines = readFileSync(`${path}.out`, 'utf8').split('\n');
  if (texts.at(-1) === '') texts.pop();
  return texts.map((text, index) => ({
    text,
    ids: (lines[index] ?? '').trim().split(' ').filter(Boolean).map(Number),
  }));
}

mkdirSync(dirname(casesPath), { recursive: true });
const all: Record<string, ReferenceCase[]> = {};
for (const name of vocabularyNames) {
  const path = join(folder, `ggml-vocab-${name}.gguf`);
  const file = readFileSync(path);
  await using header = await readGguf(path);
  const tokens = header.stringArray('tokenizer.ggml.tokens').length;
  const hasMerges = header.metadata.has('tokenizer.ggml.merges');
  const merges = hasMerges ? header.stringArray('tokenizer.ggml.merges').length : 0;
  const packed = packVocabulary(file, {
    tokensAt: firstItem(file, 'tokenizer.ggml.tokens'),
    tokens,
    mergesAt: hasMerges ? firstItem(file, 'tokenizer.ggml.merges') : file.length,
    merges,
  });
  if (!unpackVocabulary(packed).equals(file)) throw new Error(`${name} does not unpack`);
  writeFileSync(packedPath(name), packed);
  all[name] = cases(path);
  console.log(`${name}: ${file.length} bytes as ${packed.length}`);
}
const lines = Object.entries(all).map(
  ([name, list]) =>
    `${JSON.stringify(name)}: [\n${list.map((item) => `  ${JSON.stringify(item)}`).join(',\n')}\n]`,
);
writeFileSync(casesPath, `{\n${lines.join(',\n')}\n}\n`);
