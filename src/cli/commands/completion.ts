/** `paceline completion SHELL`: a script for bash, zsh or fish, made from this program's definitions. */
import { Argument, type Command } from 'commander';
import { completionScript, completionShells } from '../completion.js';
import { addExamples } from '../help.js';
import { print, printJson } from '../output.js';

/** Declares the command. */
export function defineCompletion(program: Command): void {
  const command = program
    .command('completion')
    .summary('completion for bash, zsh or fish')
    .description(
      'Prints a script that completes commands, flags and their values. Load it where your shell ' +
        'starts, as the examples show.',
    )
    .addArgument(new Argument('<shell>', 'the shell').choices(completionShells))
    .option('--json', '{"script": ...} on stdout')
    .action(
      async (shell: (typeof completionShells)[number], flags: { readonly json?: boolean }) => {
        const script = completionScript(program, shell);
        if (flags.json === true) await printJson({ script });
        else await print(script);
      },
    );
  addExamples(
    command,
    ['completion bash > ~/.local/share/bash-completion/completions/paceline', 'bash'],
    ['completion zsh > ~/.zfunc/_paceline', 'zsh, with ~/.zfunc in fpath before compinit'],
    ['completion fish > ~/.config/fish/completions/paceline.fish', 'fish'],
  );
}
