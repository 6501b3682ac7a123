/** What `paceline convert` does: names the result, converts, says what was written. */
import { basename, resolve } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { convertCheckpoint } from '../convert/convert.js';
import { catchInterrupt } from './interrupt.js';
import { print, printJson, snakeKeys } from './output.js';
import { ProgressBar } from './progress-bar.js';
import { bytes, count } from './table.js';

/** Values of the flags of `convert`. */
export interface ConvertFlags {
  readonly type: string;
  readonly quantize?: string;
  readonly imatrix?: string;
  readonly force?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
}

const floatTypes = ['auto', 'f32', 'f16', 'bf16'];

/** Runs the command. @throws {PacelineError} as `convertCheckpoint`. */
export async function convertCommand(
  folder: string,
  output: string | undefined,
  flags: ConvertFlags,
): Promise<void> {
  if (!floatTypes.includes(flags.type.toLowerCase())) {
    throw new PacelineError('usage', `--type is ${flags.type}, not F32, F16, BF16 or auto`, {
      hint: `For quantised types: --quantize ${flags.type}.`,
    });
  }
  const type = flags.quantize ?? flags.type;
  const name = type === 'auto' ? '' : `-${type.toUpperCase()}`;
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  try {
    const result = await convertCheckpoint({
      checkpoint: folder,
      output: output ?? `${basename(resolve(folder))}${name}.gguf`,
      type,
      replace: flags.force === true,
      ...(flags.imatrix === undefined ? {} : { imatrix: flags.imatrix }),
      ...(flags.threads === undefined ? {} : { threads: flags.threads }),
      onProgress: bar.onProgress,
      signal: interrupt.signal,
    });
    bar.clear();
    if (flags.json === true) {
      await printJson(snakeKeys(result));
      return;
    }
    const { architecture, tensors, parameters } = result;
    await print(
      `${architecture}, ${count(parameters)} parameters in ${tensors} tensors, ${result.type}, ` +
        `${bytes(result.bytes)}\n${result.output}\n`,
    );
  } finally {
    bar.clear();
    interrupt.release();
  }
}
