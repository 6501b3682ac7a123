/**
 * The pre-tokenizers of byte-level BPE by the name that `tokenizer.ggml.pre` gives them, each a
 * sequence of cuts, with the defaults that go with the name. A new one is an entry here. Knows
 * nothing of vocabularies.
 */
import {
  asianScripts,
  bopomofo,
  casedLetters,
  deepseekBlocks,
  deepseekSigns,
  hangul,
  hanKana,
  sentenceSigns,
  wideSigns,
} from './character-sets.js';
import { categoryPattern, chars, codePointPattern } from './patterns.js';
import {
  numberSplitter,
  type Splitter,
  splitDigitsFromRight,
  splitGpt2,
  splitKimi,
  splitLines,
  splitNumbersFromRight,
  splitTrailingSpace,
  wordSplitter,
} from './scanners.js';

/** What a name of a pre-tokenizer implies. */
export interface PreTokenizer {
  /** Applied one after the other, each to the pieces of the one before. */
  readonly stages: readonly Splitter[];
  /** A piece that is a token as a whole is not merged. */
  readonly ignoreMerges: boolean;
  /** Default of `tokenizer.ggml.add_bos_token`. */
  readonly addBos: boolean;
  /** The vocabulary has no default BOS token. */
  readonly noBos: boolean;
  /** The reference's detokenizer drops spaces before punctuation. */
  readonly cleanSpaces: boolean;
  /** Tokens are plain text with U+2581 for a space, not the byte alphabet. */
  readonly plainText: boolean;
  /** Gemma 4: BOS whatever the file says, and a run of line feeds that is a token stays whole. */
  readonly gemma: boolean;
}

interface Rules {
  readonly stages: () => Splitter[];
  readonly ignoreMerges?: boolean;
  readonly addBos?: boolean;
  readonly noBos?: boolean;
  readonly cleanSpaces?: boolean;
  readonly plainText?: boolean;
  readonly gemma?: boolean;
}

const { L, N, M, P, S, upper, lower } = chars;

const anyCase = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const word = `[^\\r\\n${L}${N}]?[${L}]+`;
const signs = ` ?[^\\s${L}${N}]+[\\r\\n]*`;
const blanks = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const asciiSigns = '[!-/:-@\\[-`{-~]';
const wordsAndSigns = `${asciiSigns}[A-Za-z]+|[^\\r\\n${L}${P}${S}]?[${L}${M}]+`;
const notSentenceSign = ` ?[^\\s${sentenceSigns}]+`;

/** Words of optional capitals and small letters, then the rest as in GPT-4o. */
function casedWords(head: string, tail: string, suffix: string, digits: string, end: string) {
  const lead = `[^\\r\\n${L}${N}]?`;
  return categoryPattern(
    `${lead}[${head}]*[${tail}]+${suffix}|${lead}[${head}]+[${tail}]*${suffix}|` +
      `${digits}| ?[^\\s${L}${N}]+${end}|${blanks}`,
  );
}

const llama3 = () => [wordSplitter({ digits: 3, marks: false })];
const qwen2 = () => [wordSplitter({ digits: 1, marks: false })];
const gpt2 = () => [splitGpt2];
const digitsThenGpt2 = () => [numberSplitter(1), splitGpt2];
const deepseek3 = () => [
  numberSplitter(3),
  codePointPattern(`[${hanKana}]+`),
  categoryPattern(`${wordsAndSigns}| ?[${P}${S}]+[\\r\\n]*|${blanks}`),
];
const gpt4o = () => [casedWords(upper, lower, `${anyCase}?`, `[${N}]{1,3}`, '[\\r\\n/]*')];

const rules: Readonly<Record<string, Rules>> = {
  default: {
    stages: () => [
      categoryPattern(`[${P}$+<=>^~|]+`),
      splitGpt2,
      numberSplitter(Number.POSITIVE_INFINITY),
      codePointPattern('[0-9][0-9][0-9]'),
    ],
  },
  llama3: { stages: llama3, ignoreMerges: true, addBos: true },
  dbrx: { stages: llama3 },
  glm4: { stages: llama3, noBos: true },
  qwen2: { stages: qwen2, cleanSpaces: false },
  megrez: { stages: qwen2 },
  qwen35: { stages: () => [wordSplitter({ digits: 1, marks: true })], cleanSpaces: false },
  'gpt-2': { stages: gpt2 },
  trillion: { stages: gpt2, cleanSpaces: false },
  starcoder: { stages: digitsThenGpt2 },
  'command-r': { stages: digitsThenGpt2, cleanSpaces: false },
  falcon: {
    stages: () => [
      categoryPattern(`[${P}$+<=>^~|\`]+`),
      splitGpt2,
      codePointPattern('[0-9][0-9][0-9]'),
    ],
  },
  'deepseek-llm': {
    stages: () => [
      codePointPattern('[\\r\\n]'),
      codePointPattern(`\\s?[${casedLetters}]+`),
      codePointPattern(`\\s?[${deepseekSigns}]+`),
      splitTrailingSpace,
      codePointPattern(`[${deepseekBlocks}]+`),
      numberSplitter(Number.POSITIVE_INFINITY),
    ],
    cleanSpaces: false,
  },
  'deepseek-coder': {
    stages: () => [
      codePointPattern('[\\r\\n]'),
      categoryPattern(`\\s?[${L}]+`),
      categoryPattern(`\\s?[${P}]+`),
      codePointPattern(`[${deepseekBlocks}]+`),
      numberSplitter(1),
    ],
    cleanSpaces: false,
  },
  'deepseek-v3': { stages: deepseek3, cleanSpaces: false },
  spark2_5: {
    stages: () => [
      numberSplitter(3),
      codePointPattern(`[${hanKana}]+`),
      categoryPattern(`${wordsAndSigns}| ?[${P}${S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+`),
      numberSplitter(1),
    ],
    cleanSpaces: false,
  },
  youtu: {
    stages: () => [
      codePointPattern(`[${hangul}]+|[${wideSigns}]+|[${bopomofo}]+|[${hanKana}]+`),
      casedWords(L + M, L + M, `${anyCase}?`, `[${N}]`, '[\\r\\n/]*'),
    ],
    cleanSpaces: false,
    ignoreMerges: true,
  },
  poro: { stages: () => [codePointPattern(notSentenceSign)], cleanSpaces: false },
  bloom: { stages: () => [codePointPattern(notSentenceSign)] },
  viking: {
    stages: () => [codePointPattern(notSentenceSign), numberSplitter(1)],
    cleanSpaces: false,
  },
  tekken: {
    stages: () => [casedWords(upper, lower, '', `[${N}]`, '[\\r\\n/]*')],
    cleanSpaces: false,
    ignoreMerges: true,
    addBos: true,
  },
  chameleon: {
    stages: () => [
      codePointPattern('<sentinel:[0-9]+>'),
      codePointPattern('IMGIMG[A-I]{1,4}Z'),
      codePointPattern('[\\t\\n]|    |  '),
      numberSplitter(1),
      categoryPattern(`[${P}!-/:-@\\[-\`{-~]`),
      splitGpt2,
    ],
    addBos: true,
    cleanSpaces: false,
  },
  'gpt-4o': { stages: gpt4o, cleanSpaces: false },
  'granite-embed-multi-97m': {
    stages: () => [casedWords(upper + M, lower + M, `${anyCase}?`, `[${N}]{1,3}`, '[\\r\\n/]*')],
    cleanSpaces: false,
    ignoreMerges: true,
  },
  tiny_aya: {
    stages: () => [
      splitNumbersFromRight,
      casedWords(L + M, L + M, `${anyCase}?`, `[${N}]{1,3}`, '[\\r\\n/]*'),
    ],
    cleanSpaces: false,
  },
  'kimi-k2': { stages: () => [splitKimi], cleanSpaces: false },
  superbpe: {
    stages: () => [numberSplitter(Number.POSITIVE_INFINITY), splitDigitsFromRight],
    cleanSpaces: false,
  },
  bailingmoe: {
    stages: () => [
      categoryPattern(
        `'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|${word}|[${N}]|${signs}|` +
          '\\s*[\\r\\n]|\\s+(?!\\S)|\\s+',
      ),
    ],
    cleanSpaces: false,
  },
  'seed-coder': {
    stages: () => [categoryPattern(`${anyCase}|${word}|[${N}]| ?[^\\s${L}${N}\\r\\n]+|${blanks}`)],
    cleanSpaces: false,
  },
  ufakzeka: {
    stages: () => [categoryPattern(`${word}|[${N}]|${signs}|${blanks}`)],
    cleanSpaces: false,
  },
  afmoe: {
    stages: () => [
      splitNumbersFromRight,
      codePointPattern(`[${asianScripts}]+`),
      categoryPattern(`${wordsAndSigns}| ?[${P}${S}]+[\\r\\n]*|${blanks}`),
    ],
    cleanSpaces: false,
  },
  laguna: { stages: () => [splitLines, ...qwen2()], cleanSpaces: false },
  'exaone-moe': {
    stages: () => [
      categoryPattern(
        `${anyCase}|[^\\r\\n${L}${N}]?(?:[${L}][${M}]*(?: [${L}][${M}]*)*)+|[${N}]|` +
          ` ?[^\\s${L}${N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`,
      ),
    ],
  },
  'jais-2': {
    stages: () => [
      categoryPattern(
        `${anyCase}|${word}|[${N}]{1,3}|${signs}|\\s*[\\r\\n]+|` +
          [512, 256, 128, 64, 32, 16, 8, 4].map((count) => `\\s{${count}}(?!\\S)|`).join('') +
          '\\s{1,2}(?!\\S)|\\s',
      ),
    ],
  },
  minicpm5: {
    stages: () => [
      numberSplitter(3),
      categoryPattern(`${anyCase}|${word}|[${N}]+|${signs}|${blanks}`),
    ],
    ignoreMerges: true,
  },
  gemma4: { stages: () => [splitLines], plainText: true, gemma: true },
  whitespace: { stages: () => [], plainText: true },
  'sarvam-moe': { stages: () => [splitLines], plainText: true, cleanSpaces: false },
};

/** Names that share the rules of another. */
const aliases: Readonly<Record<string, readonly string[]>> = {
  llama3: [
    ...['llama-v3', 'llama-bpe', 'falcon3', 'falcon-h1', 'pixtral', 'midm-2.0', 'lfm2'],
    'jina-v5-nano',
  ],
  // dolma2 is the tokenizer of OLMo 2 and EMO; it cuts as GPT-4's does, like DBRX's.
  dbrx: ['smaug-bpe', 'dolma2'],
  glm4: ['chatglm-bpe'],
  qwen2: [...['deepseek-r1-qwen', 'kormo', 'f2llmv2', 'hunyuan', 'grok-2', 'solar-open']],
  megrez: ['stablelm2'],
  'gpt-2': [
    ...['phi-2', 'jina-es', 'jina-de', 'gigachat', 'jina-v2-es', 'jina-v2-de', 'a.x-4.0'],
    ...['mellum', 'modern-bert', 'jina-v1-en', 'jina-v2-code', 'roberta-bpe', 'mpt', 'olmo'],
    ...['jais', 'exaone4'],
  ],
  trillion: ['granite-docling'],
  starcoder: ['refact', 'codeshell', 'exaone', 'minerva-7b', 'mellum2'],
  'command-r': ['smollm'],
  'deepseek-v3': ['hunyuan-dense', 'joyai-llm', 'hy_v4'],
  poro: ['poro-chat'],
  bloom: ['gpt3-finnish'],
  'gpt-4o': ['llama4', 'kanana2', 'talkie', 'minimax-m2'],
  tiny_aya: ['cohere2moe'],
  bailingmoe: ['bailingmoe2', 'llada-moe'],
  gemma4: ['granite-embed-multi-311m'],
};

const ruleOfName = new Map(Object.entries(rules));
for (const [name, others] of Object.entries(aliases)) {
  const rule = rules[name];
  if (rule) for (const other of others) ruleOfName.set(other, rule);
}
// The reference knows these rules only by the aliases.
ruleOfName.delete('poro');

/** Every name that `findPreTokenizer` knows, sorted. */
export function preTokenizerNames(): string[] {
  return [...ruleOfName.keys()].sort();
}

/** The pre-tokenizer of that name, or undefined. */
export function findPreTokenizer(name: string): PreTokenizer | undefined {
  const rule = ruleOfName.get(name);
  if (!rule) return undefined;
  return {
    stages: rule.stages(),
    ignoreMerges: rule.ignoreMerges ?? false,
    addBos: rule.addBos ?? false,
    noBos: rule.noBos ?? false,
    cleanSpaces: rule.cleanSpaces ?? true,
    plainText: rule.plainText ?? false,
    gemma: rule.gemma ?? false,
  };
}
