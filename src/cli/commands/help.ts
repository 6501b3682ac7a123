/** `paceline help COMMAND`: the same as `paceline COMMAND --help`. */
import type { Command } from 'commander';
import { PacelineError } from '../../base/errors.js';

/** Declares the command; the list of commands does not name it. */
export function defineHelp(program: Command): void {
  program
    .command('help', { hidden: true })
    .description('Shows the help of a command.')
    .argument('[command]', 'its name; left out: the list of all commands')
    .action((name: string | undefined) => {
      const command =
        name === undefined ? program : program.commands.find((c) => c.name() === name);
      if (command !== undefined) command.help();
      throw new PacelineError('usage', `There is no command ${name}`, {
        hint: 'See `paceline --help`.',
      });
    });
}
