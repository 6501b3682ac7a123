/** `paceline quantize`: a model in fewer bits. */
import { type Command, InvalidArgumentError } from 'commander';
import { mixNames } from '../../convert/mixes.js';
import type { TypeOverride } from '../../convert/tensor-types.js';
import { type GgmlType, targetTypeByName } from '../../ggml/types.js';
import { addExamples } from '../help.js';
import { integer } from '../numbers.js';
import type { QuantizeFlags } from '../quantize-command.js';

/** Declares the command. */
export function defineQuantize(program: Command): void {
  const command = program
    .command('quantize')
    .summary('write a model in fewer bits')
    .description(
      'Writes a GGUF model with its matrices in other types, chosen tensor by tensor as ' +
        'llama.cpp chooses them, with the same bytes. The result appears only when it is whole. ' +
        `Types: ${mixNames.join(', ')}. DS4 packs routed experts as IQ2_XXS and Q2_K and the ` +
        'rest as Q8_0.',
    )
    .argument('<model>', 'a path to an F32, F16 or BF16 model')
    .argument('<type>', 'a type from the list, such as Q4_K_M')
    .argument(
      '[output]',
      'the file to write (default: the model’s name with the type, beside a path)',
    )
    .option(
      '--tensor-type <pattern=type>',
      'another type for tensors whose name holds a match of this regular expression; may be ' +
        'repeated, the first match decides',
      override,
    )
    .option('--output-type <type>', 'the type of the head', tensorType)
    .option('--embedding-type <type>', 'the type of the token table', tensorType)
    .option('--pure', 'all matrices in the one type, without the rules of the mix')
    .option('--imatrix <file>', 'importance matrix: errors cost most where inputs are large')
    .option('--check <text>', 'compare the result with the source on a text, as `perplexity` does')
    .option('--allow-requantize', 'also take matrices that are quantised already, at a loss')
    .option('--dry-run', 'only say what would be written')
    .option('--force', 'replace the output if it exists')
    .option('--threads <count>', 'threads that quantise (default: all cores)', integer(1, 1024))
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, type: string, output: string | undefined, flags) => {
      const { quantizeCommand } = await import('../quantize-command.js');
      await quantizeCommand(model, type, output, flags as QuantizeFlags);
    });
  addExamples(
    command,
    ['quantize model.gguf q4_k_m', 'the usual mix'],
    ['quantize model.gguf iq2_xxs tiny.gguf --imatrix imatrix.gguf', 'by importance'],
    ['quantize model.gguf q4_k_m --check text.txt', 'and compare with the source'],
  );
}

function tensorType(text: string): GgmlType {
  const type = targetTypeByName(text);
  if (type !== undefined) return type;
  throw new InvalidArgumentError(`${text} is no type that tensors can be written in.`);
}

function override(text: string, previous: readonly TypeOverride[] | undefined): TypeOverride[] {
  const at = text.lastIndexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be PATTERN=TYPE, as in ffn_down=q6_k.');
  let pattern: RegExp;
  try {
    pattern = new RegExp(text.slice(0, at));
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  return [...(previous ?? []), { pattern, type: tensorType(text.slice(at + 1)) }];
}
