/**
 * Ctrl-C: the first one asks the running work to stop through an AbortSignal, a second one while it
 * is stopping ends the process at once with 130.
 */

export interface Interrupt {
  readonly signal: AbortSignal;
  /** Gives Ctrl-C back to whoever handled it before. */
  release(): void;
}

/** Catches Ctrl-C until `release`. */
export function catchInterrupt(): Interrupt {
  const controller = new AbortController();
  const handler = (): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  process.on('SIGINT', handler);
  return {
    signal: controller.signal,
    release: () => {
      process.off('SIGINT', handler);
    },
  };
}
