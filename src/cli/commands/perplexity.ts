/** `paceline perplexity`: how well a model predicts a text, and how far it is from another. */
import { type Command, Option } from 'commander';
import { kvTypes } from '../../cache/kv-names.js';
import { kvOption } from '../generation-flags.js';
import { addExamples } from '../help.js';
import { integer } from '../numbers.js';
import type { PerplexityFlags } from '../perplexity-command.js';

/** Declares the command. */
export function definePerplexity(program: Command): void {
  const command = program
    .command('perplexity')
    .summary('how well a model predicts a text, alone or against another')
    .description(
      'Reads a text in chunks of --ctx tokens, as llama-perplexity does: each from an empty state, ' +
        'the first token replaced by BOS where the model has one, the second half scored, what is ' +
        'left at the end dropped. Prints nats a token and perplexity, and with --against the ' +
        'Kullback-Leibler divergence from the other model and how often both find the same token ' +
        'likeliest.',
    )
    .argument('<model>', 'a path or `default`')
    .requiredOption('--text <file>', 'the text, in UTF-8')
    .option('--against <model>', 'the reference: a model with the same vocabulary')
    .addOption(
      new Option('--against-kv <type>', 'element type of the reference’s KV cache').choices(
        kvTypes,
      ),
    )
    .option('--ctx <tokens>', 'tokens of a chunk', integer(16), 512)
    .option('--chunks <count>', 'most chunks to read (default: all)', integer(1))
    .addOption(kvOption())
    .option('--threads <count>', 'threads that compute (default: physical cores)', integer(1, 1024))
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, flags: PerplexityFlags) => {
      const { perplexityCommand } = await import('../perplexity-command.js');
      await perplexityCommand(model, flags);
    });
  addExamples(
    command,
    ['perplexity model.gguf --text held-out.txt', 'nats a token'],
    [
      'perplexity small.gguf --text held-out.txt --against model.gguf',
      'how far it is from another',
    ],
  );
}
