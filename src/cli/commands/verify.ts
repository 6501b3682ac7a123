/** `paceline verify`: proof that nothing but model, prompt, settings and seed decides a text. */
import type { Command } from 'commander';
import { PacelineError } from '../../base/errors.js';
import { draftKinds } from '../../engine/draft-kinds.js';
import { addDeviceFlags, kvOption } from '../generation-flags.js';
import { addExamples } from '../help.js';
import { collect, integer, integers, number, numbers, words } from '../numbers.js';
import type { BackendVerifyFlags } from '../verify-backends-command.js';
import type { VerifyFlags } from '../verify-command.js';

/** Declares the command. */
export function defineVerify(program: Command): void {
  const command = program
    .command('verify')
    .summary('prove that drafting, batching and threads change nothing')
    .description(
      'Generates texts plainly, then again with every drafter, in other prefill chunks, beside ' +
        'other texts, from caches with a past, and with other numbers of threads. Tokens must be ' +
        'the same, and all logits too, to the byte. Exits with 7 and shows the first differences ' +
        'when they are not.',
    )
    .argument('[model]', 'a path or `default`', 'default')
    .option('--gen <tokens>', 'tokens of each text', integer(1, 4096), 32)
    .option('--temps <values>', 'temperatures', numbers(0, 100), [0, 0.7, 1.2])
    .option('--seeds <values>', 'seeds for temperatures above 0', integers(0, 2 ** 48), [1, 2])
    .option(
      '--threads <counts>',
      'numbers of threads; the first is the reference',
      integers(1, 1024),
    )
    .option(
      '--chunks <sizes>',
      'prefill chunks to compare with a single one',
      integers(1, 4096),
      [1, 7, 64],
    )
    .option('--draft <kinds>', 'only these drafters', words(draftKinds))
    .option(
      '--draft-model <file>',
      'a GGUF with a drafter; may be repeated (default: those of the embedded model)',
      collect,
    )
    .option('--prompts <count>', 'only so many of the built-in prompts', integer(1, 1000))
    .option('--prompt <text>', 'a prompt instead of the built-in ones; may be repeated', collect)
    .option('--tokens-only', 'compare tokens and not logits, for devices that depend on the batch')
    .option(
      '--tolerance <logits>',
      'for devices and paths that depend on the batch: logits may differ by so much; reports how ' +
        'often they do, and where near-ties flip',
      number(0),
    )
    .option(
      '--backend <url>',
      'compare another engine with this one instead: greedy texts, token by token, with their ' +
        'log-probabilities; differences that are no near-ties fail (--tolerance, default 0.1 nats)',
    )
    .option('--against <url>', 'compare that engine with a further one')
    .addOption(kvOption())
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, flags: Partial<BackendVerifyFlags> & VerifyFlags) => {
      const { backend, against } = flags;
      if (backend !== undefined) {
        const { verifyBackendsCommand } = await import('../verify-backends-command.js');
        await verifyBackendsCommand(model, { ...flags, backend });
        return;
      }
      if (against !== undefined) {
        throw new PacelineError('usage', '--against needs --backend', {
          hint: 'For example: paceline verify --backend URL --against OTHER MODEL.',
        });
      }
      const { verifyCommand } = await import('../verify-command.js');
      await verifyCommand(model, flags);
    });
  addDeviceFlags(command);
  addExamples(
    command,
    ['verify', 'the embedded model and its drafters'],
    ['verify model.gguf --prompts 4 --gen 16', 'a quick look at a model of yours'],
    ['verify model.gguf --threads 1,2,4 --json', 'for a report'],
    ['verify model.gguf --backend http://gpu-host:8000', 'another engine against this one'],
    [
      'verify model.gguf --device CUDA0 --tolerance 0.05',
      'a card, whose logits depend on the batch',
    ],
  );
}
