/** `paceline rank`: documents by how well they answer a query. */
import type { Command } from 'commander';
import { type LoadFlags, loadOptions } from '../generation-flags.js';
import { addExamples } from '../help.js';
import { catchInterrupt } from '../interrupt.js';
import { modelArgument } from '../model-names.js';
import { integer } from '../numbers.js';
import { print, printJson } from '../output.js';
import { printable, table } from '../table.js';
import { addTextFlags, readTexts, type TextFlags } from '../texts.js';
import { addReadingFlags } from './embed.js';

interface RankFlags extends TextFlags, LoadFlags {
  readonly top?: number;
  readonly json?: boolean;
}

/** Characters of a document in the table. */
const shown = 80;

/** Declares the command. */
export function defineRank(program: Command): void {
  const command = program
    .command('rank')
    .summary('documents by how well they answer a query')
    .description(
      'Reads the query with each document and prints them, the best first, with the model’s own ' +
        'score. Needs a reranking model: one with a classifier.',
    )
    .argument('<model>', modelArgument)
    .argument('<query>', 'what is looked for')
    .argument('[documents...]', 'the documents (default: the lines of stdin)')
    .option('--top <count>', 'print only so many (default: all)', integer(1));
  addTextFlags(command, 'document');
  addReadingFlags(command)
    .option(
      '--json',
      'one JSON object on stdout: {"model", "tokens", "results": [{"index", "score", "source"}]}',
    )
    .action(rankCommand);
  addExamples(
    command,
    ['rank model.gguf "long rivers" "The Rhine" "A cat"', 'the better of two'],
    ['rank model.gguf "long rivers" --lines titles.txt --top 5', 'the best lines of a file'],
  );
}

async function rankCommand(
  model: string,
  query: string,
  given: readonly string[],
  flags: RankFlags,
): Promise<void> {
  const documents = await readTexts(given, flags, 'document');
  const { withModel } = await import('../engine.js');
  const interrupt = catchInterrupt();
  const { signal } = interrupt;
  try {
    const options = { ...loadOptions(flags), draftModels: [], signal };
    const { name, ranking } = await withModel(
      model,
      options,
      async (loaded) => ({
        name: loaded.info.name ?? model,
        ranking: await loaded.rank(
          query,
          documents.map(({ text }) => text),
          { signal },
        ),
      }),
      { drafters: false, signal },
    );
    const best = ranking.results.slice(0, flags.top);
    if (flags.json === true) {
      const results = best.map(({ index, score }) => {
        const { source } = documents[index] ?? {};
        return { index, score, ...(source === undefined ? {} : { source }) };
      });
      await printJson({ model: name, tokens: ranking.tokens, results });
      return;
    }
    const rows = best.map(({ index, score }) => {
      const { source, text = '' } = documents[index] ?? {};
      const line = text.replace(/\s+/g, ' ').trim();
      const beginning = line.length > shown ? `${line.slice(0, shown)}…` : line;
      return [score.toPrecision(6), source ?? String(index), printable(beginning)];
    });
    await print(table(rows));
  } finally {
    interrupt.release();
  }
}
