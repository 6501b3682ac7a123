/** Where the program of an engine is. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { PacelineError } from '../../base/errors.js';
import type { BackendDescriptor } from '../descriptor.js';

export interface EngineProgram {
  /** Absolute, with arguments that always come first. */
  readonly program: readonly [string, ...string[]];
  /** Variables that it needs. */
  readonly environment: Readonly<Record<string, string>>;
}

/** @throws {PacelineError} `not-found` where it is not installed, with what to do about it */
export async function engineProgram(
  backend: BackendDescriptor,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<EngineProgram> {
  for (const installation of backend.installations) {
    if (installation.kind !== 'provided') continue;
    const { program, variable, hint } = installation;
    const [name, ...first] = program;
    const given = env[variable];
    const path = given !== undefined && given !== '' ? given : inPath(name, env.PATH ?? '');
    if (path !== undefined && isProgram(path))
      return { program: [path, ...first], environment: {} };
    throw new PacelineError('not-found', `${backend.title} is not there (${path ?? name})`, {
      hint,
    });
  }
  throw new PacelineError('not-found', `${backend.title} is not installed`, {
    hint: `Install it with: paceline backends install ${backend.name}`,
  });
}

function inPath(name: string, path: string): string | undefined {
  const names = process.platform === 'win32' ? [`${name}.exe`, name] : [name];
  const all = path.split(delimiter).flatMap((folder) => names.map((one) => join(folder, one)));
  return all.find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
