/** `paceline experts`: which experts of a mixture a task needs, and the model without the others. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Keep } from '../../bench/experts/select.js';
import { selectionMethods } from '../../models/selection-methods.js';
import type { PruneFlags, SelectFlags, StatFlags, TableFlags } from '../experts-command.js';
import { addExamples } from '../help.js';
import { collect, integer, words } from '../numbers.js';

/** `16`, `25%`, or a number for each layer. */
function keep(text: string): Keep {
  const parts = text.split(',').map((part) => part.trim());
  const [first = ''] = parts;
  if (parts.length === 1 && /^\d+(\.\d+)?%$/.test(first)) {
    const share = Number(first.slice(0, -1)) / 100;
    if (share > 0 && share <= 1) return { share };
  } else if (parts.every((part) => /^\d{1,5}$/.test(part))) {
    return parts.length === 1 ? { count: Number(first) } : { counts: parts.map(Number) };
  }
  throw new InvalidArgumentError('Give a number of experts, a share such as 25%, or a list.');
}

/** Several of these. */
function keeps(text: string): Keep[] {
  return text.split(',').map((part) => keep(part.trim()));
}

/** The flags of whatever reads a text. */
function addReading(command: Command): Command {
  return command
    .option('--ctx <tokens>', 'most tokens that are read at once', integer(16), 512)
    .option(
      '--passages <count>',
      'most passages of --ctx tokens to read (default: all)',
      integer(1),
    )
    .option(
      '--threads <count>',
      'threads that compute (default: physical cores)',
      integer(1, 1024),
    );
}

const uneven = () =>
  new Option(
    '--uneven',
    'as many experts in all, but more of them in layers that use more (llama.cpp does not read such files)',
  );
const seed = () =>
  new Option('--seed <number>', 'of the method random')
    .argParser(integer(0, 2 ** 32 - 1))
    .default(0);

/** Declares the commands. */
export function defineExperts(program: Command): void {
  const experts = program
    .command('experts')
    .summary('which experts of a mixture a task needs, and the model without the others')
    .description(
      'Finds out which experts of a mixture a text uses, chooses some of them, and runs or writes the ' +
        'model without the others. Shared experts are always kept and not counted. Texts are UTF-8; ' +
        'NUL bytes separate documents, each of which is read from an empty state. docs/experts.md ' +
        'has the methods and what they cost.',
    );
  addExamples(
    experts,
    ['experts stat model.gguf --text task.txt', 'a heat map of what a text uses'],
    ['experts select model.gguf --text task.txt --keep 25% -o task.json', 'choose'],
    [
      'experts prune model.gguf --experts task.json -o small.gguf',
      'write the model without the others',
    ],
  );
  defineStat(experts);
  defineSelect(experts);
  defineTable(experts);
  definePrune(experts);
}

function defineStat(experts: Command): void {
  const command = experts
    .command('stat')
    .summary('which experts a text uses')
    .description(
      'Reads texts and shows for each layer how much probability its router gives each expert, as a ' +
        'heat map; for several texts also how alike they are (the cosine of what they use).',
    )
    .argument('<model>', 'a path or `default`')
    .requiredOption('--text <file>', 'a text; may be repeated', collect)
    .option('--html <file>', 'also write the maps as a page of its own')
    .option('--force', 'replace the page if it exists');
  addReading(command)
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, flags: StatFlags) => {
      const { statCommand } = await import('../experts-command.js');
      await statCommand(model, flags);
    });
  addExamples(
    command,
    ['experts stat model.gguf --text python.txt', 'in the terminal'],
    [
      'experts stat model.gguf --text python.txt --text prose.txt --html use.html',
      'two, as a page',
    ],
  );
}

function defineSelect(experts: Command): void {
  const command = experts
    .command('select')
    .summary('choose experts for a task')
    .description(
      'Chooses experts by a text of the task and writes a file for `--experts` and `prune`.',
    )
    .argument('<model>', 'a path or `default`')
    .requiredOption('--text <file>', 'a text of the task')
    .addOption(
      new Option(
        '--keep <experts>',
        'of each layer: a number, a share (25%), or a list, one a layer',
      )
        .argParser(keep)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--method <name>', 'how they are chosen')
        .choices(selectionMethods)
        .default('layerwise'),
    )
    .addOption(uneven())
    .addOption(seed())
    .requiredOption('-o, --output <file>', 'the file to write')
    .option('--force', 'replace the file if it exists');
  addReading(command)
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, flags: SelectFlags) => {
      const { selectCommand } = await import('../experts-command.js');
      await selectCommand(model, flags);
    });
  addExamples(
    command,
    ['experts select model.gguf --text task.txt --keep 16 -o task.json', '16 of each layer'],
    [
      'experts select model.gguf --text task.txt --keep 25% --method easy-ep -o task.json',
      'a quarter, by what they add',
    ],
  );
}

function defineTable(experts: Command): void {
  const command = experts
    .command('table')
    .summary('what is lost with fewer experts')
    .description(
      'Chooses experts by one text and measures on another: nats a token and a byte of the full model ' +
        'and of each part of it, time and memory. Choose and measure on different texts.',
    )
    .argument('<model>', 'a path or `default`')
    .requiredOption('--text <file>', 'a text of the task, to choose by')
    .requiredOption('--held-out <file>', 'another text of the task, to measure on')
    .option('--keep <list>', 'numbers or shares of experts', keeps, keeps('50%,25%,12.5%'))
    .option('--methods <list>', `of ${selectionMethods.join(', ')}`, words(selectionMethods), [
      'layerwise',
      'random',
    ])
    .addOption(uneven())
    .addOption(seed());
  addReading(command)
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, flags: TableFlags) => {
      const { tableCommand } = await import('../experts-command.js');
      await tableCommand(model, flags);
    });
  addExamples(
    command,
    ['experts table model.gguf --text task.txt --held-out more.txt', 'half, a quarter, an eighth'],
    [
      'experts table model.gguf --text task.txt --held-out more.txt --keep 32,16 --methods global,easy-ep',
      'two methods',
    ],
  );
}

function definePrune(experts: Command): void {
  const command = experts
    .command('prune')
    .summary('write the model without the other experts')
    .description(
      'Writes a GGUF with the experts of a subset alone. Its text has the same bytes as that of the ' +
        'whole file with `--experts`.',
    )
    .argument('<model>', 'a path or `default`')
    .requiredOption('--experts <file>', 'the subset, from `select`')
    .requiredOption('-o, --output <file>', 'the GGUF to write')
    .option('--force', 'replace the file if it exists')
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string, flags: PruneFlags) => {
      const { pruneCommand } = await import('../experts-command.js');
      await pruneCommand(model, flags);
    });
  addExamples(command, [
    'experts prune model.gguf --experts task.json -o small.gguf',
    'a smaller file',
  ]);
}
