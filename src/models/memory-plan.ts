/**
 * The memory plan: what of a model goes where, decided in this one place from the file's header and the
 * machine before anything is loaded. Weights go to cards as far as they are asked for and fit, everything else
 * to the host; where the host has too little, experts stay in the file and a cache holds some of them. A plan
 * explains itself, and one that does not fit is refused with its numbers.
 */
import { PacelineError } from '../base/errors.js';
import { cacheBytes, positionBytes } from '../ggml/cache-rows.js';
import { type HostMemory, hostMemory } from '../ggml/host.js';
import { preferredLayouts } from '../ggml/layouts.js';
import { expertsOf } from '../ggml/native/expert-layout.js';
import {
  bytesOfExperts,
  bytesOfSlots,
  leastExpertMemory,
  shareSlots,
} from '../ggml/native/expert-slots.js';
import { nativeKernels } from '../ggml/native/library.js';
import { recurrentBytes } from '../ggml/recurrent-shape.js';
import { type GgmlType, GgmlType as Type, typeName } from '../ggml/types.js';
import type { WeightLayout, WeightSpec } from '../ggml/weight.js';
import { keptPositions } from '../ggml/window-rows.js';
import { blockRows, type LayerState, recurrentShapes, rowsByKind } from './layer-state.js';
import type { AttentionShape } from './model.js';
import { blockOf, type Placement, type PlacementWish, placeModel } from './placement.js';

/** What is planned for: a model as its header declares it. */
export interface PlannedModel {
  readonly weights: readonly WeightSpec[];
  readonly states: readonly LayerState[];
  readonly attention: readonly AttentionShape[];
  /** Experts that a token goes through in one layer. */
  readonly expertsUsed: number;
  readonly contextLength: number;
  /** Whether experts lie in a file as they are, all of a tensor's or some: not those in memory. */
  readonly inFile: boolean;
}

/**
 * Bytes for experts that stay in the file; `auto`: as many as there are, where the whole model does not
 * fit into memory.
 */
export type ExpertMemoryWish = number | 'auto';

export interface PlanOptions {
  /** Element type of the KV cache; default: F16. */
  readonly cacheType?: GgmlType | undefined;
  /** Bytes that drafters will take: weights, and the state of one sequence. */
  readonly draftBytes?: number | undefined;
  /** How weights are stored, in order of preference; default: as the placement says. */
  readonly layouts?: readonly WeightLayout[] | undefined;
  /** What goes to cards; default: nothing. */
  readonly placement?: PlacementWish | undefined;
  /** Default: `auto`. */
  readonly expertMemory?: ExpertMemoryWish | undefined;
  /** Memory of the machine; injected by tests. */
  readonly memory?: HostMemory | undefined;
}

/** Experts that stay in the file. */
export interface PlannedExperts {
  /** Bytes of the cache, and what all experts would take. */
  readonly memory: number;
  readonly whole: number;
  /** Experts that the cache can hold, and all of them. */
  readonly held: number;
  readonly count: number;
}

/** Memory that a model needs on the host, in bytes, and what is elsewhere. */
export interface MemoryPlan {
  readonly contextLength: number;
  readonly cacheType: GgmlType;
  readonly placement: Placement;
  /** Without experts that stay in the file. */
  readonly weights: number;
  /** Undefined: all experts are in memory, or there are none. */
  readonly experts: PlannedExperts | undefined;
  /** What one sequence keeps over the whole context: KV cache, folded states. */
  readonly cache: number;
  /** What the cache grows by with every position, once windows are full. */
  readonly cachePerToken: number;
  /** What the drafters take. */
  readonly drafters: number;
  /** Intermediate results of a prefill pass, and what the program itself needs. */
  readonly compute: number;
  readonly total: number;
  /** What the machine has for it. */
  readonly available: number;
  /** What a user should know of the wish; usually nothing. */
  readonly warnings: readonly string[];
}

/** Rows of the prefill pass that a plan assumes. */
const assumedRows = 512;
/** Reading buffers, graph headers and the like. */
const overhead = 64 * 2 ** 20;
/** What a cache of experts that takes all there is leaves to others. */
const margin = 128 * 2 ** 20;

/**
 * Plans.
 * @throws {PacelineError} `memory` when layers that were asked for do not fit on cards, or the memory for
 *   experts is too little for one token; `usage`, `platform` as `placeModel`; `unsupported-type` or
 *   `platform` when experts that are to stay in the file cannot.
 */
export function planMemory(model: PlannedModel, options: PlanOptions): MemoryPlan {
  const { expertMemory = 'auto', layouts } = options;
  const inMemory = layouts !== undefined || !model.weights.some(isExpert);
  if (expertMemory !== 'auto' && !inMemory) return plan(model, options, expertMemory);
  const whole = plan(model, options, undefined);
  if (inMemory) {
    const none = 'The model has no experts: expertMemory changes nothing.';
    return expertMemory === 'auto' ? whole : { ...whole, warnings: [none] };
  }
  if (whole.total <= whole.available || unfiled(model)) return whole;
  return plan(model, options, expertMemory);
}

/** Why the experts of a model cannot stay in their file; undefined: they can. */
function unfiled({ weights, inFile }: PlannedModel): PacelineError | undefined {
  const { kernels, reason } = nativeKernels();
  const hint = 'Leave out expertMemory.';
  if (!inFile) {
    const problem = 'Experts stay in their file only where the model comes from one';
    return new PacelineError('usage', problem, {
      hint: 'Load the model from its file, or leave out expertMemory.',
    });
  }
  if (kernels === undefined) {
    const problem = `Experts stay in their file only with the native kernels: ${reason}`;
    return new PacelineError('platform', problem, { hint });
  }
  const experts = weights.filter(isExpert);
  const filed = new Set(expertsOf(kernels, experts, layerOf).flatMap(({ specs }) => specs));
  const other = experts.find((spec) => !filed.has(spec));
  if (other === undefined) return undefined;
  return new PacelineError(
    'unsupported-type',
    `Experts of type ${typeName(other.type)} cannot stay in their file: the kernels do not compute them`,
    { hint, details: { tensor: other.name, type: typeName(other.type) } },
  );
}

/**
 * The layer of a mixture's experts; undefined for other weights, some of which are stacks of matrices too,
 * such as those of attention heads.
 */
export function layerOf({ name, role }: WeightSpec): string | undefined {
  if (role !== 'experts' || !/_exps\.weight$/.test(name)) return undefined;
  return String(blockOf({ name }) ?? name);
}

const isExpert = (spec: WeightSpec) => layerOf(spec) !== undefined;

/** @param filed the memory for experts that stay in the file; undefined: none do. */
function plan(
  model: PlannedModel,
  options: PlanOptions,
  filed: ExpertMemoryWish | undefined,
): MemoryPlan {
  const { weights, states, contextLength } = model;
  const { cacheType = Type.F16, draftBytes: drafters = 0, layouts } = options;
  const { available } = options.memory ?? hostMemory();
  const inFile = (spec: WeightSpec) => filed !== undefined && isExpert(spec);
  const stored = weights.filter((spec) => !inFile(spec));
  const compute = computeBytes(model);
  const placement = placeModel(
    {
      ...{ states, cacheType, contextLength, compute, draftBytes: drafters },
      weights: stored,
      attention: model.attention,
    },
    options.placement ?? { cards: [] },
  );
  const rows = cacheOf(states, cacheType, contextLength);
  const onCards = placement.cards.length > 0;
  const bytes = onCards ? placement.host.weights : bytesOf(stored, layouts ?? preferredLayouts());
  const cache = onCards ? placement.host.cache : rows.whole;
  const perToken = rows.whole === 0 ? 0 : (rows.perToken * cache) / rows.whole;
  const drafted = placement.head === undefined ? drafters : 0;
  const rest = bytes + cache + drafted + compute;
  const experts = filed === undefined ? undefined : planExperts(model, filed, available - rest);
  return {
    ...{ contextLength, cacheType, placement, experts, cache, compute, available },
    ...{ weights: bytes, cachePerToken: perToken, drafters: drafted },
    total: rest + (experts?.memory ?? 0),
    warnings: [],
  };
}

/** @param room what is left for experts. */
function planExperts(model: PlannedModel, wish: ExpertMemoryWish, room: number): PlannedExperts {
  const problem = unfiled(model);
  const { kernels } = nativeKernels();
  if (problem !== undefined || kernels === undefined) throw problem;
  const layers = expertsOf(kernels, model.weights, layerOf);
  const whole = bytesOfExperts(layers);
  const least = leastExpertMemory(layers, model.expertsUsed);
  // Too little room is refused with the numbers of the whole plan, for which this is the least.
  const wanted = wish === 'auto' ? Math.max(least, room - margin) : wish;
  const slots = shareSlots(layers, Math.min(whole, wanted), model.expertsUsed);
  return {
    whole,
    memory: bytesOfSlots(slots),
    held: [...slots.values()].reduce((a, b) => a + b, 0),
    count: layers.reduce((sum, { experts }) => sum + experts, 0),
  };
}

function bytesOf(weights: readonly WeightSpec[], layouts: readonly WeightLayout[]): number {
  return weights.reduce((sum, spec) => {
    for (const layout of layouts) {
      const bytes = layout.bytes(spec);
      if (bytes !== undefined) return sum + bytes;
    }
    const type = typeName(spec.type);
    throw new PacelineError(
      'unsupported-type',
      `There is no way to store ${spec.name} of ${type}`,
      {
        hint: 'Use a file of another type.',
        details: { tensor: spec.name, type },
      },
    );
  }, 0);
}

function computeBytes({ weights, contextLength }: PlannedModel): number {
  const widest = weights
    .filter(({ role }) => role === 'linear' || role === 'experts')
    .reduce((most, { shape }) => Math.max(most, shape[0] as number, shape[1] as number), 0);
  return overhead + Math.min(assumedRows, contextLength) * 4 * (4 * widest);
}

function cacheOf(states: readonly LayerState[], type: GgmlType, contextLength: number) {
  const { whole, windowed } = rowsByKind(states);
  const windows = windowed.reduce(
    (sum, shape) => sum + cacheBytes(type, [shape], keptPositions(shape.window, contextLength)),
    0,
  );
  const folded = recurrentBytes(recurrentShapes(states));
  let perToken = positionBytes(type, whole);
  let blocks = 0;
  for (const { ratio, layout } of blockRows(states)) {
    perToken += positionBytes(type, layout) / ratio;
    blocks += cacheBytes(type, layout, Math.floor(contextLength / ratio));
  }
  return { perToken, whole: cacheBytes(type, whole, contextLength) + blocks + windows + folded };
}

const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/** The parts of a plan on the host, with their bytes. */
export function planParts(plan: MemoryPlan): readonly (readonly [what: string, bytes: number])[] {
  const { weights, experts, cache, drafters, compute, contextLength } = plan;
  const parts: [string, number][] = [['weights', weights]];
  if (experts !== undefined) {
    parts.push([`${experts.held} of ${experts.count} experts`, experts.memory]);
  }
  parts.push([`cache for ${contextLength} tokens`, cache]);
  if (drafters > 0) parts.push(['drafters', drafters]);
  parts.push(['computing', compute]);
  return parts;
}

/** One line: the parts on the host and their bytes. */
export function planLine(plan: MemoryPlan): string {
  const parts = planParts(plan).map(([what, bytes]) => `${what} ${mebibytes(bytes)}`);
  return `${mebibytes(plan.total)} of ${mebibytes(plan.available)}: ${parts.join(', ')}`;
}

/** @throws {PacelineError} `memory`, with the numbers, unless the plan fits. */
export function requireFit(plan: MemoryPlan): void {
  if (plan.total <= plan.available) return;
  const { contextLength, cache, cachePerToken, available, experts, total } = plan;
  // What does not grow with the context, such as windows and folded states.
  const fixed = Math.max(0, cache - contextLength * cachePerToken);
  const fits = Math.floor((available - (total - cache) - fixed) / cachePerToken);
  const { weights, drafters, compute } = plan;
  throw new PacelineError(
    'memory',
    `The model needs about ${mebibytes(total)} (` +
      `${planParts(plan)
        .map(([what, bytes]) => `${what} ${mebibytes(bytes)}`)
        .join(', ')}), but only ${mebibytes(available)} are available`,
    {
      hint:
        fits >= 256 && fits < contextLength
          ? `A contextLength of ${fits} would fit.`
          : 'Close other programs, or use a smaller model or one with fewer bits per weight.',
      details: {
        ...{ weights, cache, cachePerToken, drafters, compute, total, contextLength, available },
        ...(experts === undefined ? {} : { experts: experts.memory }),
      },
    },
  );
}
