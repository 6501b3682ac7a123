/** `paceline embed`: texts to vectors. */
import { type Command, Option } from 'commander';
import type { Pooling } from '../../engine/types.js';
import { addDeviceFlags, type LoadFlags, loadOptions } from '../generation-flags.js';
import { addExamples } from '../help.js';
import { catchInterrupt } from '../interrupt.js';
import { modelArgument } from '../model-names.js';
import { integer } from '../numbers.js';
import { print, printJson } from '../output.js';
import { addTextFlags, readTexts, type TextFlags } from '../texts.js';

interface EmbedFlags extends TextFlags, LoadFlags {
  readonly dimensions?: number;
  readonly pooling?: Pooling;
  readonly json?: boolean;
}

/** Declares the command. */
export function defineEmbed(program: Command): void {
  const command = program
    .command('embed')
    .summary('texts to vectors')
    .description(
      'Makes a vector of length 1 of each text, pooled as the model’s file says, and prints one a ' +
        'line. The product of two of them is how alike their texts are. Names of special tokens in ' +
        'a text are those tokens, since some models want them.',
    )
    .argument('<model>', modelArgument)
    .argument('[texts...]', 'the texts (default: the lines of stdin)')
    .option('--dimensions <count>', 'keep so many of a vector’s first values', integer(1))
    .addOption(
      new Option(
        '--pooling <kind>',
        'which rows make the vector (default: as the file says, else the last, for encoders the mean)',
      ).choices(['mean', 'cls', 'last']),
    );
  addTextFlags(command, 'text');
  addReadingFlags(command)
    .option('--json', 'one JSON object on stdout: {"model", "pooling", "tokens", "vectors"}')
    .action(embedCommand);
  addExamples(
    command,
    ['embed model.gguf "query: rivers" "passage: The Rhine"', 'two vectors'],
    ['embed model.gguf --lines titles.txt --json', 'one of each line of a file'],
  );
}

/** Adds the flags that load a model whose texts are only read. */
export function addReadingFlags(command: Command): Command {
  return addDeviceFlags(command)
    .option(
      '--ctx <tokens>',
      'longest text (default: the model’s own, at most 8192)',
      integer(1, 2 ** 31 - 1),
    )
    .option('--threads <count>', 'threads that compute (default: physical cores)', integer(1, 1024))
    .option('--portable', 'the same bytes on every x64 and arm64 machine, several times slower');
}

async function embedCommand(
  model: string,
  given: readonly string[],
  flags: EmbedFlags,
): Promise<void> {
  const texts = await readTexts(given, flags, 'text');
  const { withModel } = await import('../engine.js');
  const interrupt = catchInterrupt();
  const { signal } = interrupt;
  try {
    // What drafts is of no use here.
    const options = { ...loadOptions(flags), draftModels: [], signal };
    const { name, result } = await withModel(
      model,
      options,
      async (loaded) => ({
        name: loaded.info.name ?? model,
        result: await loaded.embed(
          texts.map(({ text }) => text),
          { dimensions: flags.dimensions, pooling: flags.pooling, signal },
        ),
      }),
      { drafters: false, signal },
    );
    const vectors = result.vectors.map(digits);
    const { tokens, pooling } = result;
    if (flags.json === true) await printJson({ model: name, pooling, tokens, vectors });
    else for (const vector of vectors) await print(`${vector.join(' ')}\n`);
  } finally {
    interrupt.release();
  }
}

/** As many digits as bring the same 32-bit number back. */
function digits(vector: Float32Array): readonly number[] {
  return Array.from(vector, (value) => Number(value.toPrecision(9)));
}
