/** What a loaded model holds in memory, part by part, and what it has computed lately. */
import type { Model } from '../../engine/model.js';
import type { LoggedPass } from '../../engine/pass-log.js';

export interface ModelMemory {
  /** All weights of the model, its experts included. */
  readonly weightBytes: number;
  readonly drafters: readonly { readonly name: string; readonly weightBytes: number }[];
  /** Texts in memory, those of slots included, with their caches and what drafters keep of them. */
  readonly texts: readonly { readonly tokens: number; readonly bytes: number }[];
  /** What one more text takes when its context is full. */
  readonly fullTextBytes: number;
}

export function modelMemory({ info, runtime }: Model): ModelMemory {
  const { weightBytes, drafters, contextLength, kvBytesPerToken } = info;
  const states = drafters.reduce((sum, { stateBytes }) => sum + stateBytes, 0);
  return {
    weightBytes,
    drafters: drafters.map(({ name, weightBytes: bytes }) => ({ name, weightBytes: bytes })),
    texts: [...runtime.texts].map(({ tokens, bytes }) => ({ tokens: tokens.length, bytes })),
    fullTextBytes: contextLength * kvBytesPerToken + states,
  };
}

/** What a model has computed lately. */
export interface ModelActivity {
  /** Passes after the number that was asked for; oldest first. */
  readonly passes: readonly LoggedPass[];
  /** Milliseconds of passes without prompt rows, by rows. */
  readonly passMs: Readonly<Record<string, number>>;
  /** Milliseconds of a prompt's row; undefined while nothing is known. */
  readonly promptRowMs: number | undefined;
}

/** @param since the number of the last pass that is known already; 0: none. */
export function modelActivity({ runtime }: Model, since: number): ModelActivity {
  const { passLog, scheduler } = runtime;
  return { passes: passLog.since(since), ...scheduler.costs };
}
