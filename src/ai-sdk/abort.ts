/** How the SDK knows that a call was given up. */
import { PacelineError } from '../base/errors.js';

/** What a call fails with: for an abort, the reason of its signal; else the error itself. */
export function reasonOf(error: unknown, signal: AbortSignal): unknown {
  const aborted = signal.aborted && PacelineError.is(error) && error.code === 'aborted';
  return aborted ? signal.reason : error;
}
