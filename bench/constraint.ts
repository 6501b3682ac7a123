/**
 * Speed of constraints, as JSON: indexing a vocabulary, compiling schemas, masks of random texts (each
 * state's first mask, then from the cache), tokens that can be guessed. CPU milliseconds.
 * Usage: tsx bench/constraint.ts [vocabulary.gguf]   (default: Qwen 2 of the reference material)
 */

import { compileConstraint } from '../src/constraint/compile.js';
import { maskAllows } from '../src/constraint/constraint.js';
import type { Json } from '../src/constraint/schema/json.js';
import type { ConstraintSpec } from '../src/constraint/spec.js';
import { buildIndex, type VocabularyIndex } from '../src/constraint/tokens/vocabulary-index.js';
import { readGguf } from '../src/gguf/reader.js';
import { createTokenizer } from '../src/tokenizer/tokenizer.js';
import { schemas } from '../test/constraint/schemas.js';
import { randomNumbers } from '../test/constraint/support.js';
import { vocabularyFile } from '../test/support/vocabularies.js';

function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function timed<Result>(work: () => Result | Promise<Result>): Promise<[Result, number]> {
  const start = cpu();
  const result = await work();
  return [result, cpu() - start];
}

/** Rounded to three digits, which is what runs agree on. */
const round = (value: number) => Number(value.toPrecision(3));

function percentiles(values: number[]) {
  values.sort((a, b) => a - b);
  const at = (share: number) =>
    round(values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1), masks: values.length };
}

/** CPU time of each mask of random texts, in milliseconds. */
function masks(
  index: VocabularyIndex,
  spec: ConstraintSpec,
  first: number[],
  again: number[],
): void {
  const compiled = compileConstraint(spec, index);
  const random = randomNumbers(1);
  for (let text = 0; text < 5; text++) {
    const constraint = compiled.start();
    for (let count = 0; count < 60; count++) {
      const start = cpu();
      constraint.mask();
      first.push(cpu() - start);
      const second = cpu();
      const mask = constraint.mask();
      again.push(cpu() - second);
      const allowed: number[] = [];
      for (let id = 0; id < index.size; id++) if (maskAllows(mask, id)) allowed.push(id);
      const choice = allowed[Math.floor(random() * allowed.length)] as number;
      if (index.isEnd(choice)) break;
      constraint.accept(choice);
    }
  }
}

/** Of the tokens of a call with few choices, the share that is guessed before the model is asked. */
function guessed(index: VocabularyIndex, call: string, encode: (text: string) => number[]): number {
  const parameters: Json = {
    type: 'object',
    properties: { location: { type: 'string' }, unit: { enum: ['celsius', 'fahrenheit'] } },
    required: ['location', 'unit'],
    additionalProperties: false,
  };
  const tools = [{ name: 'get_current_weather', parameters }];
  const spec = {
    type: 'tools',
    format: 'hermes',
    tools,
    choice: 'required',
    whiteSpace: 'none',
  } as const;
  const constraint = compileConstraint(spec, index).start();
  const tokens = encode(call);
  let right = 0;
  for (let at = 0; at < tokens.length; ) {
    const guess = constraint.likely(16);
    let same = 0;
    while (same < guess.length && guess[same] === tokens[at + same]) same++;
    right += same;
    for (const token of tokens.slice(at, at + Math.max(1, same))) constraint.accept(token);
    at += Math.max(1, same);
  }
  return right / tokens.length;
}

const path = process.argv[2] ?? vocabularyFile('qwen2');
await using file = await readGguf(path);
const tokenizer = createTokenizer(file);
const [index, cold] = await timed(() => buildIndex(tokenizer));
const [, warm] = await timed(() => buildIndex(tokenizer));

const compile: Record<string, number> = {};
const first: number[] = [];
const again: number[] = [];
for (const [name, schema] of Object.entries(schemas)) {
  const spec = { type: 'json-schema', schema } as const;
  const runs: number[] = [];
  for (let run = 0; run < 3; run++)
    runs.push((await timed(() => compileConstraint(spec, index)))[1]);
  compile[name] = round(Math.min(...runs));
  masks(index, spec, first, again);
}
const call =
  '<tool_call>{"name":"get_current_weather","arguments":{"location":"Paris, France","unit":"celsius"}}</tool_call>';
const result = {
  vocabulary: path.split('/').pop(),
  tokens: index.size,
  trie_nodes: index.trie.size,
  index_cpu_ms: { first: round(cold), again: round(warm) },
  compile_cpu_ms: { sum: round(Object.values(compile).reduce((a, b) => a + b)), ...compile },
  mask_cpu_ms: percentiles(first),
  cached_mask_cpu_ms: percentiles(again),
  guessed_share_of_a_tool_call: round(
    guessed(index, call, (text) => tokenizer.encode(text, { addSpecial: false })),
  ),
};
process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
