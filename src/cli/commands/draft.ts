/** `paceline draft`: what has to do with draft models of one's own. */
import type { Command } from 'commander';
import type { DraftCheckFlags } from '../draft-check-command.js';
import { addExamples } from '../help.js';
import { collect, integer, numbers } from '../numbers.js';

/** Declares the commands. */
export function defineDraft(program: Command): void {
  const draft = program
    .command('draft')
    .summary('draft models: do they fit?')
    .description(
      'What has to do with draft models of your own; docs/drafters.md says how to train one.',
    );
  addExamples(draft, ['draft check model.gguf draft.gguf', 'does it fit, and if not, why']);
  const check = draft
    .command('check')
    .summary('whether a draft model fits a model, and if not, why')
    .description(
      'Compares tensors, vocabulary, chat template and taps, measures how often guesses are right, ' +
        'and tries rows a layer off and rows before the output norm to find out whether the ' +
        'drafter was trained on those. Exits with 7 when it does not fit.',
    )
    .argument('<model>', 'a path or `default`')
    .argument('<draft>', 'a GGUF with an MTP block or a DFlash model')
    .option(
      '--prompts <file>',
      'prompts to measure with, one a line, as for `features`; may be repeated (default: those of `verify`)',
      collect,
    )
    .option('--gen <tokens>', 'tokens of each text', integer(2, 4096), 64)
    .option('--temps <values>', 'temperatures', numbers(0, 100), [0])
    .option('--threads <count>', 'threads that compute (default: physical cores)', integer(1, 1024))
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, file: string, flags: DraftCheckFlags) => {
      const { draftCheckCommand } = await import('../draft-check-command.js');
      await draftCheckCommand(model, file, flags);
    });
  addExamples(
    check,
    ['draft check model.gguf draft.gguf', 'with the prompts of `verify`'],
    ['draft check model.gguf draft.gguf --prompts questions.txt --temps 0,0.8', 'with your own'],
  );
}
