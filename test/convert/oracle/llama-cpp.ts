/**
 * Our converted checkpoints against those of llama.cpp's converter: entries of metadata and bytes of tensors. Not a test,
 * because it needs PyTorch, transformers and a checkout of llama.cpp:
 * `node --import tsx test/convert/oracle/llama-cpp.ts path/to/python path/to/llama.cpp [class ...]`
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { convertCheckpoint } from '../../../src/convert/convert.js';
import { temporaryFile } from '../../support/tiny-model.js';
import { decoderForms } from '../decoder-cases.js';
import { jinaCheckpoint, jinaTensors } from '../jina-checkpoints.js';
import { nomicMoeCheckpoint, nomicMoeTensors } from '../nomic-moe-checkpoints.js';
import { answeringCheckpoint } from '../ranking-checkpoint.js';
import { oracleCases } from './cases.js';

const [python = 'python3', llamaCpp = 'llama.cpp', ...wanted] = process.argv.slice(2);
const script = join(import.meta.dirname, 'llama-cpp.py');

/** Checkpoints beside those of decoders, by their architectures. */
const others: Readonly<Record<string, () => string>> = {
  'jina-bert-v2': () => jinaCheckpoint(jinaTensors(false)),
  'jina-bert-v2, for code': () => jinaCheckpoint(jinaTensors(true)),
  'nomic-bert-moe': () =>
    // The converter knows the published sizes only.
    nomicMoeCheckpoint(nomicMoeTensors(), {
      ...{ n_positions: 2048, max_trained_positions: 2048, rotary_emb_scale_base: null },
    }),
  'qwen3 that answers': () => {
    const { folder } = answeringCheckpoint();
    writeFileSync(join(folder, 'README.md'), '# Qwen3-Reranker-0.6B\n');
    return folder;
  },
};

const folders: readonly (readonly [name: string, of: string, make: () => string])[] = [
  ...Object.entries(oracleCases).map(
    ([name, { of, make }]) => [name, of, () => make().folder] as const,
  ),
  ...Object.entries(decoderForms).map(([name, make]) => [name, name, () => make().folder] as const),
  ...Object.entries(others).map(([name, make]) => [name, name, make] as const),
];

for (const [name, of, make] of folders) {
  if (wanted.length > 0 && !wanted.includes(of)) continue;
  const folder = make();
  const output = temporaryFile(`here-${Math.random()}.gguf`);
  await convertCheckpoint({ checkpoint: folder, output, type: 'F32' });
  const { status, stdout, stderr } = spawnSync(python, [script, llamaCpp, folder, output], {
    encoding: 'utf8',
  });
  const problem = stderr.trim().split('\n').at(-1) ?? '';
  const found = status === 0 ? stdout.trim() || 'the same' : `not converted there: ${problem}`;
  process.stdout.write(`${name}: ${found.replaceAll('\n', '\n  ')}\n`);
}
