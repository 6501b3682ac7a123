/** `paceline imatrix`: which columns of a model's matrices count, measured on a text. */
import type { Command } from 'commander';
import { addExamples } from '../help.js';
import type { ImatrixFlags } from '../imatrix-command.js';
import { integer } from '../numbers.js';

/** Declares the command. */
export function defineImatrix(program: Command): void {
  const command = program
    .command('imatrix')
    .summary('measure which weights of a model count')
    .description(
      'Reads a text with a model and writes how large the inputs of each matrix are, column by ' +
        'column, for `quantize --imatrix`. The file is llama.cpp’s: GGUF, or its older format ' +
        'where the name ends in .dat. Take text like that which the model will see.',
    )
    .argument('[model]', 'a path or `default`; not needed with --convert')
    .option('--text <file>', 'the text to read, in UTF-8')
    .option('--output <file>', 'the file to write', 'imatrix.gguf')
    .option('--convert <file>', 'read no text: write this importance matrix in the other format')
    .option('--ctx <tokens>', 'tokens of a chunk', integer(16), 512)
    .option('--chunks <count>', 'most chunks to read (default: all)', integer(1))
    .option('--process-output', 'also measure the inputs of a head that is no token table')
    .option('--threads <count>', 'threads that compute (default: physical cores)', integer(1, 1024))
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string | undefined, flags: ImatrixFlags) => {
      const { imatrixCommand } = await import('../imatrix-command.js');
      await imatrixCommand(model, flags);
    });
  addExamples(
    command,
    ['imatrix model.gguf --text calibration.txt', 'for `quantize --imatrix`'],
    ['imatrix --convert imatrix.dat --output imatrix.gguf', 'from the older format'],
  );
}
