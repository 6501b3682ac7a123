/** The models that a provider has, by name, each loaded once, when it is first called. */
import { z } from 'zod';
import { PacelineError } from '../base/errors.js';
import { checkOptions, field, wholeNumber } from '../base/options.js';
import { Model } from '../engine/model.js';
import { checkModelName, loadSchema } from '../engine/options.js';
import { PacelineEmbeddingModel } from './embedding-model.js';
import { HeldModel } from './held-model.js';
import { PacelineLanguageModel, type SpecificationVersion } from './language-model.js';
import type { PacelineProviderOptions } from './options.js';

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
 * The members of a provider, with models of one version of the interface. Nothing is loaded before
 * the first call.
 * @throws {PacelineError} `usage` for wrong options.
 */
export function providerMembers<Version extends SpecificationVersion>(
  version: Version,
  options: PacelineProviderOptions,
) {
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
  /** The calls of a model, unless the provider is gone. */
  const callsOf = (name: string): Pick<HeldModel, 'run' | 'embed'> => {
    const model = hold(checkModelName(name));
    const living = (): HeldModel => {
      if (disposed) throw gone();
      return model;
    };
    return {
      run: async (request, runOptions) => living().run(request, runOptions),
      embed: async (texts, embedOptions) => living().embed(texts, embedOptions),
    };
  };
  const dispose = async (): Promise<void> => {
    disposed = true;
    await Promise.all([...held.values()].map((model) => model.dispose()));
  };
  return {
    specificationVersion: version,
    languageModel: (modelId: string) =>
      new PacelineLanguageModel({ version, modelId, run: callsOf(modelId).run }),
    embeddingModel: (modelId: string) =>
      new PacelineEmbeddingModel({ version, modelId, embed: callsOf(modelId).embed }),
    imageModel: refuseImages,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

function gone(): PacelineError {
  return new PacelineError('disposed', 'The provider has been disposed of', {
    hint: 'Make another one with createPaceline().',
  });
}

function refuseImages(name: string): never {
  throw new PacelineError('usage', `The provider makes no images, with ${name} or any model`, {
    hint: 'Use another provider for that.',
  });
}
