/**
 * Which layers of a model go to which card, decided from the file's header before anything is loaded:
 * weights, the cache of the whole context, drafters and room to compute in are counted, and a margin
 * is left. The head and the last layers come first; what does not fit stays with the CPU.
 */
import { PacelineError } from '../base/errors.js';
import type { Accelerator } from '../ggml/accelerator.js';
import { cacheBytes } from '../ggml/cache-rows.js';
import { attends } from '../ggml/device-support.js';
import { bytesAt, layoutsAt } from '../ggml/layouts.js';
import type { GgmlType } from '../ggml/types.js';
import type { WeightLayout, WeightSpec } from '../ggml/weight.js';
import type { LayerState } from './layer-state.js';
import type { AttentionShape } from './model.js';

export interface PlacementWish {
  /** Opened cards, the preferred one first; none: everything stays with the CPU. */
  readonly cards: readonly Accelerator[];
  /** Layers on cards: so many, the last ones; undefined: as many as fit. */
  readonly layers?: number | undefined;
  /** Layers whose experts stay with the CPU, the first ones; default 0. */
  readonly hostExperts?: number | undefined;
  /** Texts at once whose caches must fit; default 1. */
  readonly texts?: number | undefined;
}

/** What is placed. */
export interface PlacedModel {
  readonly weights: readonly WeightSpec[];
  readonly states: readonly LayerState[];
  readonly attention: readonly AttentionShape[];
  readonly cacheType: GgmlType;
  readonly contextLength: number;
  /** Bytes of drafters, which go where the head is. */
  readonly draftBytes: number;
  /** Bytes of intermediate results on each card. */
  readonly compute: number;
}

export interface PlacedCard {
  readonly card: Accelerator;
  readonly layers: number;
  /** Bytes that are planned there, without the margin. */
  readonly bytes: number;
}

export interface Placement {
  /** Where a weight is stored. */
  layoutsOf(spec: WeightSpec): readonly WeightLayout[];
  /** For each layer, where its keys and values are; undefined: with the CPU. */
  readonly states: readonly (Accelerator | undefined)[];
  /** Where the head is, and with it the drafters. */
  readonly head: Accelerator | undefined;
  readonly layerCount: number;
  /** Only cards that something is on. */
  readonly cards: readonly PlacedCard[];
  /** Layers whose experts stay with the CPU though the rest is on a card. */
  readonly hostExperts: number;
  /** Bytes on the host: weights, and the caches of one text. */
  readonly host: { readonly weights: number; readonly cache: number };
}

/** Of a card's memory, so much is left: for its driver, and for buffers that are rounded up. */
const marginShare = 1 / 16;
const mostMargin = 512 * 2 ** 20;

/** The number of the block that a weight belongs to. */
export function blockOf({ name }: Pick<WeightSpec, 'name'>): number | undefined {
  const number = /^blk\.(\d+)\./.exec(name)?.[1];
  return number === undefined ? undefined : Number(number);
}

/**
 * Places a model.
 * @throws {PacelineError} `memory` when layers that were asked for do not fit; `usage` for more layers
 *   than the model has; `platform` for layers that only the CPU computes.
 */
export function placeModel(model: PlacedModel, wish: PlacementWish): Placement {
  const count = model.states.length;
  const { cards, layers: wanted, hostExperts = 0 } = wish;
  if (wanted !== undefined && wanted > count) {
    throw new PacelineError('usage', `The model has ${count} layers, not ${wanted}`, {
      hint: `Ask for at most ${count} (--gpu-layers), or leave it out: as many as fit.`,
      details: { layers: wanted, layerCount: count },
    });
  }
  const folded = model.states.find(({ kind }) => !['rows', 'shared', 'none'].includes(kind));
  if (cards.length > 0 && folded !== undefined) {
    throw new PacelineError(
      'platform',
      `Layers of kind ${folded.kind} are computed by the CPU only`,
      {
        hint: 'Use --device cpu for this model.',
        details: { kind: folded.kind },
      },
    );
  }
  const units = unitsOf(model, hostExperts);
  const most = wanted ?? count;
  const placed: (Accelerator | undefined)[] = Array(count).fill(undefined);
  let head: Accelerator | undefined;
  let at = 0;
  let taken = 0;
  const used: { card: Accelerator; layers: number; bytes: number }[] = [];
  /** Puts a unit on the first card, from the last one used on, that has room. */
  const put = (unit: Unit, extra: number): Accelerator | undefined => {
    for (; at < cards.length; at++) {
      const card = cards[at] as Accelerator;
      const known = used.find((each) => each.card === card);
      const needs = unit.bytes(card, wish.texts ?? 1) + extra;
      const sum = (known?.bytes ?? model.compute) + needs;
      if (sum > room(card)) continue;
      if (known === undefined) used.push({ card, layers: 0, bytes: sum });
      else known.bytes = sum;
      return card;
    }
    return undefined;
  };
  if (most > 0) head = put(units.head, model.draftBytes);
  for (let layer = count - 1; head !== undefined && layer >= count - most; layer--) {
    const card = put(units.layers[layer] as Unit, 0);
    if (card === undefined) break;
    placed[layer] = card;
    taken++;
    const known = used.find((each) => each.card === card);
    if (known !== undefined) known.layers++;
  }
  if (wanted !== undefined && taken < wanted && cards.length > 0) {
    throw tooManyLayers(wanted, taken, cards);
  }
  // A head alone is not worth the way to a card.
  const onCards =
    taken > 0 ? used.filter(({ layers }) => layers > 0 || used[0]?.card === head) : [];
  if (taken === 0) head = undefined;
  const cardOf = (spec: WeightSpec): Accelerator | undefined => {
    const block = blockOf(spec);
    if (block === undefined) return head;
    if (spec.role === 'experts' && block < hostExperts) return undefined;
    return placed[block];
  };
  const states = placed.map((card, layer) =>
    card && keepsRowsOn(card, model, layer) ? card : undefined,
  );
  const hostCache = model.states.filter((_, layer) => states[layer] === undefined);
  return {
    layoutsOf: (spec) => layoutsAt(cardOf(spec), spec),
    states,
    head,
    layerCount: count,
    cards: onCards,
    hostExperts: model.weights.some(({ role }) => role === 'experts')
      ? placed.filter((card, layer) => card !== undefined && layer < hostExperts).length
      : 0,
    host: {
      weights: model.weights.reduce((sum, spec) => sum + bytesAt(cardOf(spec), spec).host, 0),
      cache: bytesOfStates(hostCache, model),
    },
  };
}

/** What is placed as a whole. */
interface Unit {
  /** Bytes that it takes on a card, with the caches of so many texts. */
  bytes(card: Accelerator, texts: number): number;
}

function unitsOf(model: PlacedModel, hostExperts: number): { head: Unit; layers: readonly Unit[] } {
  const weightsOf = (block: number | undefined) => {
    const own = model.weights.filter(
      (spec) =>
        blockOf(spec) === block &&
        !(spec.role === 'experts' && block !== undefined && block < hostExperts),
    );
    return (card: Accelerator) => own.reduce((sum, spec) => sum + bytesAt(card, spec).card, 0);
  };
  const head = weightsOf(undefined);
  return {
    head: { bytes: (card) => head(card) },
    layers: model.states.map((state, layer) => {
      const weights = weightsOf(layer);
      return {
        bytes(card, texts) {
          const cache = keepsRowsOn(card, model, layer) ? bytesOfStates([state], model) : 0;
          return weights(card) + texts * cache;
        },
      };
    }),
  };
}

/** Of rows alone: a model that keeps something else is with the CPU, and estimated there. */
function bytesOfStates(states: readonly LayerState[], model: PlacedModel): number {
  const shapes = states.flatMap((state) => (state.kind === 'rows' ? [state] : []));
  return cacheBytes(model.cacheType, shapes, model.contextLength);
}

/** Whether a layer's rows can be on a card: it must compute attention over them. */
function keepsRowsOn(card: Accelerator, model: PlacedModel, layer: number): boolean {
  const state = model.states[layer];
  const shape = model.attention[layer];
  if (state?.kind !== 'rows' || shape === undefined) return false;
  const keyLength = state.keys / state.heads;
  const valueLength = state.valuesInKeys ?? state.values / state.heads;
  const { heads } = shape;
  const question = { type: model.cacheType, heads, kvHeads: state.heads, keyLength, valueLength };
  return attends(card, question);
}

/** Bytes that may be used of a card. */
function room(card: Accelerator): number {
  const { free, total } = card.memory;
  return free - Math.min(mostMargin, total * marginShare);
}

function tooManyLayers(wanted: number, fits: number, cards: readonly Accelerator[]): PacelineError {
  const names = cards.map(({ name }) => name).join(', ');
  const mebibytes = Math.floor(cards.reduce((sum, card) => sum + room(card), 0) / 2 ** 20);
  return new PacelineError(
    'memory',
    `${wanted} layers do not fit into the ${mebibytes} MiB that ${names} can take`,
    {
      hint:
        fits > 0
          ? `${fits} would fit (--gpu-layers ${fits}); a smaller --ctx makes room for more.`
          : 'Not one would fit: use a smaller --ctx, or --device cpu.',
      details: { layers: wanted, fits, free: cards.map(({ memory }) => memory.free) },
    },
  );
}
