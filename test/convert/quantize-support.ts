/** Random models quantised by us and by libllama, side by side. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  columnWeights,
  type ImportanceEntry,
  writeImportance,
} from '../../src/convert/imatrix-file.js';
import { type MixName, mixByName } from '../../src/convert/mixes.js';
import { type QuantizeOptions, quantizeModel } from '../../src/convert/quantize.js';
import { readGguf } from '../../src/gguf/reader.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';
import { type OracleOptions, quantizeWithLibllama } from './libllama-quantize.js';

let made = 0;

/** Writes a random model and returns its path. */
export async function randomModelFile(options: RandomModelOptions): Promise<string> {
  const path = temporaryFile(`random-${++made}.gguf`);
  await writeGguf(path, randomModel(options));
  return path;
}

/** An importance matrix with made-up values for every block's matrix, and one expert never seen. */
export async function madeUpImportance(
  model: string,
): Promise<{ path: string; entries: ReadonlyMap<string, ImportanceEntry> }> {
  const entries = new Map<string, ImportanceEntry>();
  await using file = await readGguf(model);
  for (const { name, shape } of file.tensors.values()) {
    if (shape.length < 2 || !name.startsWith('blk.')) continue;
    const [columns = 1, , matrices = 1] = shape;
    entries.set(name, {
      sums: Float32Array.from({ length: columns * matrices }, (_, at) => 1 + ((at * 7919) % 101)),
      counts: Float32Array.from({ length: matrices }, (_, at) => (at === 1 ? 0 : 20 + at)),
    });
  }
  const path = temporaryFile(`importance-${++made}.gguf`);
  await writeImportance(path, { entries, datasets: ['text.txt'], chunkCount: 3, chunkSize: 512 });
  return { path, entries };
}

export interface CompareOptions {
  readonly ours?: Partial<QuantizeOptions>;
  readonly theirs?: Partial<OracleOptions>;
  readonly importance?: Awaited<ReturnType<typeof madeUpImportance>>;
}

/** Requires the same file, or the same tensors where importance adds metadata of its own. */
export async function compareWithLibllama(
  model: string,
  mix: MixName,
  { ours, theirs, importance }: CompareOptions = {},
): Promise<void> {
  const expected = temporaryFile(`theirs-${++made}.gguf`);
  const found = temporaryFile(`ours-${made}.gguf`);
  const weights =
    importance && new Map([...importance.entries].map(([name, e]) => [name, columnWeights(e)]));
  const accepted = quantizeWithLibllama(model, expected, {
    fileType: mixByName(mix).fileType,
    ...theirs,
    ...(weights === undefined ? {} : { importance: weights }),
  });
  assert.ok(accepted, `libllama refuses ${mix}`);
  await quantizeModel({
    model,
    output: found,
    mix,
    ...ours,
    ...(importance === undefined ? {} : { imatrix: importance.path }),
  });
  if (importance === undefined) {
    assert.ok(readFileSync(found).equals(readFileSync(expected)), `${mix}: other bytes`);
    return;
  }
  await using a = await readGguf(found);
  await using b = await readGguf(expected);
  assert.deepEqual([...a.tensors.keys()], [...b.tensors.keys()]);
  for (const [name, info] of b.tensors) {
    const own = a.tensors.get(name);
    assert.equal(own?.type, info.type, `${mix}: type of ${name}`);
    const [left, right] = [new Uint8Array(info.bytes), new Uint8Array(info.bytes)];
    await a.readTensor(own as typeof info, left);
    await b.readTensor(info, right);
    assert.ok(Buffer.from(left).equals(right), `${mix}: other bytes in ${name}`);
  }
}
