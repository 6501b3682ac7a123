/**
 * Makes a language model of a GGUF file: declares and checks its weights, estimates the memory
 * that it needs before taking any, and loads.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { Accelerator } from '../ggml/accelerator.js';
import type { Backend } from '../ggml/backend.js';
import { cacheBytes, positionBytes } from '../ggml/cache-rows.js';
import { type HostMemory, hostMemory } from '../ggml/host.js';
import { preferredLayouts } from '../ggml/layouts.js';
import { nativeKernels } from '../ggml/native/library.js';
import { recurrentBytes } from '../ggml/recurrent-shape.js';
import { type GgmlType, GgmlType as Type, typeName } from '../ggml/types.js';
import { ggmlLayout, type Weight, type WeightLayout, type WeightRole } from '../ggml/weight.js';
import { keptPositions } from '../ggml/window-rows.js';
import type { GgufMetadata } from '../gguf/metadata.js';
import { isDraftOnly } from './draft-kind.js';
import { type LayerState, recurrentShapes, rowsByKind } from './layer-state.js';
import { Metadata } from './metadata.js';
import type { Blueprint, LanguageModel } from './model.js';
import { type Placement, type PlacementWish, placeModel } from './placement.js';
import { architectureOf } from './registry.js';
import { ropeWarnings } from './rope.js';
import { refuseUnread } from './unread-tensors.js';
import { type TensorSource, WeightLoader } from './weights.js';

/** What is needed of a GGUF file. */
export type ModelSource = GgufMetadata & TensorSource;

export interface LoadModelOptions {
  readonly backend: Backend;
  /** The context to plan for, in tokens; default: the model's own, at most 4096. */
  readonly contextLength?: number | undefined;
  /** Element type of the KV cache, for the estimate; default: F16. */
  readonly cacheType?: GgmlType | undefined;
  /** Bytes that drafters will take, for the estimate: weights, and the state of one sequence. */
  readonly draftBytes?: number | undefined;
  /** How weights are stored, in order of preference; default: as `placement` says. */
  readonly layouts?: readonly WeightLayout[] | undefined;
  /** What goes to cards; default: nothing. */
  readonly placement?: PlacementWish | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Memory of the machine; injected by tests. */
  readonly memory?: HostMemory | undefined;
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
  /** What is where. */
  readonly placement: Placement;
  /** Whether the model reads its file later on, so that it must stay open. */
  readonly readsFile: boolean;
  /** Sentences; usually none. */
  readonly warnings: readonly string[];
}

/** Memory that a model needs, in bytes. */
export interface MemoryEstimate {
  readonly weights: number;
  /** What one sequence keeps over the whole context: KV cache, folded states. */
  readonly cache: number;
  /** What the cache grows by with every position, once windows are full. */
  readonly cachePerToken: number;
  /** What the drafters take. */
  readonly drafters: number;
  /** Intermediate results of a prefill pass, and what the program itself needs. */
  readonly compute: number;
  readonly total: number;
}

const defaultContext = 4096;
/** Rows of the prefill pass that the estimate assumes. */
const assumedRows = 512;
/** Reading buffers, graph headers and the like. */
const overhead = 64 * 2 ** 20;

interface Declared {
  readonly architecture: string;
  readonly blueprint: Blueprint;
  readonly loader: WeightLoader;
  readonly contextLength: number;
  readonly warnings: readonly string[];
}

function declare(source: ModelSource, wanted: number | undefined): Declared {
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
  return { architecture: metadata.architecture, blueprint, loader, contextLength, warnings };
}

type EstimateOptions = Pick<
  LoadModelOptions,
  'contextLength' | 'cacheType' | 'draftBytes' | 'layouts'
>;

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
 * Where a model's parts would go, from its file alone.
 * @throws {PacelineError} as `loadLanguageModel`.
 */
export function placementOf(
  source: ModelSource,
  options: EstimateOptions & { readonly placement: PlacementWish },
): Placement {
  return place(declare(source, options.contextLength), options);
}

function place(
  declared: Declared,
  options: EstimateOptions & Pick<LoadModelOptions, 'placement'>,
): Placement {
  const { blueprint, loader, contextLength } = declared;
  const { cacheType = Type.F16, draftBytes = 0, placement } = options;
  const { compute } = estimate(declared, options);
  const model = {
    weights: loader.weights,
    states: blueprint.layerStates(),
    attention: blueprint.hyperparameters.attention,
    ...{ cacheType, contextLength, draftBytes, compute },
  };
  return placeModel(model, placement ?? { cards: [] });
}

/**
 * What loading the model and filling its context would take. Checks the file's tensors on the way.
 * @throws {PacelineError} as `loadLanguageModel`.
 */
export function estimateMemory(source: ModelSource, options: EstimateOptions = {}): MemoryEstimate {
  return estimate(declare(source, options.contextLength), options);
}

function estimate(declared: Declared, options: EstimateOptions): MemoryEstimate {
  const { blueprint, loader, contextLength } = declared;
  const weights = loader.bytes(options.layouts ?? preferredLayouts());
  const cacheType = options.cacheType ?? Type.F16;
  const states = blueprint.layerStates();
  const { whole, windowed } = rowsByKind(states);
  const cachePerToken = positionBytes(cacheType, whole);
  const widest = loader.weights
    .filter(({ role }) => role === 'linear' || role === 'experts')
    .reduce((most, { shape }) => Math.max(most, shape[0] as number, shape[1] as number), 0);
  const rows = Math.min(assumedRows, contextLength);
  const compute = overhead + rows * 4 * (4 * widest);
  const folded = recurrentBytes(recurrentShapes(states));
  const windows = windowed.reduce(
    (sum, shape) =>
      sum + cacheBytes(cacheType, [shape], keptPositions(shape.window, contextLength)),
    0,
  );
  const cache = cacheBytes(cacheType, whole, contextLength) + windows + folded;
  const drafters = options.draftBytes ?? 0;
  const total = weights + cache + drafters + compute;
  return { weights, cache, cachePerToken, drafters, compute, total };
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
  const placement = place(declared, options);
  const needed = onHost(estimate(declared, options), placement);
  checkMemory(needed, declared.contextLength, options.memory ?? hostMemory());
  const { architecture, blueprint, loader, warnings } = declared;
  const layouts = options.layouts ?? placement.layoutsOf;
  const allocations = await loader.load({ backend, layouts, onProgress, signal });
  return {
    placement,
    architecture,
    hyperparameters: blueprint.hyperparameters,
    weights: loader.weights,
    weightBytes: allocations.reduce((sum, { bytes }) => sum + bytes, 0),
    readsFile: blueprint.readsFile ?? false,
    head: blueprint.head ?? 'tokens',
    causal: blueprint.causal ?? true,
    exact: allocations.every(({ storages }) => storages.every(({ exact }) => exact)),
    layerStates: blueprint.layerStates,
    forward: blueprint.forward,
    warnings: [...warnings, ...slowProducts(loader.weights)],
    dispose() {
      for (const allocation of allocations.splice(0)) allocation.dispose();
    },
  };
}

/**
 * What a user should know of products that fall off our kernels: these have no panels for some types, and
 * ggml computes with them.
 */
function slowProducts(weights: readonly Weight[]): readonly string[] {
  const { kernels } = nativeKernels();
  if (kernels === undefined) return []; // said once, and of all
  const products: readonly WeightRole[] = ['linear', 'experts', 'linear+rows'];
  const slow = weights.filter(
    ({ role, storage }) => products.includes(role) && storage.layout === ggmlLayout.name,
  );
  if (slow.length === 0) return [];
  const types = [...new Set(slow.map(({ type }) => typeName(type)))].join(', ');
  return [
    `${slow.length} matrices of type ${types} have no kernels of Paceline's here: ggml computes their ` +
      'products, which is slower. A file of another type (such as Q4_K_M) has none of these.',
  ];
}

/** What of an estimate the host has to have when some of the model is on cards. */
function onHost(whole: MemoryEstimate, { cards, head, host }: Placement): MemoryEstimate {
  if (cards.length === 0) return whole;
  const { weights, cache } = host;
  const drafters = head === undefined ? whole.drafters : 0;
  const cachePerToken = whole.cache === 0 ? 0 : (whole.cachePerToken * cache) / whole.cache;
  const total = weights + cache + drafters + whole.compute;
  return { weights, cache, cachePerToken, drafters, compute: whole.compute, total };
}

function checkMemory(
  needed: MemoryEstimate,
  contextLength: number,
  { available }: HostMemory,
): void {
  if (needed.total <= available) return;
  const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  // What does not grow with the context, such as windows and folded states.
  const fixed = Math.max(0, needed.cache - contextLength * needed.cachePerToken);
  const room = available - needed.weights - needed.drafters - needed.compute - fixed;
  const fits = Math.floor(room / needed.cachePerToken);
  throw new PacelineError(
    'memory',
    `The model needs about ${mebibytes(needed.total)} (weights ${mebibytes(needed.weights)}, ` +
      `cache for ${contextLength} tokens ${mebibytes(needed.cache)}, ` +
      (needed.drafters > 0 ? `drafters ${mebibytes(needed.drafters)}, ` : '') +
      `computing ${mebibytes(needed.compute)}), but only ${mebibytes(available)} are available`,
    {
      hint:
        fits >= 256 && fits < contextLength
          ? `A contextLength of ${fits} would fit.`
          : 'Close other programs, or use a smaller model or one with fewer bits per weight.',
      details: { ...needed, contextLength, available },
    },
  );
}
