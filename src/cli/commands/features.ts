/** `paceline features`: what a draft model learns from, made by the engine that will use it. */
import type { Command } from 'commander';
import type { FeaturesFlags } from '../features-command.js';
import { addExamples } from '../help.js';
import { collect, integer, integers, numbers } from '../numbers.js';

/** Declares the command. */
export function defineFeatures(program: Command): void {
  const command = program
    .command('features')
    .summary('record hidden states, to train a drafter')
    .description(
      'Lets a model answer prompts, or reads texts, and writes the tokens with the hidden rows that ' +
        'a drafter of this model will be shown. training/drafter makes a draft model of the ' +
        'folder. A run that was stopped goes on when it is started again with the same arguments.',
    )
    .argument('<model>', 'a path or `default`')
    .argument('<folder>', 'where the files go; made where it is missing')
    .option(
      '--prompts <file>',
      'the model goes on from each line: a question, {"prompt": "..."} for a text as it is, or ' +
        '{"messages": [...]}; may be repeated',
      collect,
    )
    .option('--text <file>', 'a text to read as it is; may be repeated', collect)
    .option('--ctx <tokens>', 'tokens of a text with its prompt', integer(32), 512)
    .option('--temps <values>', 'temperatures of the answers, by turns', numbers(0, 100), [0, 0.8])
    .option(
      '--taps <layers>',
      'layers whose input a DFlash model reads, from 1 (default: five, evenly spread)',
      integers(1, 4096),
    )
    .option('--threads <count>', 'threads that compute (default: physical cores)', integer(1, 1024))
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, folder: string, flags: FeaturesFlags) => {
      const { featuresCommand } = await import('../features-command.js');
      await featuresCommand(model, folder, flags);
    });
  addExamples(
    command,
    ['features model.gguf features --prompts questions.txt', 'what it answers'],
    ['features model.gguf features --text book.txt', 'what others wrote'],
  );
}
