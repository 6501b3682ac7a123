/** Where the program of an engine is, and what it needs. */
import { PacelineError } from '../../base/errors.js';
import type { BackendDescriptor } from '../descriptor.js';
import { backendStatus, type StatusOptions } from '../install/status.js';

export interface EngineProgram {
  /** Absolute, with arguments that always come first. */
  readonly program: readonly [string, ...string[]];
  /** Variables that it needs. */
  readonly environment: Readonly<Record<string, string>>;
}

/** @throws {PacelineError} `not-found` where it is not installed, with the command that comes next */
export async function engineProgram(
  backend: BackendDescriptor,
  options: StatusOptions = {},
): Promise<EngineProgram> {
  const { program, environment, message, next } = await backendStatus(backend, options);
  if (program !== undefined) return { program, environment };
  throw new PacelineError('not-found', `${backend.title} is not there: ${message}`, {
    ...(next === undefined ? {} : { hint: `Next: ${next}` }),
  });
}
