/** `paceline/ai-sdk`: the engine as a provider of the AI SDK. Everything that it exports is named here. */
export { PacelineError } from '../base/errors.js';
export type { PacelineMetadata } from './finish.js';
export type {
  PacelineCallOptions,
  PacelineEmbeddingMetadata,
  PacelineEmbeddingOptions,
  PacelineProviderOptions,
} from './options.js';
export { createPaceline, type PacelineProvider } from './provider.js';
