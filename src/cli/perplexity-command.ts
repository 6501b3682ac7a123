/** What `paceline perplexity` does: measures and prints. */
import { type PerplexityResult, perplexity } from '../bench/perplexity.js';
import type { KvType } from '../engine/types.js';
import { readTextFile } from './input.js';
import { catchInterrupt } from './interrupt.js';
import { resolveModel } from './model-names.js';
import { print, printJson, snakeKeys } from './output.js';
import { ProgressBar } from './progress-bar.js';
import { table } from './table.js';

/** Values of the flags of `perplexity`. */
export interface PerplexityFlags {
  readonly text: string;
  readonly against?: string;
  readonly againstKv?: KvType;
  readonly ctx: number;
  readonly chunks?: number;
  readonly kv?: KvType;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Runs the command. @throws {PacelineError} as `perplexity`. */
export async function perplexityCommand(model: string, flags: PerplexityFlags): Promise<void> {
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  const { text, against, againstKv, ctx, chunks, kv, threads } = flags;
  try {
    const result = await perplexity({
      model: (await resolveModel(model)).path,
      text: readTextFile(text),
      contextLength: ctx,
      ...(against === undefined ? {} : { against: (await resolveModel(against)).path }),
      ...(againstKv === undefined ? {} : { againstKv }),
      ...(chunks === undefined ? {} : { chunks }),
      ...(kv === undefined ? {} : { kvType: kv }),
      ...(threads === undefined ? {} : { threads }),
      onProgress: bar.onProgress,
      signal: interrupt.signal,
    });
    bar.clear();
    if (flags.json === true) await printJson(snakeKeys(result));
    else await print(perplexityTable(result));
  } finally {
    bar.clear();
    interrupt.release();
  }
}

/** The result for people. */
export function perplexityTable(result: PerplexityResult): string {
  const number = (value: number) => value.toFixed(6);
  const rows = [
    ['tokens scored', `${result.scored} in ${result.chunks} chunks of ${result.contextLength}`],
    ['nats a token', `${number(result.nats.mean)} ± ${number(result.nats.error)}`],
    ['perplexity', result.perplexity.toFixed(4)],
  ];
  const { against } = result;
  if (against !== undefined) {
    const { divergence: d } = against;
    rows.push(
      ['reference: nats a token', number(against.nats.mean)],
      ['reference: perplexity', against.perplexity.toFixed(4)],
      ['divergence: mean', `${number(d.mean)} ± ${number(d.error)}`],
      ['divergence: median', number(d.median)],
      ['divergence: 99 % below', number(d.p99)],
      ['divergence: largest', number(d.max)],
      ['same likeliest token', `${(100 * against.sameTop).toFixed(3)} %`],
    );
  }
  return table(rows);
}
