/** `paceline backends`: other engines, and how they are installed. */
import { type Command, Option } from 'commander';
import type { BackendDescriptor } from '../../backends/descriptor.js';
import type { InstallOptions, InstallPlan } from '../../backends/install/install.js';
import type { BackendStatus } from '../../backends/install/status.js';
import { PacelineError } from '../../base/errors.js';
import { askYesNo, canAsk } from '../ask.js';
import { addExamples } from '../help.js';
import { catchInterrupt } from '../interrupt.js';
import { note, print, printJson, snakeKeys } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { bytes, printable, table } from '../table.js';

interface InstallFlags {
  readonly variant?: string;
  readonly chip?: string;
  readonly tool?: 'uv' | 'pip';
  readonly python?: string;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

interface UninstallFlags {
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** Declares the commands. */
export function defineBackends(program: Command): void {
  const backends = program
    .command('backends')
    .summary('other engines behind the same endpoint')
    .description(
      'Installs other engines, and says which are here. Each has a folder of its own in the user’s data ' +
        'folder; every file that is downloaded has a SHA-256 that was written down before.',
    );
  addExamples(backends, ['backends', 'what is installed, and what comes next']);
  const status = backends
    .command('status', { isDefault: true })
    .summary('what is installed, and what comes next')
    .description(
      'Says of each backend whether it is installed, could be, or can’t be, why, and the command that ' +
        'comes next.',
    )
    .argument('[name]', 'one backend; default: all')
    .option('--json', 'one JSON object on stdout')
    .action(statusCommand);
  addExamples(status, ['backends status vllm --json', 'for a script']);
  const install = backends
    .command('install')
    .summary('install an engine, or bring it up to date')
    .description(
      'Installs the variant that suits this machine: a virtual environment of Python from a list of ' +
        'packages with hashes, or an archive for the chip. The new one is made beside the old one and ' +
        'then takes its place; what was interrupted goes on where it stopped.',
    )
    .argument('<name>', 'the backend: vllm, sglang')
    .option('--variant <name>', 'instead of the one that suits this machine: cuda, rocm, cpu, …')
    .option('--chip <name>', 'for this chip instead of the one that was found: gfx1151, gfx1100, …')
    .addOption(
      new Option(
        '--tool <name>',
        'what installs packages of Python; default: uv if it is there',
      ).choices(['uv', 'pip']),
    )
    .option('--python <path>', 'the Python that the environment is made with')
    .option('--dry-run', 'only say what would be done: commands, files, sizes')
    .option('--force', 'install again what is installed')
    .option('--json', 'one JSON object on stdout')
    .action(installCommand);
  addExamples(
    install,
    ['backends install vllm --dry-run', 'what would be done'],
    ['backends install vllm', 'what suits this machine'],
    ['backends install vllm --variant rocm --chip gfx1151', 'for Strix Halo'],
  );
  const uninstall = backends
    .command('uninstall')
    .summary('remove an engine')
    .description('Removes an engine with all that was installed or downloaded for it.')
    .argument('<name>', 'the backend')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'one JSON object on stdout')
    .action(uninstallCommand);
  addExamples(uninstall, ['backends uninstall vllm --yes', 'without a question']);
}

async function statusCommand(
  name: string | undefined,
  flags: { readonly json?: boolean },
): Promise<void> {
  const { backendNamed, backends } = await import('../../backends/registry.js');
  const { backendStatus } = await import('../../backends/install/status.js');
  const shown = name === undefined ? backends : [backendNamed(name)];
  const states: [BackendDescriptor, BackendStatus][] = [];
  for (const backend of shown) states.push([backend, await backendStatus(backend)]);
  if (flags.json === true) {
    await printJson({ backends: states.map(([backend, state]) => statusReport(backend, state)) });
    return;
  }
  if (name === undefined) {
    const rows = states.map(([backend, { state, next }]) => [backend.name, state, next ?? '']);
    await print(table(rows, ['backend', 'state', 'next']));
    return;
  }
  for (const [backend, { state, message, next, receipt, program }] of states) {
    const rows = [
      ['backend', backend.title],
      ['state', state],
      ['', printable(message)],
      ...(receipt === undefined ? [] : [['on the disk', bytes(receipt.bytes)]]),
      ...(program === undefined ? [] : [['program', printable(program.join(' '))]]),
      ...(next === undefined ? [] : [['next', next]]),
    ];
    await print(table(rows));
  }
}

function statusReport(
  { name }: BackendDescriptor,
  { state, message, next, receipt, program, environment }: BackendStatus,
): Record<string, unknown> {
  return {
    ...{ name, state, message, next: next ?? null, program: program ?? null, environment },
    variant: receipt?.variant ?? null,
    release: receipt?.release ?? null,
    chip: receipt?.chip ?? null,
    bytes: receipt?.bytes ?? null,
  };
}

async function installCommand(name: string, flags: InstallFlags): Promise<void> {
  const { backendNamed } = await import('../../backends/registry.js');
  const { installBackend, planInstall } = await import('../../backends/install/install.js');
  const backend = backendNamed(name);
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  const options: InstallOptions = {
    ...flags,
    signal: interrupt.signal,
    onProgress: bar.onProgress,
    onNote: (text) => {
      bar.clear();
      note(printable(text));
    },
  };
  try {
    if (flags.dryRun === true) {
      const plan = await planInstall(backend, options);
      if (flags.json === true) await printJson(snakeKeys(plan));
      else await printPlan(plan);
      return;
    }
    const { receipt, folder, changed } = await installBackend(backend, options);
    bar.clear();
    if (flags.json === true) {
      await printJson({
        ...{ name: backend.name, folder, changed, variant: receipt.variant },
        ...{ release: receipt.release, chip: receipt.chip ?? null, bytes: receipt.bytes },
      });
      return;
    }
    const what = `${backend.title} ${receipt.release} (${receipt.variant})`;
    note(changed ? `${what} is installed, ${bytes(receipt.bytes)}` : `${what} is up to date`);
    note(`next: paceline serve --backend ${backend.name} --model MODEL`);
    await print(`${folder}\n`);
  } finally {
    bar.clear();
    interrupt.release();
  }
}

async function printPlan(plan: InstallPlan): Promise<void> {
  const rows = [
    ['variant', plan.variant],
    ['release', printable(plan.release)],
    ...(plan.chip === undefined ? [] : [['chip', plan.chip]]),
    ['folder', printable(plan.folder)],
    ...(plan.lock === undefined
      ? []
      : [['packages', `${plan.packages}, each with its SHA-256 in ${printable(plan.lock)}`]]),
    ['to download', `${plan.assets.length > 0 ? '' : 'about '}${bytes(plan.downloadBytes)}`],
    ['on the disk', `about ${bytes(plan.installedBytes)}`],
  ];
  await print(table(rows));
  for (const { name, url, bytes: size, sha256 } of plan.assets) {
    await print(
      `download ${printable(name)}\n  ${url.href}\n  ${bytes(size)}, SHA-256 ${sha256}\n`,
    );
  }
  for (const command of plan.commands) await print(`run ${command.map(printable).join(' ')}\n`);
}

async function uninstallCommand(name: string, flags: UninstallFlags): Promise<void> {
  const { backendNamed } = await import('../../backends/registry.js');
  const { uninstallBackend } = await import('../../backends/install/install.js');
  const backend = backendNamed(name);
  if (flags.yes !== true) {
    if (!canAsk()) {
      throw new PacelineError('usage', `This removes ${backend.title}, and nobody can be asked`, {
        hint: 'Add --yes.',
      });
    }
    if (!(await askYesNo(`Remove ${backend.title} with all that was installed for it?`, false)))
      return;
  }
  const interrupt = catchInterrupt();
  try {
    const removed = await uninstallBackend(backend, { signal: interrupt.signal, onNote: note });
    if (flags.json === true) await printJson({ name: backend.name, removed });
    else note(removed ? `${backend.title} is removed` : `${backend.title} was not installed`);
  } finally {
    interrupt.release();
  }
}
