/** What a server and the watchdog of one of its engines tell each other. */

export type ToWatchdog =
  | {
      readonly type: 'start';
      readonly program: string;
      readonly arguments: readonly string[];
      readonly environment: Readonly<Record<string, string>>;
      readonly stop: { readonly signal: NodeJS.Signals; readonly patienceMs: number };
    }
  | { readonly type: 'stop' };

export type FromWatchdog =
  | { readonly type: 'started'; readonly pid: number }
  /** The program could not be started. */
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'exited'; readonly how: string }
  /** Nothing of the engine lives any more. */
  | { readonly type: 'ended' };
