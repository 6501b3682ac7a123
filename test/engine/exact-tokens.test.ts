/** Prompts in the tokens that a model said: always the same bytes, and as much of them as there is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exactTokens, type KnownTokens } from '../../src/engine/exact-tokens.js';
import { readGguf } from '../../src/gguf/reader.js';
import { loadModel } from '../../src/index.js';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js';
import { temporaryFile } from '../support/tiny-model.js';
import { vocabularyFile, vocabularyNames } from '../support/vocabularies.js';

/** Numbers that are the same in every run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const words = [
  'Hello',
  ' world',
  'über',
  ' 日本語',
  '\n\n',
  '  ',
  'return',
  ' x',
  '123',
  '🙂',
  'é',
  "'s",
  ' the',
];

function someText(next: (below: number) => number, count: number): string {
  return Array.from({ length: count }, () => words[next(words.length)]).join('');
}

/** Another encoding of the same text, as a model may say it: its pieces one by one. */
function inPieces(tokenizer: Tokenizer, text: string, next: (below: number) => number): number[] {
  const tokens: number[] = [];
  const characters = [...text];
  for (let at = 0; at < characters.length; ) {
    const length = 1 + next(6);
    const piece = characters.slice(at, at + length).join('');
    tokens.push(...tokenizer.encode(piece, { addSpecial: false }));
    at += length;
  }
  return tokens;
}

const alone = (tokens: readonly number[]): KnownTokens => ({ tokens, next: () => [] });

describe('exact tokens', () => {
  for (const name of vocabularyNames) {
    it(`keep the bytes with the vocabulary ${name}`, async () => {
      await using file = await readGguf(vocabularyFile(name));
      const tokenizer = createTokenizer(file);
      const spelled = (tokens: readonly number[]): Buffer =>
        Buffer.concat(tokens.map((token) => tokenizer.tokenBytes(token)));
      const control = tokenizer.eosId ?? 0;
      let exchanged = 0;
      for (let seed = 1; seed <= 40; seed++) {
        const next = random(seed);
        const [first, said, then] = [someText(next, 6), someText(next, 12), someText(next, 5)];
        const encode = (text: string): number[] => tokenizer.encode(text, { addSpecial: false });
        const start = [...encode(first), control];
        const known = [...start, ...inPieces(tokenizer, said, next)];
        // The bytes that the model said, which need not be those of the text (SentencePiece).
        const heard = tokenizer.decode(known.slice(start.length));
        const prompt = [...start, ...encode(heard), control, ...encode(then)];
        const cut = next(known.length + 1);
        const continued = { tokens: known.slice(0, cut), next: () => [alone(known.slice(cut))] };
        const found = exactTokens(tokenizer, prompt, [alone(encode(then)), continued]);
        assert.ok(Buffer.compare(spelled(found), spelled(prompt)) === 0);
        const controls = (tokens: readonly number[]): number[] =>
          tokens.filter((token) => tokenizer.isControl(token));
        assert.deepEqual(controls(found), controls(prompt));
        if (Buffer.compare(spelled(known), spelled([...start, ...encode(heard)])) !== 0) continue;
        // All that was said is used, as it was said.
        assert.deepEqual(found.slice(0, known.length), known);
        if (found.join() !== prompt.join()) exchanged++;
        // What cannot be used changes nothing.
        assert.equal(exactTokens(tokenizer, prompt, []), prompt);
        assert.equal(exactTokens(tokenizer, prompt, [alone(prompt), alone(known)]), prompt);
      }
      assert.ok(exchanged > 0, 'some were cut in another way');
    });
  }

  it('let a conversation go on without computing again what was said', async () => {
    const cache = { folder: temporaryFile('exact-store') };
    await using model = await loadModel('default', { threads: 1, contextLength: 1024, cache });
    const session = model.createSession();
    const messages = [{ role: 'user', content: 'const one = 1;' }] as const;
    const settings = { temperature: 1, seed: 3, maxTokens: 40 } as const;
    const first = await session.chat(messages, settings);
    const next = [
      ...messages,
      { role: 'assistant', content: first.text },
      { role: 'user', content: 'more' },
    ] as const;
    const second = await session.chat(next, settings);
    // The last token that was said was never computed.
    assert.ok(second.cachedTokens >= first.promptTokens + first.tokens.length - 2);
  });
});
