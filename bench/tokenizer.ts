/**
 * Speed of a tokenizer, as JSON: building it, encoding prose, code and uniform texts, decoding.
 * Usage: tsx bench/tokenizer.ts [vocabulary.gguf]   (default: that of Qwen 2)
 */
import { readdirSync, readFileSync } from 'node:fs';
import { readGguf } from '../src/gguf/reader.js';
import { StreamingDetokenizer } from '../src/tokenizer/detokenizer.js';
import { createTokenizer, type Tokenizer } from '../src/tokenizer/tokenizer.js';
import { vocabularyFile } from '../test/support/vocabularies.js';

const megabyte = 1_000_000;

function milliseconds(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

/** Rounded to three digits, which is what runs agree on. */
const round = (value: number) => Number(value.toPrecision(3));

/** English prose and code: comments and declarations of Node's own types. */
function texts(): { prose: string; code: string } {
  const folder = 'node_modules/@types/node';
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.d.ts'))
    .sort()
    .map((file) => `${folder}/${file}`);
  const code = files.map((file) => readFileSync(file, 'utf8')).join('\n');
  const prose = (code.match(/^\s*\* .*$/gm) ?? []).map((line) => line.replace(/^\s*\* /, ''));
  return { prose: prose.join('\n').slice(0, megabyte), code: code.slice(0, megabyte) };
}

function speed(build: () => Tokenizer, text: string) {
  const tokenizer = build();
  const bytes = Buffer.byteLength(text);
  let tokens: number[] = [];
  const first = milliseconds(() => {
    tokens = tokenizer.encode(text);
  });
  const again = milliseconds(() => tokenizer.encode(text));
  const decode = milliseconds(() => tokenizer.decode(tokens));
  return {
    bytes,
    tokens: tokens.length,
    encode_mb_per_s: round(bytes / first / 1000),
    encode_again_mb_per_s: round(bytes / again / 1000),
    decode_mb_per_s: round(bytes / decode / 1000),
  };
}

const path = process.argv[2] ?? vocabularyFile('qwen2');
const start = performance.now();
const file = await readGguf(path);
const read = performance.now() - start;
const builds = Array.from({ length: 5 }, () => milliseconds(() => createTokenizer(file)));
const build = () => createTokenizer(file);
const { prose, code } = texts();
const tokenizer = build();
const ids = tokenizer.encode(prose);
const stream = milliseconds(() => {
  const detokenizer = new StreamingDetokenizer(tokenizer);
  for (const id of ids) detokenizer.push(id);
});
console.log(
  JSON.stringify(
    {
      vocabulary: path.split('/').at(-1),
      tokens: tokenizer.vocabSize,
      read_ms: round(read),
      build_first_ms: round(builds[0] ?? 0),
      build_median_ms: round(builds.sort((a, b) => a - b)[2] ?? 0),
      prose: speed(build, prose),
      code: speed(build, code),
      letters: speed(build, 'a'.repeat(megabyte)),
      spaces: speed(build, ' '.repeat(megabyte)),
      han: speed(build, '的一是不了人我在有他这中大来上'.repeat(22_000)),
      emoji: speed(build, '🦙🚀😶‍🌫️'.repeat(50_000)),
      marks: speed(build, '<|im_start|>'.repeat(80_000)),
      stream_tokens_per_s: round((ids.length / stream) * 1000),
    },
    null,
    2,
  ),
);
