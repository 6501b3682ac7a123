/** Random F32 tensors of the draft models in tests. */
import { GgmlType } from '../../src/ggml/types.js';
import type { GgufTensorToWrite } from '../../src/gguf/writer.js';
import { encodeValues, randomNormal } from '../../src/synthetic/random-model.js';

/** Products of rows of variance 1 have the variance `gain` squared. */
export function matrix(name: string, seed: number, shape: readonly [number, number], gain = 1) {
  const random = randomNormal(seed);
  const values = Float32Array.from(
    { length: shape[0] * shape[1] },
    () => (gain * random()) / Math.sqrt(shape[0]),
  );
  return tensor(name, shape, values);
}

/** Around `gain`. */
export function norm(name: string, seed: number, length: number, gain = 1) {
  const random = randomNormal(seed);
  return tensor(
    name,
    [length],
    Float32Array.from({ length }, () => gain * (1 + 0.2 * random())),
  );
}

function tensor(name: string, shape: readonly number[], values: Float32Array): GgufTensorToWrite {
  return { name, type: GgmlType.F32, shape, data: encodeValues(GgmlType.F32, shape, values) };
}
