/** `paceline cache`: what is kept of prompts on the disk. */
import { type Command, Option } from 'commander';
import { PacelineError } from '../../base/errors.js';
import type { ModelReport, PrefixNode } from '../../cache/store/admin.js';
import { askYesNo, canAsk } from '../ask.js';
import { cacheBudgetOption, cacheFolderOf, cacheFolderOption } from '../cache-flags.js';
import { addExamples, type Example } from '../help.js';
import { catchInterrupt } from '../interrupt.js';
import { note, print, printJson, snakeKeys } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { bytes, printable, table } from '../table.js';
import { ago } from './ls.js';

interface CacheFlagValues {
  readonly cacheDir?: string;
  readonly cacheBudget?: number;
  readonly model?: string;
  readonly all?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

const examples = {
  stat: [['cache stat --json', 'for a script']],
  ls: [['cache ls', 'what is kept, as trees']],
  rm: [
    ['cache rm 3f2a91c0', 'one prefix and what goes on from it'],
    ['cache rm --all --yes', 'everything'],
  ],
  gc: [['cache gc --cache-budget 2GB', 'keep the newest and most used 2 GB']],
  verify: [['cache verify', 'read everything; exit code 7 when something is damaged']],
} as const satisfies Record<string, readonly Example[]>;

/** Declares the commands. */
export function defineCache(program: Command): void {
  const cache = program
    .command('cache')
    .summary('the KV cache on the disk')
    .description(
      'Shows and tends what `run` keeps of prompts and texts, so that no prefix is computed twice. ' +
        'docs/cache.md says how it works.',
    );
  addExamples(cache, ['cache stat', 'how large it is, and what it saved']);
  const define = (name: string, summary: string, description: string): Command =>
    addExamples(
      cache
        .command(name)
        .summary(summary)
        .description(description)
        .addOption(cacheFolderOption())
        .option('--json', 'one JSON object on stdout'),
      ...examples[name as keyof typeof examples],
    );
  define(
    'stat',
    'sizes and what was saved',
    'Says how large the store is and what it was good for.',
  )
    .addOption(cacheBudgetOption())
    .action(statCommand);
  define(
    'ls',
    'the prefixes',
    'Lists the texts that are kept, of each model as a tree: beginnings that texts share stand ' +
      'above them. The first column is what `cache rm` takes.',
  )
    .addOption(modelOption())
    .action(listCommand);
  define('rm', 'remove prefixes', 'Removes one prefix and all that goes on from it, or more.')
    .argument('[prefix]', 'from the first column of `cache ls`; its beginning is enough')
    .addOption(modelOption())
    .option('--all', 'everything')
    .option('-y, --yes', 'do not ask')
    .action(removeCommand);
  define(
    'gc',
    'keep the budget now',
    'Removes what is worth least until the budget is kept, broken files, and what interrupted ' +
      'writers left.',
  )
    .addOption(cacheBudgetOption())
    .action(collectCommand);
  define(
    'verify',
    'read and check everything',
    'Reads every block and compares its checksums. What is not as it was written is set aside, ' +
      'and the exit code is 7.',
  ).action(verifyCommand);
}

function modelOption(): Option {
  return new Option('--model <name>', 'only of this model, as `cache stat` names it, or its key');
}

async function statCommand(flags: CacheFlagValues): Promise<void> {
  const { reportStore } = await import('../../cache/store/admin.js');
  const report = await reportStore(cacheFolderOf(flags), flags.cacheBudget);
  if (flags.json === true) {
    await printJson(snakeKeys(report));
    return;
  }
  note(`${report.folder}: ${bytes(report.bytes)} of at most ${bytes(report.budget)}`);
  if (report.broken > 0)
    note(`${report.broken} broken files were set aside; \`cache gc\` removes them`);
  if (report.models.length === 0) return note('nothing is kept yet');
  const header = ['model', 'key', 'kv', 'size', 'blocks', 'prefixes', 'tokens', 'hits', 'saved'];
  await print(table(report.models.map(statRow), header));
}

function statRow(model: ModelReport): string[] {
  const { requests, hits } = model;
  return [
    printable(model.model),
    model.key.slice(0, 8),
    model.kvType,
    bytes(model.bytes),
    String(model.blocks + model.states),
    String(model.prefixes),
    String(model.tokens),
    requests === 0 ? '-' : `${hits} of ${requests}`,
    `${model.savedSeconds.toFixed(1)} s`,
  ];
}

async function listCommand(flags: CacheFlagValues): Promise<void> {
  const { listPrefixes } = await import('../../cache/store/admin.js');
  const models = await listPrefixes(cacheFolderOf(flags), flags.model);
  if (flags.json === true) {
    await printJson(snakeKeys({ models }));
    return;
  }
  const now = new Date();
  for (const { model, prefixes } of models) {
    note(printable(model));
    const rows = prefixes.flatMap((node) => listRows(node, 0, now));
    await print(table(rows, ['prefix', 'tokens', 'size', 'hits', 'used', 'text']));
  }
  if (models.length === 0) note('nothing is kept yet');
}

const shownText = 60;

function listRows(node: PrefixNode, depth: number, now: Date): string[][] {
  const text = printable(node.text.replace(/\s+/g, ' '));
  const short = text.length > shownText ? `${text.slice(0, shownText - 1)}…` : text;
  return [
    [
      node.name.slice(0, 12),
      String(node.length),
      bytes(node.bytes),
      String(node.hits),
      ago(node.lastUse, now),
      `${'  '.repeat(depth)}${short}`,
    ],
    ...node.children.flatMap((child) => listRows(child, depth + 1, now)),
  ];
}

async function removeCommand(prefix: string | undefined, flags: CacheFlagValues): Promise<void> {
  const { removeAll, removePrefix } = await import('../../cache/store/admin.js');
  const wanted = [prefix, flags.model, flags.all].filter((value) => value !== undefined);
  if (wanted.length !== 1) {
    throw new PacelineError('usage', 'Say what to remove: a prefix, --model or --all', {
      hint: '`paceline cache ls` lists the prefixes.',
    });
  }
  const root = cacheFolderOf(flags);
  if (prefix === undefined && flags.yes !== true) {
    const what = flags.model === undefined ? 'everything' : `everything of ${flags.model}`;
    if (!canAsk()) {
      throw new PacelineError('usage', 'Nobody is there to be asked', {
        hint: `Add --yes to remove ${what}.`,
      });
    }
    if (!(await askYesNo(`Remove ${what} from ${root}?`, false))) {
      note('nothing was removed');
      process.exitCode = 1;
      return;
    }
  }
  const removed =
    prefix === undefined ? await removeAll(root, flags.model) : await removePrefix(root, prefix);
  if (removed === undefined) {
    throw new PacelineError('usage', `No prefix, or more than one, begins with ${prefix}`, {
      hint: '`paceline cache ls` lists the prefixes.',
    });
  }
  if (flags.json === true) await printJson(removed);
  else note(`removed ${removed.blocks} blocks, ${bytes(removed.bytes)}`);
}

async function collectCommand(flags: CacheFlagValues): Promise<void> {
  const { collectGarbage } = await import('../../cache/store/admin.js');
  const freed = await collectGarbage(cacheFolderOf(flags), flags.cacheBudget);
  if (flags.json === true) await printJson(freed);
  else note(`removed ${freed.blocks} blocks, ${bytes(freed.bytes)}; ${bytes(freed.left)} are left`);
}

async function verifyCommand(flags: CacheFlagValues): Promise<void> {
  const { checkStore } = await import('../../cache/store/admin.js');
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  const { onProgress } = bar;
  try {
    const options = { onProgress, signal: interrupt.signal };
    const { blocks, bytes: size, broken } = await checkStore(cacheFolderOf(flags), options);
    bar.clear();
    if (flags.json === true) await printJson({ blocks, bytes: size, broken });
    for (const { path, why } of broken) note(`${path}: ${why}; it was set aside`);
    if (flags.json !== true) note(`${blocks} blocks, ${bytes(size)}: ${broken.length} broken`);
    if (broken.length > 0) process.exitCode = 7;
  } finally {
    bar.clear();
    interrupt.release();
  }
}
