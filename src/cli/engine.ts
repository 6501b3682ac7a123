/**
 * The one door from the command line to the engine. It is opened only when a command needs it, so
 * that `--help` and wrong flags cost no loading of libraries.
 */
import type {
  ChatMessage,
  ChatOptions,
  GenerateOptions,
  LoadOptions,
  ModelInfo,
  StreamEvent,
} from '../engine/types.js';

/** What the interactive commands need of a session; the engine's `Session` has it. */
export interface SessionLike {
  stream(prompt: string, options?: GenerateOptions): AsyncIterable<StreamEvent>;
  streamChat(messages: readonly ChatMessage[], options?: ChatOptions): AsyncIterable<StreamEvent>;
  dispose(): unknown;
}

/** What the commands need of a model; the engine's `Model` has it. */
export interface ModelLike extends SessionLike {
  readonly info: ModelInfo;
  createSession(): SessionLike;
}

/**
 * Loads a model for the duration of `work` and disposes of it however that ends.
 * @throws {PacelineError} what loading and `work` throw.
 */
export async function withModel<T>(
  model: string,
  options: LoadOptions,
  work: (model: ModelLike) => Promise<T>,
): Promise<T> {
  const { loadModel } = await import('../engine/load.js');
  const loaded = await loadModel(model, options);
  try {
    return await work(loaded);
  } finally {
    await loaded.dispose();
  }
}
