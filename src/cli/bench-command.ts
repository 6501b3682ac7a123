/** Runs `paceline bench`: its flags as the options of a benchmark, and the report as asked for. */
import { PacelineError } from '../base/errors.js';
import { cacheFolder } from '../base/paths.js';
import { runBench } from '../bench/bench.js';
import type { TextKind } from '../bench/texts.js';
import type { DraftKind, KvType } from '../engine/types.js';
import { printBenchReport } from './bench-report.js';
import { reportFailure } from './failure.js';
import { type DeviceFlags, deviceOptions } from './generation-flags.js';
import { catchInterrupt } from './interrupt.js';
import { resolveModel } from './model-names.js';
import { note, printJson } from './output.js';
import { ProgressBar } from './progress-bar.js';

/** Values of the flags of `bench`. */
export interface BenchFlags extends DeviceFlags {
  readonly prompt: number;
  readonly gen: number;
  readonly batch?: readonly number[];
  readonly draft?: readonly DraftKind[];
  readonly draftModel?: readonly string[];
  readonly text?: string;
  readonly texts: readonly TextKind[];
  readonly temp: number;
  readonly pad?: string;
  readonly runs: number;
  readonly shape?: string;
  readonly type: string;
  readonly vs?: 'node-llama-cpp';
  readonly threads?: number;
  readonly kv?: KvType;
  readonly profile?: boolean;
  readonly json?: boolean;
}

/** Runs the command. */
export async function benchCommand(model: string | undefined, flags: BenchFlags): Promise<void> {
  refuseContradictions(model, flags);
  const { shape, type, draft } = flags;
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  try {
    const found = shape === undefined ? await resolveModel(model ?? 'default') : undefined;
    const remembered = found?.drafters.length ? found.drafters : undefined;
    const { report, failure } = await runBench({
      model: shape === undefined ? (found?.path ?? 'default') : { shape, type },
      pad: flags.pad,
      prompt: flags.prompt,
      generate: flags.gen,
      batches: flags.batch,
      drafts: draft && {
        kinds: draft,
        models: flags.draftModel ?? remembered,
        texts: flags.text === undefined ? flags.texts : { file: flags.text },
        temperature: flags.temp,
      },
      rounds: flags.runs,
      peer: flags.vs !== undefined,
      threads: flags.threads,
      kvType: flags.kv,
      device: deviceOptions(flags),
      profile: flags.profile === true,
      cacheFolder: cacheFolder(),
      onNote: note,
      onProgress: bar.onProgress,
      signal: interrupt.signal,
    });
    bar.clear();
    const json = flags.json === true;
    if (!json) await printBenchReport(report);
    if (failure !== undefined) process.exitCode = await reportFailure(failure, json, report);
    else if (json) await printJson(report);
  } finally {
    bar.clear();
    interrupt.release();
  }
}

function refuseContradictions(model: string | undefined, flags: BenchFlags): void {
  const { shape, pad, text, draft, vs, experts } = flags;
  if (vs !== undefined && experts !== undefined) {
    throw new PacelineError('usage', `${vs} cannot leave experts out`, {
      hint: 'Write the smaller model with `experts prune`, and compare on that.',
    });
  }
  if (text !== undefined && draft === undefined) {
    throw new PacelineError('usage', '--text is the prompt of drafts, and none are asked for', {
      hint: 'Give --draft too, for example `--draft ngram`.',
    });
  }
  if (shape === undefined) return;
  if (model !== undefined) {
    throw new PacelineError('usage', 'Give a model or --shape, not both', {
      hint: '--shape makes a model of its own.',
    });
  }
  if (pad !== undefined) {
    throw new PacelineError('usage', 'Give --pad or --shape, not both', {
      hint: '--pad is for a model that says something, --shape for one that does not.',
    });
  }
}
