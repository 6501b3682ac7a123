/**
 * What loading a model decides before any weights are read: context, drafters, devices, type of the KV
 * cache, and from these the memory plan. `loadModel` goes on from here; `planLoad` only tells.
 */
import type { KvType } from '../cache/kv-names.js';
import { cacheType } from '../cache/kv-type.js';
import type { RowShape } from '../ggml/cache-rows.js';
import { type GgufFile, readGguf } from '../gguf/reader.js';
import { type ExpertSubset, readSubset } from '../models/expert-subset.js';
import { rowShapes } from '../models/layer-state.js';
import { type ModelSource, planModel, textNeeds } from '../models/load.js';
import type { MemoryPlan, PlanOptions } from '../models/memory-plan.js';
import { subsetOf } from '../models/subset-source.js';
import { type ChosenDevices, openDevices } from './device-choice.js';
import { type DraftMemory, draftMemory } from './draft-memory.js';
import { draftFilesOf, resolveModelPath } from './model-path.js';
import { type Checked, checkLoadOptions, checkModelName } from './options.js';
import type { LoadOptions } from './types.js';

/** Context of a session when nobody asks for more: models' own limits are often far beyond need. */
const usualContext = 8192;

/** What is decided. */
export interface PreparedLoad {
  /** The file, or what a subset leaves of it. */
  readonly source: ModelSource;
  readonly subset: ExpertSubset | undefined;
  readonly devices: ChosenDevices;
  readonly contextLength: number;
  /** What was asked for, where the model has fewer positions. */
  readonly wantedContext: number;
  readonly draftNeeds: readonly DraftMemory[];
  /** Rows that a text keeps, layer by layer. */
  readonly layout: readonly RowShape[];
  /** See `LanguageModel`. */
  readonly causal: boolean;
  readonly plan: PlanOptions;
}

/**
 * Decides for an open file. Its backend is the caller's to dispose of, and so are the files of drafters,
 * which are added to `drafts` as they are opened.
 */
export async function prepareLoad(
  gguf: GgufFile,
  path: string,
  given: Checked<LoadOptions>,
  drafts: GgufFile[],
): Promise<PreparedLoad> {
  const { signal, draftWindow: window, expertMemory } = given;
  const subset = given.experts === undefined ? undefined : await readSubset(given.experts);
  const source = subset === undefined ? gguf : await subsetOf(gguf, subset, signal);
  const trained = gguf.optionalNumber(
    `${gguf.optionalString('general.architecture')}.context_length`,
  );
  const wantedContext = given.contextLength ?? Math.min(trained ?? usualContext, usualContext);
  const { layerStates, causal, positions } = textNeeds(source, wantedContext);
  const contextLength = Math.min(wantedContext, positions ?? wantedContext);
  for (const file of draftFilesOf(path, given.draftModels)) {
    drafts.push(await readGguf(file, { signal }));
  }
  const draftNeeds = [gguf, ...drafts]
    .map((file) => draftMemory(file, { contextLength, window }))
    .filter((need) => need !== undefined);
  const draftBytes = draftNeeds.reduce((sum, need) => sum + need.weightBytes + need.stateBytes, 0);
  const layout = rowShapes(layerStates);
  const devices = openDevices(source, {
    ...(given.threads === undefined ? {} : { threads: given.threads }),
    reproducible: given.reproducible !== undefined,
    wish: { ...given, cpuExperts: given.cpuMoe },
    contextLength,
    layout,
    // An encoder's cache lives for one pass and is that of one layer: it need not be small.
    kvType: given.kvType ?? (causal ? undefined : 'f32'),
    causal,
    draftBytes,
    expertMemory,
  });
  const { kvType, placement } = devices;
  const plan = { cacheType: cacheType(kvType), draftBytes, placement, expertMemory };
  return {
    source,
    subset,
    devices,
    contextLength,
    wantedContext,
    draftNeeds,
    layout,
    causal,
    plan,
  };
}

/** How a model would be loaded. */
export interface LoadPlan {
  readonly memory: MemoryPlan;
  readonly kvType: KvType;
  /** What would be chosen to compute on, and why; undefined where there is nothing to choose from. */
  readonly device: string | undefined;
  readonly warnings: readonly string[];
}

/**
 * What `loadModel` would do with these options, from headers alone; that it fits is for the reader to see.
 * @throws {PacelineError} as `loadModel`, but `memory` only where nothing can be planned.
 */
export async function planLoad(model: string, options: LoadOptions = {}): Promise<LoadPlan> {
  const path = resolveModelPath(checkModelName(model));
  const given = checkLoadOptions(options);
  const drafts: GgufFile[] = [];
  const gguf = await readGguf(path, { signal: given.signal });
  try {
    const { source, devices, contextLength, plan } = await prepareLoad(gguf, path, given, drafts);
    try {
      const { kvType, choice: device, warnings } = devices;
      const memory = planModel(source, { ...plan, contextLength });
      return { memory, kvType, device, warnings: [...warnings, ...memory.warnings] };
    } finally {
      devices.backend.dispose();
    }
  } finally {
    for (const file of [gguf, ...drafts]) await file.close();
  }
}
