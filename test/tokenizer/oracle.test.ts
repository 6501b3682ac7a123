/** Random texts against libllama: every vocabulary at hand, and every pre-tokenizer's rules. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type GgufFile, readGguf } from '../../src/gguf/reader.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { preTokenizerNames } from '../../src/tokenizer/pre-tokenizers.js';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js';
import { wellFormed } from '../../src/tokenizer/unicode.js';
import { vocabularyFile, vocabularyNames } from '../support/vocabularies.js';
import { OracleVocabulary } from './libllama-vocabulary.js';
import { randomNumbers, randomText } from './random-text.js';
import {
  characterMap,
  plainBpeEntries,
  unigramEntries,
  wordPieceEntries,
  writeVocabulary,
} from './random-vocabulary.js';

const folder = mkdtempSync(join(tmpdir(), 'paceline-tokenizer-'));
after(() => rmSync(folder, { recursive: true }));

/** Writes the file's metadata with some values changed; returns the new file's path. */
async function rewrite(
  file: GgufFile,
  name: string,
  changes: Readonly<Record<string, GgufMetadataEntry>>,
): Promise<string> {
  const path = join(folder, `${name}.gguf`);
  const metadata = new Map([...file.metadata, ...Object.entries(changes)]);
  await writeGguf(path, { metadata, tensors: [] });
  return path;
}

async function compare(path: string, texts: number, seed = 1): Promise<void> {
  await using file = await readGguf(path);
  const tokenizer = createTokenizer(file);
  using oracle = new OracleVocabulary(path);
  const names = tokenizer.vocabulary.specialIds.map((id) => tokenizer.tokenText(id));
  const random = randomNumbers(seed);
  for (let count = 0; count < texts; count++) {
    const text = randomText(random, count % 4 === 0 ? 40 : 8, names);
    compareText(tokenizer, oracle, text);
    const ids = Array.from({ length: 8 }, () => Math.floor(random() * tokenizer.vocabSize));
    compareDecoding(tokenizer, oracle, ids);
  }
}

function compareText(tokenizer: Tokenizer, oracle: OracleVocabulary, text: string): void {
  for (const parseSpecial of [false, true]) {
    const ids = tokenizer.encode(text, { addSpecial: parseSpecial, parseSpecial });
    const expected = oracle.encode(wellFormed(text), parseSpecial, parseSpecial);
    assert.deepEqual(ids, expected, `parseSpecial ${parseSpecial}: ${JSON.stringify(text)}`);
    compareDecoding(tokenizer, oracle, ids);
  }
}

function compareDecoding(tokenizer: Tokenizer, oracle: OracleVocabulary, ids: number[]): void {
  for (const removeSpecial of [false, true]) {
    const unparseSpecial = !removeSpecial;
    const options = { removeSpecial, unparseSpecial, compatible: true };
    const bytes = Buffer.from(tokenizer.decodeBytes(ids, options));
    const expected = oracle.decode(ids, removeSpecial, unparseSpecial);
    assert.equal(bytes.toString('latin1'), expected.toString('latin1'), ids.join(' '));
  }
}

describe('random texts in real vocabularies', () => {
  for (const name of vocabularyNames) {
    test(name, () => compare(vocabularyFile(name), 250));
  }
});

describe('the tokens of real vocabularies', () => {
  for (const name of ['deepseek-llm', 'gpt-2', 'llama-spm', 'qwen2'] as const) {
    test(name, async () => {
      const path = vocabularyFile(name);
      await using file = await readGguf(path);
      const tokenizer = createTokenizer(file);
      using oracle = new OracleVocabulary(path);
      assert.equal(tokenizer.vocabSize, oracle.vocabSize);
      assert.equal(tokenizer.bosId ?? -1, oracle.bos);
      assert.equal(tokenizer.eosId ?? -1, oracle.eos);
      for (let id = 0; id < tokenizer.vocabSize; id++) {
        assert.equal(tokenizer.isEndOfGeneration(id), oracle.isEndOfGeneration(id), `end ${id}`);
        if (id % 13 !== 0 && !tokenizer.isSpecial(id)) continue;
        const piece = Buffer.from(tokenizer.tokenBytes(id));
        assert.deepEqual(piece, oracle.piece(id, true), `piece ${id}`);
        const visible = tokenizer.isControl(id) ? Buffer.alloc(0) : piece;
        assert.deepEqual(visible, oracle.piece(id, false), `visible piece ${id}`);
      }
    });
  }
});

/** Names with the same rules need only one comparison. */
const representatives = new Set([
  ...['afmoe', 'bailingmoe', 'bloom', 'chameleon', 'command-r', 'dbrx', 'deepseek-coder'],
  ...['deepseek-llm', 'deepseek-v3', 'default', 'exaone-moe', 'falcon', 'glm4', 'gpt-2', 'gpt-4o'],
  ...['granite-embed-multi-97m', 'jais-2', 'kimi-k2', 'laguna', 'llama3', 'minicpm5', 'poro-chat'],
  ...['qwen2', 'qwen35', 'sarvam-moe', 'seed-coder', 'spark2_5', 'starcoder', 'superbpe', 'tekken'],
  ...['tiny_aya', 'trillion', 'ufakzeka', 'viking', 'youtu', 'gemma4', 'megrez'],
]);

describe('rules of pre-tokenizers, in the vocabulary of GPT-2', () => {
  for (const pre of preTokenizerNames().filter((name) => representatives.has(name))) {
    test(pre, async () => {
      await using file = await readGguf(vocabularyFile('gpt-2'));
      const value = { type: GgufValueType.STRING, value: pre };
      await compare(await rewrite(file, pre, { 'tokenizer.ggml.pre': value }), 40, 2);
    });
  }
});

describe('settings of SentencePiece', () => {
  const flag = (value: boolean) => ({ type: GgufValueType.BOOL, value });
  const variants: Record<string, Record<string, GgufMetadataEntry>> = {
    'no space prefix': { 'tokenizer.ggml.add_space_prefix': flag(false) },
    'neither BOS nor EOS': { 'tokenizer.ggml.add_bos_token': flag(false) },
    'BOS and EOS': { 'tokenizer.ggml.add_eos_token': flag(true) },
  };
  for (const [name, changes] of Object.entries(variants)) {
    test(name, async () => {
      await using file = await readGguf(vocabularyFile('llama-spm'));
      await compare(await rewrite(file, name, changes), 120, 3);
    });
  }

  test('tokens that swallow white space, as in Phi-3', async () => {
    await using file = await readGguf(vocabularyFile('llama-spm'));
    const tokens = [...file.stringArray('tokenizer.ggml.tokens')];
    const types = Int32Array.from(file.numberArray('tokenizer.ggml.token_type'));
    for (const [index, text] of ['<|endoftext|>', '<|user|>', '<|end|>'].entries()) {
      tokens[tokens.length - 1 - index] = text;
      types[types.length - 1 - index] = 3;
    }
    const path = await rewrite(file, 'phi-3', {
      'general.name': { type: GgufValueType.STRING, value: 'Phi-3 mini' },
      'tokenizer.ggml.tokens': {
        type: GgufValueType.ARRAY,
        itemType: GgufValueType.STRING,
        value: tokens,
      },
      'tokenizer.ggml.token_type': {
        type: GgufValueType.ARRAY,
        itemType: GgufValueType.INT32,
        value: types,
      },
    });
    await compare(path, 120, 4);
    await using opened = await readGguf(path);
    const tokenizer = createTokenizer(opened);
    assert.deepEqual(
      tokenizer.encode('a<|user|> \n b', { parseSpecial: true }),
      tokenizer.encode('a<|user|>b', { parseSpecial: true }),
    );
  });
});

describe('merge lists over characters', () => {
  const lowercase = { 'normalizer.lowercase': { type: GgufValueType.BOOL, value: true } } as const;
  const variants: readonly (readonly [string, string, Record<string, GgufMetadataEntry>?])[] = [
    ['gemma4', 'gemma4'],
    ['gpt2', 'gemma4'],
    ['gpt2', 'sarvam-moe'],
    ['whitespace', 'whitespace'],
    ['whitespace', 'whitespace', lowercase],
  ];
  for (const [index, [model, pre, changes]] of variants.entries()) {
    test(`${model}, ${pre}${changes ? ', small letters' : ''}`, async () => {
      const path = join(folder, `plain ${index}.gguf`);
      await writeVocabulary(path, plainBpeEntries(randomNumbers(index), model, pre, changes));
      await compare(path, 200, 7);
    });
  }
});

describe('WordPiece', () => {
  const flag = (value: boolean) => ({ type: GgufValueType.BOOL, value });
  const variants: Record<string, Record<string, GgufMetadataEntry>> = {
    'as it comes': {},
    cased: { 'normalizer.lowercase': flag(false) },
    'small letters with accents': { 'normalizer.strip_accents': flag(false) },
    'capitals without accents': {
      'normalizer.lowercase': flag(false),
      'normalizer.strip_accents': flag(true),
    },
  };
  for (const [name, changes] of Object.entries(variants)) {
    test(name, async () => {
      const path = join(folder, `wordpiece ${name}.gguf`);
      await writeVocabulary(path, wordPieceEntries(randomNumbers(name.length), changes));
      await compare(path, 250, 5);
    });
  }

  test('every character by itself', async () => {
    const path = join(folder, 'wordpiece characters.gguf');
    await writeVocabulary(path, wordPieceEntries(randomNumbers(1)));
    await using file = await readGguf(path);
    const tokenizer = createTokenizer(file);
    using oracle = new OracleVocabulary(path);
    // Between two words, so that it shows whether it joins, parts, or vanishes.
    for (let point = 1; point < 0x110000; point += point < 0x600 ? 1 : point < 0x3000 ? 3 : 307) {
      if (point >= 0xd800 && point <= 0xdfff) continue;
      compareText(tokenizer, oracle, `a${String.fromCodePoint(point)}b`);
    }
  });
});

describe('unigram models', () => {
  const flag = (value: boolean) => ({ type: GgufValueType.BOOL, value });
  const map = characterMap({
    ...{ '\u3000': ' ', '\t': ' ', '\n': ' ', é: 'e', ﬁ: 'fi', '½': '1/2', Hello: 'hullo' },
    ...{ 'e\u0301': 'é', '🦙': 'llama', '\u200b': '', ㄱ: '가', He: 'Q', '...': '…', Ω: 'Ω' },
  });
  const variants: Record<string, Record<string, GgufMetadataEntry>> = {
    'as it comes': {},
    'no space prefix': { add_space_prefix: flag(false) },
    'spaces merged': { remove_extra_whitespaces: flag(true) },
    'with a map of characters': { precompiled_charsmap: map },
    'with all, as in T5': { precompiled_charsmap: map, remove_extra_whitespaces: flag(true) },
    'BOS too': {
      add_bos_token: flag(true),
      bos_token_id: { type: GgufValueType.UINT32, value: 1 },
    },
  };
  for (const [name, changes] of Object.entries(variants)) {
    test(name, async () => {
      const path = join(folder, `unigram ${name}.gguf`);
      await writeVocabulary(path, unigramEntries(randomNumbers(name.length), changes));
      await compare(path, 200, 6);
    });
  }
});
