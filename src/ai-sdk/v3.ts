/**
 * `paceline/ai-sdk/v3`: the same provider for the AI SDK's major 6, whose interface is v3. Everything
 * that it exports is named here.
 */
import type { EmbeddingModelV3, LanguageModelV3, ProviderV3 } from '@ai-sdk/provider';
import { providerMembers } from './models.js';
import type { PacelineProviderOptions } from './options.js';

export { PacelineError } from '../base/errors.js';
export type { PacelineMetadata } from './finish.js';
export type {
  PacelineCallOptions,
  PacelineEmbeddingMetadata,
  PacelineEmbeddingOptions,
  PacelineProviderOptions,
} from './options.js';

export interface PacelineProvider extends ProviderV3, AsyncDisposable {
  /** A model: `default`, a path, a name of `paceline ls`, `hf:owner/repo`, or a name of the options. */
  (model: string): LanguageModelV3;
  languageModel(model: string): LanguageModelV3;
  embeddingModel(model: string): EmbeddingModelV3;
  /** Ends what runs and frees all models that were loaded. Later calls fail with `disposed`. */
  dispose(): Promise<void>;
}

/**
 * A provider for the functions of `ai` 6. Nothing is loaded before the first call.
 * @throws {PacelineError} `usage` for wrong options.
 */
export function createPaceline(options: PacelineProviderOptions = {}): PacelineProvider {
  const members = providerMembers('v3', options);
  return Object.assign((name: string) => members.languageModel(name), members);
}
