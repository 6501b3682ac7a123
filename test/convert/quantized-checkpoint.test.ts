/** Checkpoints in FP8 with a scale for each block: read as the values that they stand for, others refused by name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { Runner, worstDifference } from '../oracle/runner.js';
import { temporaryFile } from '../support/tiny-model.js';
import { encode, type Weights } from './checkpoint.js';
import { tokens } from './decoder-cases.js';
import { glm4Checkpoint, glm4Logits, glm4MoeConfig } from './glm4-checkpoints.js';
import { type RawTensor, writeCheckpoint } from './written-checkpoint.js';

/** Values of the codes, by the type's definition: S EEEE MMM, bias 7, no infinities. */
const values = Array.from({ length: 256 }, (_, code) => {
  const [sign, exponent, fraction] = [code >> 7 ? -1 : 1, (code >> 3) & 15, code & 7];
  if ((code & 127) === 127) return Number.NaN;
  return exponent === 0 ? (sign * fraction) / 512 : sign * 2 ** (exponent - 7) * (1 + fraction / 8);
});

function codeOf(value: number): number {
  let best = 0;
  for (const [code, found] of values.entries()) {
    if (Math.abs(found - value) < Math.abs((values[best] as number) - value)) best = code;
  }
  return best;
}

const block = 20;

/** Codes and scales of a matrix, and the values that they stand for. */
function coded({ shape, values: given }: Weights): {
  codes: RawTensor;
  scales: RawTensor;
  weights: Weights;
} {
  const [rows = 0, columns = 0] = shape;
  const [down, across] = [Math.ceil(rows / block), Math.ceil(columns / block)];
  const factors = Float32Array.from({ length: down * across }, (_, at) => 0.01 + 0.001 * at);
  const bytes = new Uint8Array(given.length);
  const decoded = given.map((value, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const factor = factors[Math.floor(row / block) * across + Math.floor(column / block)] as number;
    const code = codeOf(value / factor);
    bytes[at] = code;
    return (values[code] as number) * factor;
  });
  return {
    codes: { dtype: 'F8_E4M3', shape, bytes },
    scales: { dtype: 'F32', shape: [down, across], bytes: encode(factors, 'F32') },
    weights: { shape, values: decoded },
  };
}

const quantization_config = {
  ...{ quant_method: 'fp8', fmt: 'e4m3', activation_scheme: 'dynamic' },
  weight_block_size: [block, block],
};
const config = { ...glm4MoeConfig, num_nextn_predict_layers: 0, quantization_config };

function checkpoint(change: (raw: Map<string, RawTensor | undefined>) => void = () => {}) {
  const { weights } = glm4Checkpoint({ config });
  const raw = new Map<string, RawTensor | undefined>();
  const decoded = new Map(weights);
  for (const [name, tensor] of weights) {
    if (!/(self_attn|mlp).*_proj\.weight$/.test(name)) continue;
    const made = coded(tensor);
    raw.set(name, made.codes);
    raw.set(`${name}_scale_inv`, made.scales);
    decoded.set(name, made.weights);
  }
  change(raw);
  return writeCheckpoint({ config, weights: decoded, raw });
}

async function converted(folder: string, type: string): Promise<string> {
  const output = temporaryFile(`fp8-${Math.random().toString(36).slice(2)}.gguf`);
  await convertCheckpoint({ checkpoint: folder, output, type, threads: 1 });
  return output;
}

test('codes times their blocks’ scales: logits are those of the values', async () => {
  const made = checkpoint();
  using runner = await Runner.open(await converted(made.folder, 'F32'), {
    ...{ cacheType: GgmlType.F32, capacity: 64 },
  });
  const expected = glm4Logits(made, tokens).map((row) => Float32Array.from(row));
  const worst = worstDifference(await runner.decode(tokens), expected);
  assert.ok(worst < 1e-4, String(worst));
});

test('they are BF16 where no type is asked for', async () => {
  await using file = await readGguf(await converted(checkpoint().folder, 'auto'));
  assert.equal(file.tensors.get('blk.1.ffn_up_exps.weight')?.type, GgmlType.BF16);
  assert.equal(file.tensors.get('blk.1.attn_norm.weight')?.type, GgmlType.F32);
});

test('scales that do not fit, or are missing, and other methods are refused by name', async () => {
  const name = 'model.layers.1.self_attn.o_proj.weight';
  const refused = async (
    change: (raw: Map<string, RawTensor | undefined>) => void,
    expected: { readonly code: string; readonly message: RegExp },
  ) => {
    const { folder } = checkpoint(change);
    const output = temporaryFile(`refused-${Math.random()}.gguf`);
    await assert.rejects(convertCheckpoint({ checkpoint: folder, output }), expected);
  };
  const scales = { dtype: 'F32', shape: [2, 2], bytes: new Uint8Array(16) };
  await refused((raw) => raw.set(`${name}_scale_inv`, scales), {
    code: 'wrong-shape',
    message: /o_proj\.weight_scale_inv .*\[2, 2\], expected \[4, 5\]/,
  });
  await refused((raw) => raw.delete(`${name}_scale_inv`), {
    code: 'unsupported-type',
    message: /o_proj\.weight has elements of type F8_E4M3/,
  });
  for (const quant_method of ['awq', 'mxfp4']) {
    const other = { ...config, quantization_config: { quant_method } };
    const { folder } = writeCheckpoint({ config: other, weights: new Map() });
    const output = temporaryFile(`refused-${Math.random()}.gguf`);
    await assert.rejects(convertCheckpoint({ checkpoint: folder, output }), {
      code: 'unsupported-architecture',
      message: new RegExp(quant_method),
    });
  }
});
