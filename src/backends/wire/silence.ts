/**
 * A silent upstream may be reading a long prompt, and is asked for its health; one that is not well, or
 * silent for hours, is given up. So nobody waits for ever, before the head of an answer or inside of it.
 */
import { type PacelineError, throwIfAborted } from '../../base/errors.js';

export interface SilenceOptions {
  /** After so much silence the upstream is asked whether it lives; default 60 s. */
  readonly silenceMs?: number;
  /** After so much silence it is given up, however well it says that it is; default 1 hour. */
  readonly longestSilenceMs?: number;
  /** Whether it lives. */
  readonly isAlive: () => Promise<boolean>;
}

const usualSilenceMs = 60_000;
const usualLongestSilenceMs = 3_600_000;

/**
 * Calls `onLost` with what is wrong when nothing came since `lastAt()`, by `performance.now()`, and the
 * upstream is given up. The result ends the watch.
 */
export function watchSilence(
  { silenceMs = usualSilenceMs, longestSilenceMs = usualLongestSilenceMs, isAlive }: SilenceOptions,
  lastAt: () => number,
  onLost: (what: string) => void,
): () => void {
  let asking = false;
  const timer = setInterval(
    () => {
      const silent = performance.now() - lastAt();
      const told = `it was silent for ${Math.round(silent / 1000)} s`;
      if (silent >= longestSilenceMs) onLost(told);
      if (asking || silent < silenceMs) return;
      asking = true;
      void isAlive().then((alive) => {
        asking = false;
        if (!alive) onLost(`${told}, and is not well`);
      });
    },
    Math.max(10, silenceMs / 4),
  );
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * Waits for an answer as long as the upstream lives.
 * @throws what `broken` makes of a loss; what the work throws
 */
export async function whileAlive<T>(
  options: SilenceOptions & {
    readonly signal: AbortSignal;
    readonly broken: (what: string) => PacelineError;
  },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, broken } = options;
  const began = performance.now();
  const lost = new AbortController();
  const stop = watchSilence(
    options,
    () => began,
    (what) => lost.abort(broken(what)),
  );
  try {
    return await work(AbortSignal.any([signal, lost.signal]));
  } catch (error) {
    throwIfAborted(signal);
    throw lost.signal.aborted ? lost.signal.reason : error;
  } finally {
    stop();
  }
}
