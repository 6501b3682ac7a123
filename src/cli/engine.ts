/**
 * The one door from the command line to the engine. It is opened only when a command needs it, so
 * that `--help` and wrong flags cost no loading of libraries.
 */
import type { Model } from '../engine/model.js';
import type {
  ChatMessage,
  ChatOptions,
  ExpertStatistics,
  GenerateOptions,
  LoadOptions,
  ModelInfo,
  StreamEvent,
} from '../engine/types.js';
import { type ResolveOptions, resolveModel } from './model-names.js';
import { note } from './output.js';

/** What the interactive commands need of a session; the engine's `Session` has it. */
export interface SessionLike {
  stream(prompt: string, options?: GenerateOptions): AsyncIterable<StreamEvent>;
  streamChat(messages: readonly ChatMessage[], options?: ChatOptions): AsyncIterable<StreamEvent>;
  dispose(): unknown;
}

/** What the commands need of a model; the engine's `Model` has it. */
export interface ModelLike extends SessionLike {
  readonly info: ModelInfo;
  readonly experts: ExpertStatistics | undefined;
  createSession(): SessionLike;
}

/**
 * Loads a model for the duration of `work` and disposes of it however that ends.
 * @param names what may happen when the model is not here.
 * @throws {PacelineError} what finding, loading and `work` throw.
 */
export async function withModel<T>(
  model: string,
  options: LoadOptions,
  work: (model: Model) => Promise<T>,
  names: ResolveOptions = {},
): Promise<T> {
  const { path, drafters } = await resolveModel(model, names);
  const { loadModel } = await import('../engine/load.js');
  const draftModels = drafters.length > 0 ? { draftModels: drafters } : {};
  const loaded = await loadModel(path, { ...draftModels, ...options });
  try {
    await warnWithoutKernels();
    if (loaded.info.device !== undefined) note(`device: ${loaded.info.device}`);
    if (loaded.info.experts !== undefined) note(`memory: ${loaded.info.memoryPlan}`);
    for (const warning of loaded.info.warnings) note(`warning: ${warning}`);
    return await work(loaded);
  } finally {
    await loaded.dispose();
  }
}

/** One warning where the native kernels are missing, unless that is what the user asked for. */
async function warnWithoutKernels(): Promise<void> {
  const { nativeKernels } = await import('../ggml/native/library.js');
  const { reason } = nativeKernels();
  if (reason === undefined || process.env.PACELINE_CPU === 'ggml') return;
  note(`warning: computing without the native kernels, which is slower: ${reason}`);
}
