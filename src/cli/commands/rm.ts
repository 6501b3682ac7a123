/** `paceline rm`: removes a model that was pulled. */
import type { Command } from 'commander';
import { PacelineError } from '../../base/errors.js';
import type { Removal } from '../../hub/remove.js';
import { askYesNo, canAsk } from '../ask.js';
import { addExamples } from '../help.js';
import { note, printJson } from '../output.js';
import { bytes, printable } from '../table.js';

interface RmFlags {
  readonly yes?: boolean;
  readonly keepFiles?: boolean;
  readonly json?: boolean;
}

/** Declares the command. */
export function defineRm(program: Command): void {
  const command = program
    .command('rm')
    .summary('remove a model')
    .description(
      'Removes a model that was pulled, with drafters that belong to no other, its names, and what ' +
        'an interrupted download left. hf:owner/repo removes all GGUF files of the repository. Files ' +
        'of other kinds, and what another snapshot uses, stay.',
    )
    .argument(
      '<model>',
      'an alias, hf:owner/repo[:quant or file], or the address that it was pulled from',
    )
    .option('-y, --yes', 'do not ask')
    .option('--keep-files', 'forget an alias and leave the files')
    .option('--json', 'one JSON object on stdout')
    .action(rmCommand);
  addExamples(
    command,
    ['rm hf:Qwen/Qwen3-0.6B-GGUF:Q8_0', 'remove one quantisation, after a question'],
    ['rm small --yes --keep-files', 'forget a name and keep the files'],
  );
}

async function rmCommand(model: string, flags: RmFlags): Promise<void> {
  const { planRemoval, remove, removeAlias } = await import('../../hub/remove.js');
  const { hubEnvironment } = await import('../../hub/environment.js');
  const { readSettings } = await import('../../hub/settings.js');
  if (flags.keepFiles === true) {
    await removeAlias(model);
    if (flags.json === true) await printJson({ removed: [], aliases: [model], bytes: 0 });
    else note(`${model} is forgotten; its files stay`);
    return;
  }
  const options = { environment: hubEnvironment(), settings: await readSettings() };
  const removal = await planRemoval(model, options);
  if (flags.yes !== true) {
    if (!canAsk()) {
      throw new PacelineError('usage', 'Nobody is there to be asked', {
        hint: `Add --yes to remove ${listOf(removal)} (${bytes(removal.bytes)}).`,
      });
    }
    note(`${listOf(removal)}: ${bytes(removal.bytes)} become free`);
    if (!(await askYesNo('Remove?', false))) {
      note('nothing was removed');
      process.exitCode = 1;
      return;
    }
  }
  await remove(removal, options);
  const { keys, aliases, bytes: freed } = removal;
  if (flags.json === true) await printJson({ removed: keys, aliases, bytes: freed });
  else note(`removed ${listOf(removal)}: ${bytes(freed)} are free`);
}

function listOf({ keys, aliases }: Removal): string {
  return printable([...keys, ...aliases.map((alias) => `the name ${alias}`)].join(', '));
}
