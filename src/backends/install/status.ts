/** What is installed of a backend, what could be, and the command that comes next. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PacelineError } from '../../base/errors.js';
import { lockHolder } from '../../hub/lock.js';
import type { BackendDescriptor, ProvidedInstallation } from '../descriptor.js';
import { fingerprintOf, programOf } from './install.js';
import { BackendFolder, type Receipt } from './layout.js';
import { type Machine, thisMachine } from './machine.js';
import { findProgram } from './processes.js';
import { type Choice, type Selection, selectInstallation } from './select.js';

export type InstallState =
  /** This program itself. */
  | 'built-in'
  /** Only attached to: nothing of it is installed by Paceline. */
  | 'attached'
  /** No installation suits this machine. */
  | 'unsupported'
  | 'installable'
  /** An installation began and did not end. */
  | 'interrupted'
  /** Somebody installs it now. */
  | 'installing'
  | 'installed'
  /** Installed in another version than this program's. */
  | 'outdated'
  /** The receipt is there, its program is not. */
  | 'broken'
  /** The user's own program was found. */
  | 'provided'
  /** The user's own program was not found. */
  | 'missing';

export interface BackendStatus {
  readonly state: InstallState;
  /** One sentence. */
  readonly message: string;
  /** The exact command that comes next; undefined: there is none. */
  readonly next: string | undefined;
  readonly receipt: Receipt | undefined;
  /** Absolute, with arguments that always come first. */
  readonly program: readonly [string, ...string[]] | undefined;
  /** Variables that the program needs. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface StatusOptions extends Choice {
  readonly machine?: Machine | undefined;
  readonly data?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/**
 * The state of a backend on this machine.
 * @throws {PacelineError} `broken-file` when the receipt is none, `io`.
 */
export async function backendStatus(
  backend: BackendDescriptor,
  options: StatusOptions = {},
): Promise<BackendStatus> {
  const { name, title } = backend;
  const said = (state: InstallState, message: string, next?: string, more = {}): BackendStatus => ({
    ...{ state, message, next, receipt: undefined, program: undefined, environment: {}, ...more },
  });
  if (name === 'paceline') return said('built-in', 'This program’s own engine.', 'paceline serve');
  if (backend.installations.length === 0) {
    return said(
      'attached',
      `${title} is started by its own means.`,
      `paceline serve --upstream ${name}=URL`,
    );
  }
  const [own] = backend.installations;
  if (own?.kind === 'provided') return providedStatus(backend, own, options, said);

  const root = new BackendFolder(name, options.data);
  const receipt = await root.receipt();
  const holder = await lockHolder(root.lock);
  const install = `paceline backends install ${name}`;
  if (holder !== undefined) {
    const message = `Process ${holder} is changing it.`;
    return said('installing', message, `paceline backends status ${name}`, { receipt });
  }
  if (receipt !== undefined) {
    const again = `${install} --variant ${receipt.variant}${receipt.chip === undefined ? '' : ` --chip ${receipt.chip}`}`;
    const path = programOf(root, receipt);
    if (!existsSync(path)) return said('broken', `${path} is missing.`, again, { receipt });
    const folder = join(root.path, receipt.folder);
    const facts = {
      receipt,
      program: [path, ...receipt.program.slice(1)],
      environment: Object.fromEntries(
        Object.entries(receipt.environment).map(([key, value]) => [
          key,
          value.replaceAll('{folder}', folder),
        ]),
      ),
    };
    const machine = options.machine ?? thisMachine();
    const current = selectionOf(backend, machine, receipt);
    const what = `${title} ${receipt.release} (${receipt.variant})`;
    if (current === undefined || fingerprintOf(current, machine) !== receipt.fingerprint) {
      return said('outdated', `${what} is not what this version installs.`, again, facts);
    }
    const next = `paceline serve --backend ${name} --model MODEL`;
    return said('installed', `${what} is installed.`, next, facts);
  }
  try {
    const { installation } = selectInstallation(backend, options.machine ?? thisMachine(), options);
    if (await root.hasUnfinished(undefined)) {
      return said(
        'interrupted',
        'An installation did not end; it goes on where it stopped.',
        install,
      );
    }
    const size = 'downloadBytes' in installation ? installation.downloadBytes : 0;
    const message = `${title} ${installation.version} (${installation.variant}), about ${(size / 1e9).toFixed(1)} GB to download.`;
    return said('installable', message, install);
  } catch (error) {
    if (!PacelineError.is(error) || error.code !== 'platform') throw error;
    return said('unsupported', `${error.message}.`, `paceline serve --upstream ${name}=URL`);
  }
}

/** What would be installed now in place of this; undefined: it is unknown today. */
function selectionOf(
  backend: BackendDescriptor,
  machine: Machine,
  { variant, chip }: Receipt,
): Selection | undefined {
  try {
    return selectInstallation(backend, machine, { variant, chip });
  } catch {
    return undefined;
  }
}

function providedStatus(
  { title, name }: BackendDescriptor,
  { program, variable, hint }: ProvidedInstallation,
  { env = process.env }: StatusOptions,
  said: (state: InstallState, message: string, next?: string, more?: object) => BackendStatus,
): BackendStatus {
  const [command, ...args] = program;
  const named = env[variable];
  const found = named || findProgram(command, env);
  if (found !== undefined && existsSync(found)) {
    const next = `paceline serve --backend ${name} --model MODEL`;
    return said('provided', `${title} is ${found}.`, next, { program: [found, ...args] });
  }
  const message = named
    ? `${variable} names ${named}, which is missing.`
    : `${command} is neither in ${variable} nor in PATH.`;
  return said('missing', `${message} ${hint}`, `export ${variable}=PATH`);
}
