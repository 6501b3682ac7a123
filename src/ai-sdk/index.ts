/** `paceline/ai-sdk`: the engine as a provider of the AI SDK. Everything that it exports is named here. */
export { PacelineError } from '../base/errors.js';
export type { PacelineCallOptions } from './call-options.js';
export type { PacelineMetadata } from './finish.js';
export { createPaceline, type PacelineProvider, type PacelineProviderOptions } from './provider.js';
