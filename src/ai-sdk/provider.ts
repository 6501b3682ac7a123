/**
 * The provider for the AI SDK's major 7: language models (v4) and embedding models (v4) by name. Needs
 * nothing of the AI SDK at run time but to be called by it.
 */
import type { EmbeddingModelV4, LanguageModelV4, ProviderV4 } from '@ai-sdk/provider';
import { providerMembers } from './models.js';
import type { PacelineProviderOptions } from './options.js';

export interface PacelineProvider extends ProviderV4, AsyncDisposable {
  /** A model: `default`, a path, a name of `paceline ls`, `hf:owner/repo`, or a name of the options. */
  (model: string): LanguageModelV4;
  languageModel(model: string): LanguageModelV4;
  /** The same names: every model makes vectors, those that were trained for it good ones. */
  embeddingModel(model: string): EmbeddingModelV4;
  /** Ends what runs and frees all models that were loaded. Later calls fail with `disposed`. */
  dispose(): Promise<void>;
}

/**
 * A provider for the functions of `ai` 7. Nothing is loaded before the first call.
 * @throws {PacelineError} `usage` for wrong options.
 */
export function createPaceline(options: PacelineProviderOptions = {}): PacelineProvider {
  const members = providerMembers('v4', options);
  return Object.assign((name: string) => members.languageModel(name), members);
}
