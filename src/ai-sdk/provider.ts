/**
 * The provider: language models by name, each loaded once, when it is first called. Needs nothing of
 * the AI SDK at run time but to be called by it.
 */
import type { LanguageModelV3, ProviderV3 } from '@ai-sdk/provider';
import { z } from 'zod';
import { PacelineError } from '../base/errors.js';
import { checkOptions, field, wholeNumber } from '../base/options.js';
import { Model } from '../engine/model.js';
import { checkModelName, loadSchema } from '../engine/options.js';
import type { LoadOptions } from '../engine/types.js';
import { HeldModel } from './held-model.js';
import { PacelineLanguageModel } from './language-model.js';

export interface PacelineProviderOptions {
  /** How models are loaded: context, threads, drafters … Default: as `loadModel` does. */
  readonly load?: Omit<LoadOptions, 'signal'>;
  /**
   * Names of your own for models: other names, paths, or models that are loaded already, which the
   * provider never disposes of. Default: none.
   */
  readonly models?: Readonly<Record<string, string | Model>>;
  /**
   * Calls of one model that run at once, 1 or more, each with a KV cache of its own, kept for the next
   * call; more of them wait. Default 4.
   */
  readonly slots?: number;
}

export interface PacelineProvider extends ProviderV3, AsyncDisposable {
  /** A model: `default`, a path, a name of `paceline ls`, `hf:owner/repo`, or a name of the options. */
  (model: string): LanguageModelV3;
  languageModel(model: string): LanguageModelV3;
  /** Ends what runs and frees all models that were loaded. Later calls fail with `disposed`. */
  dispose(): Promise<void>;
}

const usualSlots = 4;

const optionsSchema = z.strictObject({
  load: field(loadSchema.omit({ signal: true }), 'options of loadModel without a signal'),
  models: field(
    z.record(z.string().min(1), z.union([z.string().min(1), z.instanceof(Model)])),
    'an object of names with paths or loaded models',
  ),
  slots: wholeNumber(1, 'a whole number above 0', 1024),
});

/**
 * A provider for the AI SDK's functions. Nothing is loaded before the first call.
 * @throws {PacelineError} `usage` for wrong options.
 */
export function createPaceline(options: PacelineProviderOptions = {}): PacelineProvider {
  const {
    load = {},
    models = {},
    slots = usualSlots,
  } = checkOptions(optionsSchema, options, 'createPaceline');
  let disposed = false;
  const held = new Map<string, HeldModel>();
  const hold = (name: string): HeldModel => {
    const source = Object.hasOwn(models, name) ? (models[name] ?? name) : name;
    const found = held.get(name) ?? new HeldModel({ source, load, slots });
    held.set(name, found);
    return found;
  };
  const languageModel = (name: string): LanguageModelV3 => {
    const model = hold(checkModelName(name));
    return new PacelineLanguageModel({
      modelId: name,
      run: async (request, runOptions) => {
        if (disposed) throw gone();
        return model.run(request, runOptions);
      },
    });
  };
  const dispose = async (): Promise<void> => {
    disposed = true;
    await Promise.all([...held.values()].map((model) => model.dispose()));
  };
  return Object.assign((name: string) => languageModel(name), {
    specificationVersion: 'v3' as const,
    languageModel,
    embeddingModel: (name: string): never => refuse(name, 'embeddings'),
    imageModel: (name: string): never => refuse(name, 'images'),
    dispose,
    [Symbol.asyncDispose]: dispose,
  });
}

function gone(): PacelineError {
  return new PacelineError('disposed', 'The provider has been disposed of', {
    hint: 'Make another one with createPaceline().',
  });
}

function refuse(name: string, what: string): never {
  throw new PacelineError('usage', `The provider makes no ${what}, with ${name} or any model`, {
    hint: 'Use another provider for that.',
  });
}
