/** What `paceline draft check` does. */
import { errorCodes } from '../base/errors.js';
import { checkDraft } from '../bench/draft-check/check.js';
import { catchInterrupt } from './interrupt.js';
import { resolveModel } from './model-names.js';
import { bold, print, printJson, snakeKeys } from './output.js';
import { ProgressBar } from './progress-bar.js';
import { readPrompts } from './prompt-files.js';
import { table } from './table.js';

/** Values of the flags of `draft check`. */
export interface DraftCheckFlags {
  readonly prompts?: readonly string[];
  readonly gen: number;
  readonly temps: readonly number[];
  readonly threads?: number;
  readonly json?: boolean;
}

const percent = (share: number | undefined): string =>
  share === undefined ? '' : `${(share * 100).toFixed(0)}%`;

/** Runs the command. Sets the exit code 7 when the drafter does not fit. */
export async function draftCheckCommand(
  model: string,
  draft: string,
  flags: DraftCheckFlags,
): Promise<void> {
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  try {
    const files = flags.prompts ?? [];
    const prompts = readPrompts(files);
    const report = await checkDraft({
      model: (await resolveModel(model)).path,
      draft,
      prompts: files.length === 0 ? undefined : prompts,
      tokens: flags.gen,
      temperatures: flags.temps,
      threads: flags.threads,
      onProgress: bar.onProgress,
      signal: interrupt.signal,
    });
    bar.clear();
    if (!report.fits) process.exitCode = errorCodes['check-failed'].exit;
    if (flags.json === true) return await printJson(snakeKeys(report));
    const marks = { right: 'ok', doubtful: '?', wrong: 'WRONG' } as const;
    const findings = report.findings.map(({ state, name, finding }) => [
      marks[state],
      name,
      finding,
    ]);
    const positions = report.acceptance.map((share, at) => [
      `${at + 1}`,
      percent(share),
      percent(report.trained?.[at]),
    ]);
    const hints = report.findings.flatMap(({ hint }) =>
      hint === undefined ? [] : [`hint: ${hint}`],
    );
    await print(
      [
        `${bold(report.kind)} drafter, ${report.fits ? 'fits' : 'does not fit'}`,
        '',
        table([['', 'looked at', 'found'], ...findings]),
        '',
        table([['guess', 'right here', 'in training'], ...positions]),
        ...hints,
        '',
      ].join('\n'),
    );
  } finally {
    bar.clear();
    interrupt.release();
  }
}
