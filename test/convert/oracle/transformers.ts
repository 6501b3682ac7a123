/**
 * Our converted checkpoints against transformers itself, and the tests' reference against it, too. Not
 * a test, because PyTorch is too large to install for one. In a Python environment with torch and
 * transformers: `node --import tsx test/convert/oracle/transformers.ts path/to/python [class ...]`
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { convertCheckpoint } from '../../../src/convert/convert.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Runner, worstDifference } from '../../oracle/runner.js';
import { temporaryFile } from '../../support/tiny-model.js';
import { type CheckpointClass, type CheckpointOptions, randomCheckpoint } from '../checkpoint.js';
import { referenceLogits } from '../reference.js';

const [python = 'python3', ...wanted] = process.argv.slice(2);
const tokens = [7, 300, 12, 45, 45, 201, 3, 99, 150, 31, 77, 260, 8];
const llama3 = {
  ...{ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
  original_max_position_embeddings: 32,
};
const cases: readonly (readonly [CheckpointClass, CheckpointOptions])[] = [
  ['LlamaForCausalLM', {}],
  ['LlamaForCausalLM', { shards: 2, type: 'BF16', config: { rope_scaling: llama3 } }],
  ['MixtralForCausalLM', {}],
  ['Qwen2ForCausalLM', {}],
  ['Qwen3ForCausalLM', { type: 'F16' }],
  ['Qwen3MoeForCausalLM', {}],
  ['OlmoeForCausalLM', {}],
  ['Olmo2ForCausalLM', {}],
  ['Olmo3ForCausalLM', {}],
  ['SmolLM3ForCausalLM', {}],
  ['GraniteForCausalLM', {}],
  ['Gemma2ForCausalLM', {}],
  ['Gemma3ForCausalLM', {}],
];

for (const [name, options] of cases) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const checkpoint = randomCheckpoint(name, options);
  const script = join(import.meta.dirname, 'logits.py');
  const output = execFileSync(python, [script, checkpoint.folder, ...tokens.map(String)], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const expected = (JSON.parse(output) as number[][]).map((row) => Float32Array.from(row));
  const path = temporaryFile(`${name}-${expected.length}-${Math.random()}.gguf`);
  await convertCheckpoint({ checkpoint: checkpoint.folder, output: path, type: 'F32' });
  using runner = await Runner.open(path, { cacheType: GgmlType.F32, capacity: 64 });
  const ours = worstDifference(await runner.decode(tokens), expected);
  const reference = referenceLogits(checkpoint, tokens).map((row) => Float32Array.from(row));
  const theirs = worstDifference(reference, expected);
  process.stdout.write(
    `${name} ${JSON.stringify(options)}: engine ${ours.toExponential(1)}, ` +
      `reference ${theirs.toExponential(1)} of the logits' range\n`,
  );
}
