/** Checkpoints of given tensors: random values of given shapes, and bytes of types that only some read. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomNormal } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';
import {
  type Checkpoint,
  encode,
  fileOf,
  rounded,
  tokenizerJson,
  type Weights,
} from './checkpoint.js';

type Type = 'F32' | 'F16' | 'BF16';

/** A tensor as it stands in a file. */
export interface RawTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Random values: norms about `center`, the rest as large as keeps rows as they are. */
export function randomWeights(
  shapes: ReadonlyMap<string, readonly number[]>,
  {
    type = 'F32',
    center = () => 1,
  }: { readonly type?: Type; readonly center?: (name: string) => number } = {},
): Map<string, Weights> {
  let seed = 1;
  return new Map(
    [...shapes].map(([name, shape]) => {
      const random = randomNormal(seed++);
      const norm = /norm\.weight$|norm_\w+\.weight$/.test(name);
      const middle = norm ? center(name) : 0;
      const scale = norm ? 0.2 : shape.length === 1 ? 0.3 : 1.5 / Math.sqrt(shape.at(-1) ?? 1);
      const length = shape.reduce((a, b) => a * b, 1);
      const values = Float32Array.from({ length }, () => middle + scale * random());
      return [name, { shape, values: rounded(values, type) }];
    }),
  );
}

export interface WrittenOptions {
  readonly config: Readonly<Record<string, unknown>>;
  readonly weights: ReadonlyMap<string, Weights>;
  readonly type?: Type;
  /** Tensors in place of those of the same name, or beside them; undefined leaves one out. */
  readonly raw?: ReadonlyMap<string, RawTensor | undefined>;
  readonly tokenizer?: object;
}

/** Writes a checkpoint into a folder of its own. */
export function writeCheckpoint(options: WrittenOptions): Checkpoint {
  const { config, weights, type = 'F32', raw } = options;
  const folder = temporaryFile(`checkpoint-${Math.random().toString(36).slice(2)}`);
  mkdirSync(folder);
  const text = (config.text_config ?? config) as Readonly<Record<string, unknown>>;
  const write = (file: string, value: object) =>
    writeFileSync(join(folder, file), JSON.stringify(value));
  write('config.json', config);
  write('tokenizer.json', options.tokenizer ?? tokenizerJson(text.vocab_size as number));
  write('tokenizer_config.json', {
    // Without it transformers would add the tokens of the model that the config names.
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...{ bos_token: '<|begin|>', eos_token: '<|end|>' },
  });
  const tensors = new Map<string, RawTensor | undefined>(
    [...weights].map(([name, { shape, values }]) => [
      name,
      { dtype: type, shape, bytes: encode(values, type) },
    ]),
  );
  for (const [name, tensor] of raw ?? []) tensors.set(name, tensor);
  const header: Record<string, object> = {};
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [name, tensor] of tensors) {
    if (tensor === undefined) continue;
    const { dtype, shape, bytes } = tensor;
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.byteLength] };
    parts.push(bytes);
    at += bytes.byteLength;
  }
  writeFileSync(
    join(folder, 'model.safetensors'),
    fileOf(JSON.stringify(header), Buffer.concat(parts)),
  );
  return { folder, config: { ...text }, weights };
}
