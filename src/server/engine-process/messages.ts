/**
 * The messages between the supervisor and the engine's process: plain data over Node's IPC channel.
 * Events of all running texts travel together, one message a turn of the event loop, so that a
 * token costs no message of its own.
 */

import type { TextEvent } from '../../chat/events.js';
import type { EmbedRequest, RankRequest, TextRequest } from '../../chat/request.js';
import type { DraftKind } from '../../engine/types.js';
import type { ProofEvent } from '../../engine/verify/prove.js';
import type { FailureData } from '../internal/failure.js';
import type { ModelPoolOptions, ModelSpec, ModelState } from './models.js';

export interface EngineStatus {
  readonly models: readonly ModelState[];
  /** Resident memory of the engine's process. */
  readonly memoryBytes: number;
}

export type EngineConfig = Omit<ModelPoolOptions, 'onChange'> & {
  /** Which drafter may propose tokens where a request does not say. */
  readonly draft?: DraftKind;
};

/** Supervisor to engine. `id` is of the caller's choosing. */
export type ToEngine =
  | { readonly type: 'start'; readonly config: EngineConfig }
  | { readonly type: 'add'; readonly spec: ModelSpec }
  | { readonly type: 'run'; readonly id: number; readonly request: TextRequest }
  | { readonly type: 'count'; readonly id: number; readonly request: TextRequest }
  | { readonly type: 'prove'; readonly id: number; readonly request: TextRequest }
  | {
      readonly type: 'activity';
      readonly id: number;
      readonly model: string;
      readonly since: number;
    }
  | { readonly type: 'embed'; readonly id: number; readonly request: EmbedRequest }
  | { readonly type: 'rank'; readonly id: number; readonly request: RankRequest }
  | { readonly type: 'status'; readonly id: number }
  | { readonly type: 'load'; readonly id: number; readonly model: string }
  | { readonly type: 'unload'; readonly id: number; readonly model: string }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'stop' };

/** What a request is told on its way: of a text, or of a proof. */
export type EngineEvent = TextEvent | ProofEvent;

/** One thing that happened to a request. */
export type Report =
  | { readonly id: number; readonly event: EngineEvent }
  | { readonly id: number; readonly done: true; readonly value?: unknown }
  | { readonly id: number; readonly failure: FailureData };

/** Engine to supervisor. */
export type FromEngine =
  /** Pinned models are loaded; or they can't be, which ends the process. */
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly failure: FailureData }
  | { readonly type: 'status'; readonly status: EngineStatus }
  | { readonly type: 'reports'; readonly reports: readonly Report[] };
