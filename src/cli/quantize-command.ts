/** What `paceline quantize` does: names the result, quantises, prints what became of the tensors. */
import { basename, dirname, join } from 'node:path';
import { defaultModelPath } from '../base/paths.js';
import { mixByName } from '../convert/mixes.js';
import { type QuantizeResult, quantizeModel } from '../convert/quantize.js';
import { resolveModelPath } from '../engine/model-path.js';
import type { QuantizeFlags } from './commands/quantize.js';
import { catchInterrupt } from './interrupt.js';
import { note, print, printJson, snakeKeys } from './output.js';
import { ProgressBar } from './progress-bar.js';
import { bytes, table } from './table.js';

/** Runs the command. @throws {PacelineError} as `quantizeModel`. */
export async function quantizeCommand(
  model: string,
  type: string,
  output: string | undefined,
  flags: QuantizeFlags,
): Promise<void> {
  const path = resolveModelPath(model);
  const mix = mixByName(type);
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  const { force, tensorType, json, ...options } = flags;
  try {
    const result = await quantizeModel({
      ...options,
      model: path,
      output: output ?? outputPath(path, mix.name),
      mix: type,
      replace: force === true,
      ...(tensorType === undefined ? {} : { overrides: tensorType }),
      onProgress: bar.onProgress,
      signal: interrupt.signal,
    });
    bar.clear();
    if (json === true) await printJson(snakeKeys(result));
    else await report(result, flags.dryRun === true);
  } finally {
    bar.clear();
    interrupt.release();
  }
}

/** `model-F16.gguf` becomes `model-Q4_K_M.gguf` beside it; the embedded model, in this folder. */
function outputPath(path: string, mix: string): string {
  const stem = basename(path)
    .replace(/\.gguf$/, '')
    .replace(/-\d{5}-of-\d{5}$/, '')
    .replace(/[-.](f32|f16|bf16|fp16)$/i, '');
  const folder = path === defaultModelPath() ? '.' : dirname(path);
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
