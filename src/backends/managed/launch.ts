/** From a descriptor's launch to the arguments and the environment of one process. Starts nothing. */
import { PacelineError } from '../../base/errors.js';
import type { BackendDescriptor, Launch, LaunchValues } from '../descriptor.js';

export interface LaunchPlan {
  readonly program: string;
  readonly arguments: readonly string[];
  /** Beside that of this process. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * The exact arguments of a start.
 * @param program the program of an installation and the arguments that always come first
 * @param extra arguments of the user's, after all others
 * @throws {PacelineError} `usage` for a backend that is not started, for arguments of the user's that are
 *   the server's to give, and for a number of threads that it can't be told
 */
export function launchPlan(
  backend: BackendDescriptor,
  program: readonly [string, ...string[]],
  values: LaunchValues,
  extra: readonly string[] = [],
): LaunchPlan {
  const { launch } = backend;
  if (launch === undefined) {
    throw new PacelineError('usage', `${backend.title} is not started by Paceline`, {
      hint: 'Start it yourself, and attach to it with --upstream URL.',
    });
  }
  refuseReserved(backend.title, launch, extra);
  const [path, ...first] = program;
  const { key } = values;
  return {
    program: path,
    arguments: [...first, ...filledArguments(launch, values), ...extra],
    environment: {
      ...launch.environment,
      ...threadVariables(backend.title, launch, values),
      ...(launch.keyVariable === undefined || key === undefined
        ? {}
        : { [launch.keyVariable]: key }),
    },
  };
}

function refuseReserved(title: string, { reserved }: Launch, extra: readonly string[]): void {
  const taken = extra.find((argument) => reserved.includes(argument.split('=')[0] ?? ''));
  if (taken === undefined) return;
  throw new PacelineError('usage', `${taken} of ${title} is set by Paceline`, {
    hint: `These can't be given: ${reserved.join(', ')}.`,
  });
}

/** Variables that set the number of threads, where one was given and no argument says it. */
function threadVariables(
  title: string,
  { threads, arguments: templates }: Launch,
  values: LaunchValues,
): Readonly<Record<string, string>> {
  const { device } = values;
  if (values.threads === undefined) return {};
  if (templates.some((one) => typeof one !== 'string' && one.when === 'threads')) return {};
  if (threads === undefined || device === undefined || !threads.devices.includes(device)) {
    throw new PacelineError('usage', `--threads: ${title} takes no number of threads here`, {
      hint: 'Leave it out, or give the engine its own arguments with --backend-arg.',
    });
  }
  const entries = Object.entries(threads.environment);
  return Object.fromEntries(entries.map(([name, text]) => [name, filled(text, values)]));
}

function filledArguments(launch: Launch, values: LaunchValues): readonly string[] {
  return launch.arguments.flatMap((template) => {
    if (typeof template === 'string') return [filled(template, values)];
    const value = values[template.when];
    if (value === undefined) return [];
    if (template.is !== undefined && !template.is.some((device) => device === value)) return [];
    return template.arguments.map((argument) => filled(argument, values));
  });
}

function filled(template: string, values: LaunchValues): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name as keyof LaunchValues];
    if (value === undefined) {
      throw new PacelineError('internal', `A launch names ${name}, which has no value`);
    }
    return String(value);
  });
}
