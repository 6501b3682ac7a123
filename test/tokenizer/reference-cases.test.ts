/** The cases that come with the reference's vocabularies: texts (`.inp`) and their ids (`.out`). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readGguf } from '../../src/gguf/reader.js';
import { createTokenizer } from '../../src/tokenizer/tokenizer.js';
import { sharedFile } from '../support/shared.js';

export const vocabularies = [
  'deepseek-llm',
  'gemma-4',
  'gpt-2',
  'llama-bpe',
  'llama-spm',
  'qwen2',
] as const;

for (const name of vocabularies) {
  test(`${name}: every case of the reference, and back`, async () => {
    const path = sharedFile('vocab', `ggml-vocab-${name}.gguf`);
    await using file = await readGguf(path);
    const tokenizer = createTokenizer(file);
    const texts = readFileSync(`${path}.inp`, 'utf8').split('\n__ggml_vocab_test__\n');
    const outputs = readFileSync(`${path}.out`, 'utf8').split('\n');
    if (texts.at(-1) === '') texts.pop();
    if (outputs.at(-1) === '') outputs.pop();
    assert.ok(texts.length > 40);
    assert.equal(texts.length, outputs.length);
    for (const [index, text] of texts.entries()) {
      const ids = tokenizer.encode(text, { addSpecial: false });
      const expected = (outputs[index] ?? '').trim().split(' ').filter(Boolean).map(Number);
      assert.deepEqual(ids, expected, JSON.stringify(text));
      assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
    }
  });
}
