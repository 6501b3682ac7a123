/** The file that a command writes. */
import { statSync } from 'node:fs';
import { PacelineError } from '../base/errors.js';

export interface OutputOptions {
  /** Replace what is there. Default false. */
  readonly replace?: boolean | undefined;
  /** Files that are read for it, which it may not be. Default: none. */
  readonly sources?: readonly string[];
}

/** @throws {PacelineError} `usage` when the file exists and is not to be replaced, or is a source. */
export function checkOutput(
  output: string,
  { replace = false, sources = [] }: OutputOptions,
): void {
  const found = statSync(output, { throwIfNoEntry: false });
  if (found === undefined) return;
  const same = sources.some((path) => {
    const source = statSync(path);
    return source.ino === found.ino && source.dev === found.dev;
  });
  if (!same && replace) return;
  throw new PacelineError('usage', `${output} ${same ? 'is the model itself' : 'exists already'}`, {
    hint: same ? 'Give another name for the result.' : 'Give another name, or --force.',
    details: { file: output },
  });
}
