/** What `paceline quantize` does: names the result, quantises, prints what became of the tensors. */
import { basename, dirname, join, resolve } from 'node:path';
import { perplexity } from '../bench/perplexity.js';
import { mixByName } from '../convert/mixes.js';
import { type QuantizeResult, quantizeModel } from '../convert/quantize.js';
import type { TypeOverride } from '../convert/tensor-types.js';
import type { GgmlType } from '../ggml/types.js';
import { readTextFile } from './input.js';
import { catchInterrupt } from './interrupt.js';
import { resolveModel } from './model-names.js';
import { note, print, printJson, snakeKeys } from './output.js';
import { perplexityTable } from './perplexity-command.js';
import { ProgressBar } from './progress-bar.js';
import { bytes, table } from './table.js';

/** Values of the flags of `quantize`. */
export interface QuantizeFlags {
  readonly tensorType?: readonly TypeOverride[];
  readonly outputType?: GgmlType;
  readonly embeddingType?: GgmlType;
  readonly pure?: boolean;
  readonly imatrix?: string;
  readonly check?: string;
  readonly allowRequantize?: boolean;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Runs the command. @throws {PacelineError} as `quantizeModel`. */
export async function quantizeCommand(
  model: string,
  type: string,
  output: string | undefined,
  flags: QuantizeFlags,
): Promise<void> {
  const { path } = await resolveModel(model);
  const mix = mixByName(type);
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  const { force, tensorType, json, check, ...options } = flags;
  const text = check === undefined ? undefined : readTextFile(check);
  try {
    const result = await quantizeModel({
      ...options,
      model: path,
      output: output ?? outputPath(model, path, mix.name),
      mix: type,
      replace: force === true,
      ...(tensorType === undefined ? {} : { overrides: tensorType }),
      onProgress: bar.onProgress,
      signal: interrupt.signal,
    });
    const measured =
      text === undefined || flags.dryRun === true
        ? undefined
        : await perplexity({
            model: result.output,
            against: path,
            text,
            ...(flags.threads === undefined ? {} : { threads: flags.threads }),
            onProgress: bar.onProgress,
            signal: interrupt.signal,
          });
    bar.clear();
    if (json === true) {
      await printJson(snakeKeys(measured === undefined ? result : { ...result, check: measured }));
      return;
    }
    await report(result, flags.dryRun === true);
    if (measured !== undefined) await print(`\n${perplexityTable(measured)}`);
  } finally {
    bar.clear();
    interrupt.release();
  }
}

/** `model-F16.gguf` becomes `model-Q4_K_M.gguf` beside it; what was named otherwise, in this folder. */
function outputPath(model: string, path: string, mix: string): string {
  const stem = basename(path)
    .replace(/\.gguf$/, '')
    .replace(/-\d{5}-of-\d{5}$/, '')
    .replace(/[-.](f32|f16|bf16|fp16)$/i, '');
  const folder = resolve(model) === path ? dirname(path) : '.';
  return join(folder, `${stem}-${mix}.gguf`);
}

async function report(result: QuantizeResult, dryRun: boolean): Promise<void> {
  const types = new Map<string, { tensors: number; bytes: number }>();
  for (const { to, bytes: size } of result.tensors) {
    const sum = types.get(to) ?? { tensors: 0, bytes: 0 };
    types.set(to, { tensors: sum.tensors + 1, bytes: sum.bytes + size });
  }
  const rows = [...types]
    .sort(([, a], [, b]) => b.bytes - a.bytes)
    .map(([name, sum]) => [name, String(sum.tensors), bytes(sum.bytes)]);
  await print(table(rows, ['type', 'tensors', 'size']));
  const fallen = result.tensors.filter(({ insteadOf }) => insteadOf !== undefined);
  const [first] = fallen;
  if (first !== undefined) {
    note(
      `${fallen.length} tensors have rows too short for their type: ` +
        `${first.name} is ${first.to} instead of ${first.insteadOf}`,
    );
  }
  await print(
    `\n${bytes(result.sourceBytes)} to ${bytes(result.bytes)}, ` +
      `${result.bitsPerWeight.toFixed(2)} bits each\n`,
  );
  await print(dryRun ? 'nothing written (--dry-run)\n' : `${result.output}\n`);
}
