/** Where the program of an engine is, and what it needs. */
import { PacelineError } from '../../base/errors.js';
import type { BackendDescriptor, DeviceFamily } from '../descriptor.js';
import { backendStatus, type StatusOptions } from '../install/status.js';

export interface EngineProgram {
  /** Absolute, with arguments that always come first. */
  readonly program: readonly [string, ...string[]];
  /** Variables that it needs. */
  readonly environment: Readonly<Record<string, string>>;
  /** What the installation computes on, where it can only be one thing. */
  readonly device?: DeviceFamily;
}

/** @throws {PacelineError} `not-found` where it is not installed, with the command that comes next */
export async function engineProgram(
  backend: BackendDescriptor,
  options: StatusOptions = {},
): Promise<EngineProgram> {
  const { program, environment, message, next, receipt } = await backendStatus(backend, options);
  if (program !== undefined) {
    const made = backend.installations.find(({ variant }) => variant === receipt?.variant);
    const [device, ...others] = made?.kind === 'provided' ? [] : (made?.devices ?? []);
    const only = device !== undefined && others.length === 0 ? { device } : {};
    return { program, environment, ...only };
  }
  throw new PacelineError('not-found', `${backend.title} is not there: ${message}`, {
    ...(next === undefined ? {} : { hint: `Next: ${next}` }),
  });
}
