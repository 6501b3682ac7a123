/**
 * `paceline run`: text from a prompt, or a chat on a terminal. Decides between a chat turn and the
 * plain continuation of a text, streams to stdout, and reports as JSON where asked.
 */
import type { Command } from 'commander';
import { PacelineError } from '../../base/errors.js';
import type { ChatOptions, Generation, ModelInfo } from '../../engine/types.js';
import { addCacheFlags, type CacheFlags, cacheOptions, withWarnings } from '../cache-flags.js';
import type { ModelLike } from '../engine.js';
import {
  addGenerationFlags,
  addLoadFlags,
  continuationTokens,
  type GenerationFlags,
  generateOptions,
  type LoadFlags,
  loadOptions,
} from '../generation-flags.js';
import { addExamples } from '../help.js';
import { readPrompt } from '../input.js';
import { catchInterrupt } from '../interrupt.js';
import { modelArgument } from '../model-names.js';
import { dim, note, print, printJson } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import {
  cutText,
  demonstration,
  isDemonstration,
  promptShown,
  runReport,
  startText,
  summaryLine,
} from '../text-report.js';

interface RunFlags extends LoadFlags, GenerationFlags, CacheFlags {
  readonly raw?: boolean;
  readonly chat?: boolean;
  readonly system?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** Declares the command. */
export function defineRun(program: Command): void {
  const command = program
    .command('run')
    .summary('generate text from a prompt, or chat')
    .description(
      'Generates text. Without a prompt, reads it from stdin when that is not a terminal, and ' +
        'opens a chat when it is.\n\n' +
        'A model with a chat template answers the prompt as a user’s message; a base model, or ' +
        'any model with --raw, continues the prompt as it is. A model counts as a base model when ' +
        'its GGUF has no chat template or says so (general.finetune is “base”); the embedded ' +
        'default is one.',
    )
    .argument('[model]', modelArgument, 'default')
    .argument('[prompt]', 'the text to answer or continue; `-` reads stdin')
    .option('-y, --yes', 'pull a model that is not here without asking')
    .option('--raw', 'continue the prompt as it is, without the chat template')
    .option('--chat', 'use the chat template also where the model is marked as a base model')
    .option('--system <text>', 'system message for the chat template');
  addGenerationFlags(command);
  addCacheFlags(command);
  addLoadFlags(command);
  command
    .option('--json', 'one JSON object on stdout instead of streamed text')
    .action((model: string, prompt: string | undefined, flags: RunFlags) =>
      runCommand(model, prompt, flags),
    );
  addExamples(
    command,
    ['run default "export function "', 'continue a text with the embedded model'],
    ['run model.gguf "Why is the sky blue?"', 'answer with the model’s chat template'],
    ['run model.gguf', 'chat on a terminal'],
    ['run model.gguf --temp 0 -n 200 --json < prompt.txt', 'for scripts: one JSON object'],
  );
}

/** Whether a prompt is a message to answer; see the description of the command. */
export function answersAsChat(
  info: Pick<ModelInfo, 'hasChatTemplate' | 'isBaseModel'>,
  flags: Pick<RunFlags, 'raw' | 'chat' | 'system'>,
): boolean {
  if (flags.raw === true) {
    if (flags.chat !== true && flags.system === undefined) return false;
    throw new PacelineError('usage', '--raw excludes --chat and --system', {
      hint: 'A raw prompt is continued as it is: write the system text into it.',
    });
  }
  const wanted = flags.chat === true || flags.system !== undefined;
  if (info.hasChatTemplate) return wanted || !info.isBaseModel;
  if (!wanted) return false;
  throw new PacelineError('usage', 'This model has no chat template', {
    hint: 'Leave out --chat and --system; the prompt is then continued as it is.',
  });
}

function emptyPrompt(): PacelineError {
  return new PacelineError('usage', 'The prompt is empty', {
    hint: 'Give text as an argument or on stdin, or run on a terminal for a chat.',
  });
}

async function runCommand(
  model: string,
  argument: string | undefined,
  flags: RunFlags,
): Promise<void> {
  const json = flags.json === true;
  const options = generateOptions(flags);
  if (flags.logprobs !== undefined && !json) {
    throw new PacelineError('usage', '--logprobs needs --json', { hint: 'Add --json.' });
  }
  const interactive = argument === undefined && process.stdin.isTTY === true;
  if (interactive && json) {
    throw new PacelineError('usage', '--json needs a prompt', {
      hint: 'Give the prompt as an argument or on stdin.',
    });
  }
  const prompt = interactive
    ? undefined
    : argument === undefined || argument === '-'
      ? await readPrompt()
      : argument;
  if (prompt === '') {
    // Who gives a prompt alone has named it as the model.
    if (argument === undefined) {
      const { openModelFile } = await import('../model-file.js');
      await (await openModelFile(model)).close();
    }
    throw emptyPrompt();
  }
  const { withModel } = await import('../engine.js');
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  const names = {
    pull: flags.yes ? 'yes' : 'ask',
    drafters: flags.draft !== 'none' && flags.draft !== 'ngram',
    bar,
    signal: interrupt.signal,
  } as const;
  const load = {
    ...loadOptions(flags),
    cache: withWarnings(cacheOptions(flags)),
    onProgress: bar.onProgress,
    signal: interrupt.signal,
  };
  try {
    await withModel(
      model,
      load,
      async (loaded) => {
        bar.clear();
        const { hasChatTemplate, isBaseModel } = loaded.info;
        const base = isBaseModel || model === 'default';
        const chat = answersAsChat({ hasChatTemplate, isBaseModel: base }, flags);
        // A base model has no end of its own, whatever template it is given.
        const limits = chat && !base ? {} : { maxTokens: continuationTokens };
        if (prompt === undefined) {
          interrupt.release();
          const { chatOnTerminal } = await import('../chat/terminal.js');
          const settings = chat ? { ...limits, ...options } : options;
          await chatOnTerminal(loaded, { chat, system: flags.system, options: settings });
          return;
        }
        const text = { ...limits, ...options, signal: interrupt.signal };
        await once(loaded, prompt, chat, flags, text, bar);
      },
      names,
    );
  } finally {
    bar.clear();
    interrupt.release();
  }
}

async function once(
  model: ModelLike,
  prompt: string,
  chat: boolean,
  flags: RunFlags,
  options: ChatOptions,
  bar: ProgressBar,
): Promise<void> {
  const json = flags.json === true;
  const settings = { ...options, onProgress: bar.onProgress };
  const terminal = !json && process.stdout.isTTY === true;
  if (terminal && isDemonstration(model.info)) note(dim(`${demonstration()}\n`));
  // The text goes on where the prompt ends, which a person has to see.
  if (terminal && !chat) await print(promptShown(prompt));
  let last = '';
  for await (const event of startText(model, prompt, chat, flags.system, settings)) {
    if (event.type === 'text') {
      if (json || event.text === '') continue;
      bar.clear();
      last = event.text;
      await print(event.text);
      continue;
    }
    bar.clear();
    const { generation } = event;
    if (json) await printJson(runReport(generation, model.info, model.experts));
    else
      await endOfText(
        last,
        generation,
        cutText(generation, model.info, options.maxTokens),
        model.experts,
      );
    if (generation.finishReason === 'abort') process.exitCode = 130;
  }
}

/** A terminal gets its line break and, on stderr, the speed; a pipe gets the text alone. */
async function endOfText(
  last: string,
  generation: Generation,
  cut: string | undefined,
  experts: ModelLike['experts'],
): Promise<void> {
  if (process.stdout.isTTY && !last.endsWith('\n')) await print('\n');
  if (!process.stderr.isTTY) return;
  const summary = summaryLine(generation, experts);
  note(dim(`[${cut === undefined ? summary : `${summary} · ${cut}`}]`));
}
