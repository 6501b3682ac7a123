/** What `paceline features` does. */
import { dumpFeatures } from '../convert/features.js';
import { readTextFile } from './input.js';
import { catchInterrupt } from './interrupt.js';
import { resolveModel } from './model-names.js';
import { print, printJson, snakeKeys } from './output.js';
import { ProgressBar } from './progress-bar.js';
import { readPrompts } from './prompt-files.js';

/** Values of the flags of `features`. */
export interface FeaturesFlags {
  readonly prompts?: readonly string[];
  readonly text?: readonly string[];
  readonly ctx: number;
  readonly temps: readonly number[];
  readonly taps?: readonly number[];
  readonly threads?: number;
  readonly json?: boolean;
}

/** Runs the command. @throws {PacelineError} as `dumpFeatures`. */
export async function featuresCommand(
  model: string,
  folder: string,
  flags: FeaturesFlags,
): Promise<void> {
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  try {
    const prompts = readPrompts(flags.prompts ?? []);
    const texts = (flags.text ?? []).map((file) => readTextFile(file));
    const result = await dumpFeatures({
      model: (await resolveModel(model)).path,
      folder,
      prompts,
      texts,
      contextLength: flags.ctx,
      temperatures: flags.temps,
      ...(flags.taps === undefined ? {} : { taps: flags.taps }),
      threads: flags.threads,
      onProgress: bar.onProgress,
      signal: interrupt.signal,
    });
    bar.clear();
    if (flags.json === true) return await printJson(snakeKeys(result));
    const { texts: count, shards, tokens, taps } = result;
    await print(
      `${count} texts in ${shards} files, ${tokens} tokens of this run, taps ${taps.join(',')}\n${folder}\n`,
    );
  } finally {
    bar.clear();
    interrupt.release();
  }
}
