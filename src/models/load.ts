/**
 * Makes a language model of a GGUF file: declares and checks its weights, estimates the memory
 * that it needs before taking any, and loads.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { Accelerator } from '../ggml/accelerator.js';
import type { Backend } from '../ggml/backend.js';
import type { ExpertCache } from '../ggml/native/expert-cache.js';
import {
  type ExpertLayout,
  expertLayout,
  type FiledExperts,
} from '../ggml/native/expert-layout.js';
import { nativeKernels } from '../ggml/native/library.js';
import type { WeightSpec } from '../ggml/weight.js';
import type { GgufMetadata } from '../gguf/metadata.js';
import { isDraftOnly } from './draft-kind.js';
import type { LayerState } from './layer-state.js';
import {
  layerOf,
  type MemoryPlan,
  type PlannedModel,
  type PlanOptions,
  planMemory,
  requireFit,
} from './memory-plan.js';
import { Metadata, readExperts } from './metadata.js';
import type { Blueprint, LanguageModel } from './model.js';
import type { Placement } from './placement.js';
import { architectureOf } from './registry.js';
import { ropeWarnings } from './rope.js';
import { refuseUnread } from './unread-tensors.js';
import { type TensorSource, WeightLoader } from './weights.js';

/** What is needed of a GGUF file. */
export type ModelSource = GgufMetadata & TensorSource;

export interface LoadModelOptions extends PlanOptions {
  readonly backend: Backend;
  /** The context to plan for, in tokens; default: the model's own, at most 4096. */
  readonly contextLength?: number | undefined;
  /** Whether experts that stay in the file are read early; default: measured. */
  readonly forecast?: FiledExperts['forecast'];
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a drafter is loaded. */
export interface DraftLoadOptions {
  readonly backend: Backend;
  /** The card that it computes on; default: the CPU. */
  readonly place?: Accelerator | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A model with what a user should know of how it was loaded. */
export interface LoadedModel extends LanguageModel {
  /** What it takes, and of what. */
  readonly plan: MemoryPlan;
  /** The experts that stay in the file; undefined: none do. */
  readonly experts: ExpertCache | undefined;
  /** What is where. */
  readonly placement: Placement;
  /** Whether the model reads its file later on, so that it must stay open. */
  readonly readsFile: boolean;
  /** Sentences; usually none. */
  readonly warnings: readonly string[];
}

const defaultContext = 4096;
interface Declared {
  readonly architecture: string;
  readonly blueprint: Blueprint;
  readonly loader: WeightLoader;
  readonly contextLength: number;
  readonly expertsUsed: number;
  /** See `PlannedModel`. */
  readonly inFile: boolean;
  readonly warnings: readonly string[];
}

/** What is declared for planning is there for loading, which gives its weights away. */
const planned = new WeakMap<ModelSource, Declared>();

function declare(source: ModelSource, wanted: number | undefined): Declared {
  const known = planned.get(source);
  if (known !== undefined && known.contextLength === wanted) return known;
  if (isDraftOnly(source)) {
    throw new PacelineError('unsupported-architecture', 'The file holds a drafter and no model', {
      hint: 'Load the model that it was made for, and give this file as --draft-model.',
    });
  }
  const metadata = new Metadata(source);
  const build = architectureOf(metadata.architecture);
  const contextLength = wanted ?? Math.min(metadata.count('context_length'), defaultContext);
  const loader = new WeightLoader(source, contextLength);
  const blueprint = build(metadata, loader);
  const { causal = true } = blueprint;
  if (causal && !metadata.flag('attention.causal', true)) {
    throw metadata.unsupported('attention.causal', 'attention in both directions');
  }
  refuseUnread(metadata, source.tensors, loader);
  const warnings = ropeWarnings(metadata, loader);
  const mixtures = readExperts(metadata, blueprint.hyperparameters.layerCount, 0);
  const expertsUsed = Math.max(0, ...mixtures.map(({ used }) => used));
  const { architecture } = metadata;
  const [tensor] = source.tensors.values();
  const inFile = tensor !== undefined && source.fileOf?.(tensor) !== undefined;
  const made = { architecture, blueprint, loader, contextLength, expertsUsed, inFile, warnings };
  planned.set(source, made);
  return made;
}

/** What a model's file says of its texts, before any weights are read. */
export interface TextNeeds {
  /** What a layer keeps of a sequence, by which the type of the cache is chosen. */
  readonly layerStates: readonly LayerState[];
  /** See `LanguageModel`. */
  readonly causal: boolean;
  /** Positions that there are; undefined: any number. */
  readonly positions: number | undefined;
}

/** @throws {PacelineError} as `loadLanguageModel`. */
export function textNeeds(source: ModelSource, contextLength: number | undefined): TextNeeds {
  const { blueprint } = declare(source, contextLength);
  const { causal = true, positions } = blueprint;
  return { layerStates: blueprint.layerStates(), causal, positions };
}

/**
 * What loading the model and filling its context would take, and where it would go. Checks the file's
 * tensors on the way; that the plan fits is for who wants to load.
 * @throws {PacelineError} as `loadLanguageModel`.
 */
export function planModel(
  source: ModelSource,
  options: PlanOptions & { readonly contextLength?: number | undefined } = {},
): MemoryPlan {
  return planMemory(modelOf(declare(source, options.contextLength)), options);
}

function modelOf(declared: Declared): PlannedModel {
  const { blueprint, loader, contextLength, expertsUsed, inFile } = declared;
  return {
    ...{ contextLength, expertsUsed, inFile },
    weights: loader.weights,
    states: blueprint.layerStates(),
    attention: blueprint.hyperparameters.attention,
  };
}

/**
 * Loads a model.
 * @throws {PacelineError} `unsupported-architecture`, `missing-tensor`, `wrong-shape`,
 *   `unsupported-type`, `bad-weights`, `broken-file`, `memory`, `aborted`.
 */
export async function loadLanguageModel(
  source: ModelSource,
  options: LoadModelOptions,
): Promise<LoadedModel> {
  const { backend, onProgress, signal } = options;
  const declared = declare(source, options.contextLength);
  planned.delete(source);
  const plan = planMemory(modelOf(declared), options);
  requireFit(plan);
  const { placement } = plan;
  const { architecture, blueprint, loader, warnings } = declared;
  const inFile = expertsInFile(plan, declared.expertsUsed, options);
  const layouts =
    options.layouts ??
    ((spec: WeightSpec) =>
      inFile !== undefined && layerOf(spec) !== undefined ? [inFile] : placement.layoutsOf(spec));
  const allocations = await loader.load({ backend, layouts, onProgress, signal });
  return {
    plan,
    experts: inFile?.cache,
    placement,
    architecture,
    hyperparameters: blueprint.hyperparameters,
    weights: loader.weights,
    weightBytes: allocations.reduce((sum, { bytes }) => sum + bytes, 0),
    readsFile: blueprint.readsFile ?? false,
    head: blueprint.head ?? 'tokens',
    hiddenLength: blueprint.hiddenLength ?? blueprint.hyperparameters.embeddingLength,
    causal: blueprint.causal ?? true,
    exact: allocations.every(({ storages }) => storages.every(({ exact }) => exact)),
    layerStates: blueprint.layerStates,
    forward: blueprint.forward,
    warnings: [...warnings, ...plan.warnings],
    dispose() {
      for (const allocation of allocations.splice(0)) allocation.dispose();
    },
  };
}

/** The layout of the experts that a plan leaves in the file. */
function expertsInFile(
  { experts }: MemoryPlan,
  used: number,
  { forecast }: LoadModelOptions,
): ExpertLayout | undefined {
  const { kernels } = nativeKernels();
  if (experts === undefined || kernels === undefined) return undefined;
  return expertLayout(kernels, { bytes: experts.memory, used, layerOf, forecast });
}
