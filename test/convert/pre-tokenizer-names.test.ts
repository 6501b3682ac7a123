/** Byte-level pre-tokenizers by what tokenizer.json says of them, as published files have it. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { hunyuanSpecials } from '../../src/convert/hunyuan-checkpoint.js';
import { JsonObject } from '../../src/convert/json.js';
import { preTokenizerOf } from '../../src/convert/pre-tokenizer-names.js';

const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated' });
const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };

function nameOf(steps: readonly object[], architecture: string): string {
  const pre_tokenizer = { type: 'Sequence', pretokenizers: steps };
  return preTokenizerOf(new JsonObject('tokenizer.json', { pre_tokenizer }), architecture);
}

it('knows DeepSeek 3’s three patterns, which Hunyuan has by another name, with line ends as they are', () => {
  const steps = [
    split('\\p{N}{1,3}'),
    split('[一-龥぀-ゟ゠-ヿ]+'),
    split(
      '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|' +
        ' ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
    ),
    bytes,
  ];
  assert.equal(nameOf(steps, 'hunyuan-dense'), 'hunyuan-dense');
  assert.equal(nameOf(steps, 'deepseek2'), 'deepseek-v3');
  assert.throws(() => nameOf(steps.slice(1), 'deepseek2'), { code: 'unsupported-tokenizer' });
});

it('knows Seed’s pattern', () => {
  const pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|" +
    '\\s*[\r\n]+|\\s+(?!\\S)|\\s+';
  assert.equal(nameOf([split(pattern), bytes], 'seed_oss'), 'seed-coder');
  assert.throws(() => nameOf([split(`${pattern}|x`), bytes], 'seed_oss'), {
    code: 'unsupported-tokenizer',
  });
});

it('knows the six patterns of DeepSeek LLM and V2', () => {
  const letters =
    '[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+';
  const steps = [
    split('[\r\n]'),
    split(`\\s?${letters}`),
    split('\\s?[!-/:-~！-／：-～‘-‟　-。]+'),
    split('\\s+$'),
    split('[一-龥ࠀ-一가-퟿]+'),
    { type: 'Digits', individual_digits: true },
    bytes,
  ];
  assert.equal(nameOf(steps, 'deepseek2'), 'deepseek-llm');
  const fewer = steps.map((step, at) =>
    at === 1 ? split(`\\s?${letters.replace('A-Z', '')}`) : step,
  );
  assert.throws(() => nameOf(fewer, 'deepseek2'), { code: 'unsupported-tokenizer' });
});

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const blanks = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

it('knows Qwen 3.5’s pattern, whose words have marks', () => {
  const pattern =
    `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|` +
    ` ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${blanks}`;
  assert.equal(nameOf([split(pattern), bytes], 'qwen35'), 'qwen35');
});

it('knows gpt-oss’s pattern, which is GPT-4o’s', () => {
  const pattern =
    `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+${contractions}?|` +
    `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*${contractions}?|` +
    `\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${blanks}`;
  assert.equal(nameOf([split(pattern), bytes], 'gpt-oss'), 'gpt-4o');
});

it('calls Llama 3’s pattern GLM’s where the model is one', () => {
  const pattern =
    `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|` +
    ` ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${blanks}`;
  assert.equal(nameOf([split(pattern), bytes], 'glm4moe'), 'glm4');
  assert.equal(nameOf([split(pattern), bytes], 'glm4'), 'glm4');
  assert.equal(nameOf([split(pattern), bytes], 'llama'), 'llama-bpe');
});

it('takes Hunyuan’s ends of texts and turns from where its configs have them', () => {
  const config = new JsonObject('config.json', { eod_token_id: 317 });
  const generation = new JsonObject('generation_config.json', { eos_token_id: [318, 317] });
  const specials = (architecture: string, size = 320) =>
    [...hunyuanSpecials(config, generation, { architecture, size })].map(
      ([key, { value }]) => [key, value] as const,
    );
  assert.deepEqual(specials('hunyuan-dense'), [
    ['tokenizer.ggml.eos_token_id', 317],
    ['tokenizer.ggml.eot_token_id', 318],
  ]);
  assert.deepEqual(specials('llama'), []);
  assert.deepEqual(specials('hunyuan-dense', 100), []);
});
