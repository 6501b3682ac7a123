/** `paceline ls`: the models on this machine. */
import type { Command } from 'commander';
import type { ListedModel } from '../../hub/list.js';
import { addExamples } from '../help.js';
import { note, print, printJson } from '../output.js';
import { bytes, printable, table } from '../table.js';

interface LsFlags {
  readonly all?: boolean;
  readonly json?: boolean;
}

/** Declares the command. */
export function defineLs(program: Command): void {
  const command = program
    .command('ls')
    .summary('the models on this machine')
    .description(
      'Lists the models in Hugging Face’s cache, those that were pulled from an address, and files ' +
        'with a name, the last used first. The first column is what other commands take.',
    )
    .option('--all', 'also the models of Ollama and LM Studio, which are only read')
    .option('--json', 'one JSON object on stdout')
    .action(lsCommand);
  addExamples(
    command,
    ['ls', 'what is here, and how large'],
    ['ls --all --json', 'with models of other programs, for scripts'],
  );
}

async function lsCommand(flags: LsFlags): Promise<void> {
  const { listModels, unfinishedDownloads } = await import('../../hub/list.js');
  const { hubEnvironment } = await import('../../hub/environment.js');
  const { readSettings } = await import('../../hub/settings.js');
  const environment = hubEnvironment();
  const settings = await readSettings();
  const models = await listModels({ environment, settings, all: flags.all });
  const unfinished = await unfinishedDownloads(environment.cache);
  if (flags.json === true) {
    await printJson({ models: models.map(listedJson), unfinished });
    return;
  }
  if (models.length === 0) {
    note(
      'No models yet. Get one with `paceline pull hf:owner/repo`; `paceline run` has one built in.',
    );
  } else {
    const header = ['model', 'name', 'size', 'architecture', 'quant', 'used', 'drafters'];
    await print(
      table(
        models.map((model) => rowOf(model, new Date())),
        header,
      ),
    );
  }
  for (const { name, bytes: size } of unfinished) {
    note(`unfinished: ${printable(name)}, ${bytes(size)} so far; \`paceline pull\` goes on`);
  }
}

function rowOf(model: ListedModel, now: Date): string[] {
  const { summary, problem, drafter } = model;
  const other = model.otherName === undefined ? [] : [`${model.source}: ${model.otherName}`];
  return [
    printable(model.name),
    printable([...model.aliases, ...other].join(', ')),
    bytes(model.bytes),
    problem !== undefined ? 'broken' : printable(summary?.architecture ?? '?'),
    printable(model.quant ?? '?'),
    ago(model.lastUsed, now),
    drafter !== undefined
      ? `is one (${drafter})`
      : model.drafters.length > 0
        ? String(model.drafters.length)
        : '',
  ];
}

/** How long ago something was, in the largest whole unit. */
export function ago(then: Date, now: Date): string {
  const units: readonly (readonly [string, number])[] = [
    ['year', 365 * 86_400],
    ['month', 30 * 86_400],
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
  ];
  const seconds = (now.getTime() - then.getTime()) / 1000;
  for (const [unit, length] of units) {
    const count = Math.floor(seconds / length);
    if (count >= 1) return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}

/** One model in JSON. */
export function listedJson(model: ListedModel): Record<string, unknown> {
  const { summary } = model;
  return {
    model: model.name,
    aliases: model.aliases,
    source: model.source,
    other_name: model.otherName ?? null,
    path: model.path,
    bytes: model.bytes,
    parts: model.parts,
    quant: model.quant ?? null,
    architecture: summary?.architecture ?? null,
    name: summary?.name ?? null,
    license: summary?.license ?? null,
    parameters: summary?.parameters ?? null,
    context_length: summary?.contextLength ?? null,
    last_used: model.lastUsed.toISOString(),
    is_drafter: model.drafter !== undefined,
    drafters: model.drafters,
    problem: model.problem ?? null,
  };
}
