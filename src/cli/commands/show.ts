/** `paceline show`: one model of this machine, in short; `inspect` says what its file holds. */
import type { Command } from 'commander';
import { PacelineError } from '../../base/errors.js';
import type { ListedModel } from '../../hub/list.js';
import { addExamples } from '../help.js';
import { modelArgument, resolveModel } from '../model-names.js';
import { print, printJson } from '../output.js';
import { bytes, count, printable, table } from '../table.js';
import { ago, listedJson } from './ls.js';

/** Declares the command. */
export function defineShow(program: Command): void {
  const command = program
    .command('show')
    .summary('one model: where it is, how large, its licence, its drafters')
    .description(
      'Shows what is known of a model: file, size, architecture, quantisation, context, last use, ' +
        'drafters, names, and the licence that its metadata states.',
    )
    .argument('<model>', modelArgument)
    .option('--json', 'one JSON object on stdout')
    .action(showCommand);
  addExamples(
    command,
    ['show hf:Qwen/Qwen3-0.6B-GGUF', 'what a pulled model is and where it lies'],
    ['show small --json', 'the same of a name that you gave'],
  );
}

async function showCommand(model: string, flags: { readonly json?: boolean }): Promise<void> {
  const { describeFile } = await import('../../hub/list.js');
  const { hubEnvironment } = await import('../../hub/environment.js');
  const { readSettings } = await import('../../hub/settings.js');
  const { path } = await resolveModel(model, { touch: false });
  const options = { environment: hubEnvironment(), settings: await readSettings() };
  const found = await describeFile(path, options);
  if (found.problem !== undefined) {
    throw new PacelineError('broken-file', found.problem, {
      hint: 'Pull it again, or see `paceline inspect`.',
      details: { file: path },
    });
  }
  if (flags.json === true) await printJson(listedJson(found));
  else await print(table(facts(found)));
}

function facts(model: ListedModel): string[][] {
  const { summary } = model;
  const rows: (readonly [string, string | undefined])[] = [
    ['model', model.name],
    ['names', model.aliases.join(', ') || undefined],
    [model.source, model.otherName],
    ['title', summary?.name],
    ['file', model.parts > 1 ? `${model.path} and ${model.parts - 1} more` : model.path],
    ['size', bytes(model.bytes)],
    ['architecture', summary?.architecture],
    ['parameters', summary === undefined ? undefined : count(summary.parameters)],
    [
      'quantisation',
      summary === undefined
        ? model.quant
        : `${model.quant ?? '?'}, ${summary.bitsPerWeight.toFixed(2)} bits a weight`,
    ],
    [
      'context',
      summary?.contextLength === undefined ? undefined : `${summary.contextLength} tokens`,
    ],
    ['licence', summary?.license ?? 'not stated in the file'],
    ['last used', ago(model.lastUsed, new Date())],
    ['drafters', model.drafters.join(', ') || undefined],
    [
      'drafter',
      model.drafter === undefined ? undefined : `of kind ${model.drafter}, for another model`,
    ],
  ];
  return rows.flatMap(([key, value]) => (value === undefined ? [] : [[key, printable(value)]]));
}
