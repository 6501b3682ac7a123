/**
 * Byte-level pre-tokenizers by what tokenizer.json says that they do. Stock converters know them by a hash of
 * what they make of a text; a description says the same and can be read. One that is not known is refused, since a text
 * cut differently is another text.
 */
import { PacelineError } from '../base/errors.js';
import { isRecord } from '../base/records.js';
import { casedLetters, deepseekBlocks, deepseekSigns } from '../tokenizer/character-sets.js';
import type { JsonObject } from './json.js';

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const word = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const signs = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*';
const lineEnds = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** Words whose last letters are small, and words whose first are capitals. */
const cased = [
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+',
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*',
] as const;

/** Members of a class as a file writes them: characters, not their numbers. */
const spelt = (members: string): string =>
  members.replace(/\\u\{([0-9a-f]+)\}/g, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 16)),
  );

/** Patterns of the `Split`s that stand before the byte alphabet, and what they are called below. */
const splitPatterns: ReadonlyMap<string, string> = new Map([
  [`${contractions}|${word}|\\p{N}|${signs}|${lineEnds}`, 'qwen2'],
  [`${contractions}|${word}|\\p{N}{1,3}|${signs}|${lineEnds}`, 'llama-bpe'],
  [`${contractions}|${word}|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${lineEnds}`, 'seed-coder'],
  [`${cased[0]}|${cased[1]}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${lineEnds}`, 'tekken'],
  [
    `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${lineEnds}`,
    'qwen35',
  ],
  [
    `${cased[0]}${contractions}?|${cased[1]}${contractions}?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${lineEnds}`,
    'gpt-4o',
  ],
  ['\\p{N}{1,3}', 'three digits'],
  ['[一-龥\u3040-ゟ゠-ヿ]+', 'han and kana'],
  [
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|' +
      ` ?[\\p{P}\\p{S}]+[\\r\\n]*|${lineEnds}`,
    'words and signs',
  ],
  ['[\\r\\n]', 'lines'],
  [`\\s?[${spelt(casedLetters)}]+`, 'cased letters'],
  [`\\s?[${spelt(deepseekSigns)}]+`, 'signs'],
  ['\\s+$', 'last space'],
  [`[${spelt(deepseekBlocks)}]+`, 'East Asian'],
]);

/** GGUF's names by the steps. */
const known: ReadonlyMap<string, string> = new Map([
  ...(['qwen2', 'qwen35', 'llama-bpe', 'seed-coder', 'tekken', 'gpt-4o'] as const).map(
    (name) => [`${name},bytes`, name] as const,
  ),
  ['three digits,han and kana,words and signs,bytes', 'deepseek-v3'],
  ['lines,cased letters,signs,last space,East Asian,digits,bytes', 'deepseek-llm'],
  ['digits,words', 'smollm'],
  ['words', 'gpt-2'],
]);

/** Names of the same rules for tokenizers of single architectures. */
const ownNames: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // The tokenizer of OLMo is that of GPT-NeoX, which cuts as GPT-2 does.
  olmoe: { 'gpt-2': 'olmo' },
  // Of those by language and that for code, which readers treat alike.
  'jina-bert-v2': { 'gpt-2': 'jina-v2-code' },
  lfm2: { 'llama-bpe': 'lfm2' },
  lfm2moe: { 'llama-bpe': 'lfm2' },
  glm4: { 'llama-bpe': 'glm4' },
  glm4moe: { 'llama-bpe': 'glm4' },
  'hunyuan-dense': { 'deepseek-v3': 'hunyuan-dense' },
};

/** GGUF's name of a byte-level pre-tokenizer. @throws {PacelineError} `unsupported-tokenizer`. */
export function preTokenizerOf(tokenizer: JsonObject, architecture: string): string {
  const given = tokenizer.object('pre_tokenizer');
  const steps = (given?.list('pretokenizers') ?? [given?.values]).filter(isRecord);
  const described = steps.map(describe);
  const name = known.get(described.join(','));
  if (name === undefined) {
    const found = described.join(', then ') || 'none';
    throw unsupportedTokenizer(`The pre-tokenizer is not known (${found})`);
  }
  // EMO's (dolma2) cuts as Llama 3's does, but merges pieces that are tokens as a whole; stock readers
  // know that by the name of DBRX.
  const whole = tokenizer.object('model')?.boolean('ignore_merges') === true;
  const dolma = architecture === 'deepseek' || (architecture === 'olmo2' && !whole);
  if (name === 'llama-bpe' && dolma) return 'dbrx';
  return ownNames[architecture]?.[name] ?? name;
}

function describe(step: Record<string, unknown>): string {
  if (step.type === 'Digits') return step.individual_digits === true ? 'digits' : 'numbers';
  if (step.type === 'ByteLevel') return step.use_regex === false ? 'bytes' : 'words';
  if (step.type !== 'Split') return String(step.type);
  const given = isRecord(step.pattern) ? (step.pattern.Regex ?? step.pattern.String) : undefined;
  // Some files have line ends as they are, others what a pattern writes for them.
  const pattern = String(given).replaceAll('\r', '\\r').replaceAll('\n', '\\n');
  return splitPatterns.get(pattern) ?? `Split ${pattern}`;
}

/** The error for a tokenizer that is none of those that are known. */
export function unsupportedTokenizer(problem: string): PacelineError {
  return new PacelineError('unsupported-tokenizer', problem, {
    hint:
      'Known are SentencePiece (BPE and unigram), the WordPiece of BERT, and the byte-level BPE of GPT-2, Llama 3, Qwen, SmolLM, OLMo, ' +
      'Mistral Nemo, DeepSeek, GLM, gpt-oss and Seed.',
  });
}
