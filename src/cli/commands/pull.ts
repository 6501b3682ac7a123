/** `paceline pull`: gets a model from the hub or an address, and what belongs to it. */
import type { Command } from 'commander';
import type { PlannedModel, PullPlan } from '../../hub/plan.js';
import type { PulledModel, PullResult } from '../../hub/pull.js';
import { canAsk } from '../ask.js';
import { addExamples } from '../help.js';
import { catchInterrupt } from '../interrupt.js';
import { askForDrafters, planLine, pullHooks } from '../model-names.js';
import { collect, integer } from '../numbers.js';
import { note, print, printJson, snakeKeys } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { bytes, printable } from '../table.js';

interface PullFlags {
  readonly name?: string;
  /** True with `--drafters`, false with `--no-drafters`. */
  readonly drafters?: boolean;
  readonly drafter?: readonly string[];
  readonly connections: number;
  readonly json?: boolean;
}

/** Declares the command. */
export function definePull(program: Command): void {
  const command = program
    .command('pull')
    .summary('get a model from Hugging Face, or a GGUF file from an address')
    .description(
      'Downloads a model into Hugging Face’s cache, where other tools find it too. What is here ' +
        'already is not downloaded again; an interrupted download goes on where it stopped. Without ' +
        'a quantisation the one is taken that suits this machine’s memory, and said why.\n\n' +
        'Drafters in the same repository are offered on a terminal and remembered: later runs load ' +
        'them with the model. With --name, a file of your own only gets that name.',
    )
    .argument(
      '<model>',
      'hf:owner/repo, hf:owner/repo:Q4_K_M, hf:owner/repo:file.gguf (after the repository @revision may follow), an alias, or the address of a .gguf file',
    )
    .option('--name <alias>', 'remember the model by this name: `paceline run <alias>`')
    .option('--drafters', 'pull the repository’s drafters without asking')
    .option('--no-drafters', 'pull no drafters and do not ask')
    .option(
      '--drafter <model>',
      'a drafter of another repository to go with it; may be repeated',
      collect,
    )
    .option('--connections <count>', 'parallel connections', integer(1, 64), 8)
    .option('--json', 'one JSON object on stdout')
    .action(pullCommand);
  addExamples(
    command,
    ['pull hf:Qwen/Qwen3-0.6B-GGUF', 'the quantisation that fits this machine'],
    ['pull hf:Qwen/Qwen3-0.6B-GGUF:Q8_0 --name small', 'one of your choice, and a name for it'],
    ['pull https://example.com/models/model.gguf', 'a file from anywhere'],
  );
}

async function pullCommand(model: string, flags: PullFlags): Promise<void> {
  const { pullModel } = await import('../../hub/pull.js');
  const { hubEnvironment } = await import('../../hub/environment.js');
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  try {
    const result = await pullModel(model, {
      environment: hubEnvironment(),
      ...pullHooks(bar, interrupt.signal),
      alias: flags.name,
      drafters: flags.drafter,
      connections: flags.connections,
      accept: (plan) => accept(plan, flags),
    });
    bar.clear();
    if (flags.json === true) await printJson(pullReport(result));
    else await printResult(result);
  } finally {
    bar.clear();
    interrupt.release();
  }
}

async function accept(plan: PullPlan, flags: PullFlags): Promise<readonly PlannedModel[]> {
  const { offered } = plan;
  note(planLine(plan.model));
  if (flags.drafters === true) return offered;
  if (flags.drafters === false || offered.length === 0) return [];
  if (canAsk()) return askForDrafters(plan);
  const sum = offered.reduce((total, drafter) => total + drafter.bytes, 0);
  note(
    `It has ${offered.length === 1 ? 'a drafter' : `${offered.length} drafters`} (${bytes(sum)}); --drafters pulls them too.`,
  );
  return [];
}

/** The JSON of a pull. */
function pullReport({ model, drafters, alias }: PullResult): Record<string, unknown> {
  const plain = (pulled: PulledModel): Record<string, unknown> => ({
    ...(snakeKeys(pulled) as Record<string, unknown>),
    commit: pulled.commit ?? null,
    quant: pulled.quant ?? null,
    why: pulled.why ?? null,
    architecture: pulled.architecture ?? null,
  });
  return { ...plain(model), alias: alias ?? null, drafters: drafters.map(plain) };
}

async function printResult({ model, drafters, alias }: PullResult): Promise<void> {
  for (const drafter of drafters) {
    note(
      drafter.remembered
        ? `drafter ${printable(drafter.name)} will be loaded with it`
        : `drafter ${printable(drafter.name)} is of a kind (${printable(drafter.architecture ?? 'unknown')}) that this version does not have: it is here, and not loaded`,
    );
  }
  const got =
    model.downloadedBytes === 0 ? 'is up to date' : `${bytes(model.downloadedBytes)} downloaded`;
  note(`${printable(model.name)} ${got}`);
  if (model.runs) note(`run it with: paceline run ${alias ?? model.name}`);
  else
    note(
      `warning: this version has no architecture ${printable(model.architecture ?? '(none named)')} to run by itself`,
    );
  await print(`${model.path}\n`);
}
