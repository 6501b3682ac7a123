/** `npm start`: the shortest way from a fresh clone to text from the embedded model. */
import type { Command } from 'commander';
import type { ModelInfo } from '../../engine/types.js';
import { programName } from '../help.js';
import { catchInterrupt } from '../interrupt.js';
import { bold, dim, note, print } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { count, printable } from '../table.js';
import { demonstration, startText, summaryLine } from '../text-report.js';

/** What the embedded model continues, always with the same seed: a first impression to come back to. */
const startPrompt = 'export interface Options {\n';
const settings = {
  maxTokens: 160,
  temperature: 0.7,
  repetitionPenalty: 1.25,
  penaltyWindow: 128,
  seed: 3,
};

/** Declares the command; it is for `npm start` and not listed in `--help`. */
export function defineStart(program: Command): void {
  program
    .command('start', { hidden: true })
    .description('Streams a first text from the embedded model and says what to try next.')
    .action(startCommand);
}

function banner(info: ModelInfo): string {
  const model = `${printable(info.name ?? 'the embedded model')}, ${count(info.parameters)} parameters`;
  return `${model} (${info.architecture}) on ${info.kernels}, ${info.threads} threads, loaded in ${Math.round(info.loadMs)} ms`;
}

function nextSteps(): string {
  const command = programName();
  const tries = [
    [`${command} run default "## Installation"`, 'continue a text of your own'],
    [`${command} run`, 'type one text after the other'],
    [`${command} run model.gguf "Why is the sky blue?"`, 'a model of yours'],
    [`${command} devices`, 'what computes here'],
    [`${command} --help`, 'everything else'],
    [`${command} serve --demo`, 'chat on a page: http://127.0.0.1:11711/'],
  ] as const;
  const width = Math.max(...tries.map(([words]) => words.length));
  const lines = tries.map(([words, what]) => `  ${words.padEnd(width)}  ${dim(what)}`);
  return `Try next:\n${lines.join('\n')}`;
}

async function startCommand(): Promise<void> {
  const { withModel } = await import('../engine.js');
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  try {
    const load = { onProgress: bar.onProgress, signal: interrupt.signal };
    await withModel('default', load, async (model) => {
      bar.clear();
      note(
        `${bold('paceline', process.stderr)} ${dim(banner(model.info))}\n${dim(demonstration())}\n`,
      );
      await print(dim(startPrompt, process.stdout));
      const options = { ...settings, signal: interrupt.signal };
      for await (const event of startText(model, startPrompt, false, undefined, options)) {
        if (event.type === 'text') {
          await print(event.text);
          continue;
        }
        await print('\n');
        note(dim(`\n[${summaryLine(event.generation)}]`));
        if (event.generation.finishReason === 'abort') process.exitCode = 130;
        else note(`\n${nextSteps()}`);
      }
    });
  } finally {
    bar.clear();
    interrupt.release();
  }
}
