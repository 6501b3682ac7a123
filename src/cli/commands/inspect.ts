/** `paceline inspect`: what a GGUF holds and what it needs, from its header alone. */
import type { Command } from 'commander';
import { PacelineError } from '../../base/errors.js';
import { addDeviceFlags, deviceOptions, kvOption } from '../generation-flags.js';
import { addExamples } from '../help.js';
import type { InspectFlags } from '../inspect-report.js';
import { collect, integer } from '../numbers.js';
import type { PlanFlags } from '../plan-report.js';

/** @throws {PacelineError} `usage` for flags that change nothing of what a header says. */
function refuseForPlanOnly(flags: PlanFlags): void {
  const given = Object.keys(deviceOptions(flags))[0];
  if (given === undefined) return;
  throw new PacelineError('usage', `Option ${given} says how a model is loaded`, {
    hint: 'Add --plan to see what it changes.',
  });
}

/** Declares the command. */
export function defineInspect(program: Command): void {
  const command = program
    .command('inspect')
    .summary('what a GGUF file holds and needs')
    .description(
      'Shows architecture, parameters, quantisation mix, tokenizer, and the memory that a context ' +
        'needs, drafters included. Reads only the header; no weights are loaded.',
    )
    .argument('<model>', 'a path or `default`')
    .option('--ctx <tokens>', 'context length to estimate the memory for', integer(1))
    .option(
      '--draft-model <file>',
      'a draft model to count with it; may be repeated (default: those of the embedded model)',
      collect,
    )
    .option('--draft-window <tokens>', 'how far draft models look back', integer(1))
    .option('--plan', 'what loading it on this machine would put where, and whether it fits')
    .option('--all', 'also list all metadata and tensors')
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, flags: InspectFlags & PlanFlags) => {
      if (flags.plan) {
        const { planCommand } = await import('../plan-report.js');
        return planCommand(model, flags);
      }
      refuseForPlanOnly(flags);
      const { inspectCommand } = await import('../inspect-report.js');
      await inspectCommand(model, flags);
    });
  addDeviceFlags(command).addOption(kvOption().helpGroup('Loading:'));
  addExamples(
    command,
    ['inspect model.gguf', 'what it holds, and the memory it needs'],
    ['inspect model.gguf --ctx 32768', 'with a long context'],
    ['inspect model.gguf --plan', 'what would go where on this machine'],
    ['inspect default --all', 'all metadata and tensors too'],
  );
}
