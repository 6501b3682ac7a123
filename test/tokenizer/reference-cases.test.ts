/** The cases that come with the reference's vocabularies: texts and their ids. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readGguf } from '../../src/gguf/reader.js';
import { createTokenizer } from '../../src/tokenizer/tokenizer.js';
import { referenceCases, vocabularyFile, vocabularyNames } from '../support/vocabularies.js';

for (const name of vocabularyNames) {
  test(`${name}: every case of the reference, and back`, async () => {
    await using file = await readGguf(vocabularyFile(name));
    const tokenizer = createTokenizer(file);
    const cases = referenceCases(name);
    assert.ok(cases.length > 40);
    for (const { text, ids } of cases) {
      assert.deepEqual(tokenizer.encode(text, { addSpecial: false }), ids, JSON.stringify(text));
      assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
    }
  });
}
