/** `paceline convert`: a checkpoint of Hugging Face as a GGUF file. */
import type { Command } from 'commander';
import { supportedClasses } from '../../convert/classes.js';
import type { ConvertFlags } from '../convert-command.js';
import { addExamples } from '../help.js';
import { integer } from '../numbers.js';

/** Declares the command. */
export function defineConvert(program: Command): void {
  const command = program
    .command('convert')
    .summary('make a GGUF file of a Hugging Face checkpoint')
    .description(
      'Reads a folder with safetensors (one file or shards), config.json and tokenizer.json or ' +
        'tokenizer.model, and writes one GGUF file, as llama.cpp’s converter does. Nothing is ' +
        `guessed: what is not known is refused. Known are ${supportedClasses.join(', ')}.`,
    )
    .argument('<folder>', 'the folder of the checkpoint')
    .argument('[output]', 'the file to write (default: the folder’s name with the type)')
    .option('--type <type>', 'F32, F16 or BF16; auto: as most of the checkpoint is', 'auto')
    .option('--quantize <type>', 'quantise in the same pass, to any type of `quantize`')
    .option('--imatrix <file>', 'importance matrix for --quantize')
    .option('--force', 'replace the output if it exists')
    .option('--threads <count>', 'threads that convert (default: all cores)', integer(1, 1024))
    .option('--json', 'one JSON object on stdout')
    .action(async (folder: string, output: string | undefined, flags: ConvertFlags) => {
      const { convertCommand } = await import('../convert-command.js');
      await convertCommand(folder, output, flags);
    });
  addExamples(
    command,
    ['convert ./Qwen3-0.6B', 'in its own precision'],
    ['convert ./Qwen3-0.6B small.gguf --quantize q4_k_m', 'in fewer bits'],
  );
}
