/**
 * From a name to a loaded model: resolves the name, reads the file's header, estimates memory,
 * loads the weights and puts the runtime together.
 */
import { cacheType } from '../cache/kv-type.js';
import type { Backend } from '../ggml/backend.js';
import { positionBytes } from '../ggml/cache-rows.js';
import { nativeKernels } from '../ggml/native/library.js';
import { type GgufFile, readGguf } from '../gguf/reader.js';
import { recommendedSampling } from '../gguf/sampling.js';
import { loadLanguageModel } from '../models/load.js';
import { planLine } from '../models/memory-plan.js';
import { createChatTemplate } from '../tokenizer/chat.js';
import { createTokenizer } from '../tokenizer/tokenizer.js';
import { onCpuInstead, sayWhatFits } from './card-memory.js';
import { loadDrafters } from './draft-models.js';
import { poolingOf } from './embed.js';
import { rememberUses, usesFile } from './expert-uses.js';
import { type PreparedLoad, prepareLoad } from './load-plan.js';
import { measureRounding } from './measure-rounding.js';
import { Model } from './model.js';
import { modelIdentity } from './model-identity.js';
import { resolveModelPath } from './model-path.js';
import { openTextCache } from './open-cache.js';
import { checkLoadOptions, checkModelName } from './options.js';
import { Runtime } from './runtime.js';
import { topChoice } from './top-choice.js';
import type { LoadOptions } from './types.js';

const usualChunk = 512;

const purposes = { tokens: 'text', classes: 'ranking', none: 'embeddings' } as const;

/**
 * Loads a model for generation.
 * @param model a path to a GGUF file (any part of a split one), or `default`.
 * @throws {PacelineError} `model-not-found`, `broken-file`, `unsupported-architecture`,
 *   `unsupported-tokenizer`, `missing-tensor`, `wrong-shape`, `bad-weights`, `memory`, `platform`,
 *   `usage`, `aborted`.
 */
export async function loadModel(model: string, options: LoadOptions = {}): Promise<Model> {
  try {
    return await load(model, options);
  } catch (error) {
    // What is no object has been refused, and is the error.
    const warning = onCpuInstead(error, options ?? {});
    if (warning === undefined) throw error;
    return await load(model, { ...options, device: 'cpu' }, [warning]);
  }
}

/** @param earlier warnings of a try before. */
async function load(
  model: string,
  options: LoadOptions,
  earlier: readonly string[] = [],
): Promise<Model> {
  const began = performance.now();
  const path = resolveModelPath(checkModelName(model));
  const { signal, onProgress, prefillChunk = usualChunk, ...given } = checkLoadOptions(options);
  const gguf = await readGguf(path, { signal });
  /** What a failure has to free, in the order in which it was made. */
  const made: (() => unknown)[] = [];
  let keepsFile = false;
  const drafts: GgufFile[] = [];
  let prepared: PreparedLoad | undefined;
  try {
    const tokenizer = createTokenizer(gguf);
    const chatTemplate = createChatTemplate(gguf, tokenizer);
    prepared = await prepareLoad(gguf, path, { ...given, signal }, drafts);
    const { contextLength, wantedContext, draftNeeds, layout, causal, source, subset } = prepared;
    const { backend, kvType, choice, warnings } = prepared.devices;
    made.push(() => backend.dispose());
    const { draftWindow: window } = given;
    const reproducible = given.reproducible !== undefined;
    const cached = cacheType(kvType);
    const language = await loadLanguageModel(source, {
      ...prepared.plan,
      backend,
      signal,
      onProgress,
      contextLength,
    });
    made.push(() => language.dispose());
    const { hyperparameters } = language;
    const selects = topChoice(language);
    const drafters = await loadDrafters(gguf, drafts, {
      target: language,
      backend,
      place: language.placement.head,
      contextLength,
      window,
      selects,
      signal,
    });
    made.push(() => {
      for (const drafter of drafters) drafter[Symbol.dispose]?.();
    });
    const advice = recommendedSampling(gguf);
    const identity = await modelIdentity(gguf, {
      backend,
      contextLength,
      subset,
      places: language.placement.states,
    });
    const { cache = false } = given;
    const uses =
      cache === false ? undefined : usesFile(cache === true ? undefined : cache.folder, identity);
    const runtime = new Runtime({
      experts: language.experts && { cache: language.experts, uses },
      file: language.readsFile ? gguf : undefined,
      backend,
      drafters,
      model: language,
      places: language.placement.states,
      tokenizer,
      chatTemplate,
      sampling: advice.settings,
      contextLength,
      rankTemplate: gguf.optionalString('tokenizer.chat_template.rerank'),
      prefillChunk,
      kvType: cached,
      identity,
      mostRunning: given.maxRunning,
      mostWaiting: given.maxWaiting,
    });
    runtime.runner.selects = (count) => selects?.(hyperparameters.vocabSize, count) ?? false;
    if (reproducible) await orClose(runtime, probe(runtime));
    if (given.exact === true && causal && backend.accelerators.length > 0) {
      runtime.rounding = await orClose(runtime, measureRounding(runtime, signal));
    }
    const { architecture } = language;
    const name = gguf.optionalString('general.name');
    if (language.experts !== undefined && uses !== undefined) {
      await rememberUses(language.experts, uses);
    }
    if (cache !== false) {
      const model = { name, path, architecture, kvType };
      runtime.cache = await openTextCache(runtime, model, cache === true ? {} : cache);
    }
    keepsFile = language.readsFile;
    return new Model(runtime, {
      path,
      name,
      architecture,
      parameters: [...source.tensors.values()].reduce(
        (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
        0,
      ),
      vocabularySize: hyperparameters.vocabSize,
      embeddingLength: hyperparameters.embeddingLength,
      pooling: poolingOf(gguf),
      trainedContextLength: hyperparameters.contextLength,
      contextLength,
      weightBytes: language.weightBytes,
      exact: language.exact,
      kvType,
      kvBytesPerToken: positionBytes(cached, layout),
      drafters: draftNeeds,
      memoryPlan: planLine(language.plan),
      ...(language.plan.experts === undefined ? {} : { experts: language.plan.experts }),
      threads: backend.threads,
      kernels: kernelNames(backend),
      device: choice,
      recommendedSampling: advice.settings,
      warnings: [
        ...earlier,
        ...warnings,
        ...language.warnings,
        ...advice.warnings,
        ...(contextLength < wantedContext
          ? [`The model has ${contextLength} positions; texts cannot be longer.`]
          : []),
      ],
      purpose: purposes[language.head],
      hasChatTemplate: chatTemplate.origin === 'model',
      isBaseModel: gguf.optionalString('general.finetune') === 'base',
      loadMs: performance.now() - began,
    });
  } catch (error) {
    // The backend is made first, and freed last: its cards tell what is free.
    const [closeBackend, ...rest] = made;
    for (const free of rest.reverse()) await free();
    const told = sayWhatFits(error, prepared);
    await closeBackend?.();
    throw told;
  } finally {
    for (const draft of drafts) await draft.close();
    if (!keepsFile) await gguf.close();
  }
}

/** Computes one token, which shows whether all of the model's operations may be computed. */
async function probe(runtime: Runtime): Promise<void> {
  const text = runtime.createInput();
  try {
    await runtime.run(text, [0]);
  } finally {
    runtime.release(text);
  }
}

/** Ends the runtime's passes where something fails that comes before its first text. */
async function orClose<T>(runtime: Runtime, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    await runtime.scheduler.close();
    throw error;
  }
}

/** What computes: our kernels and their path where they run, and ggml's library. */
function kernelNames(backend: Backend): string {
  const { kernels } = nativeKernels();
  return kernels === undefined ? backend.name : `native ${kernels.path} + ${backend.name}`;
}
