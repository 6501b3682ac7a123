/**
 * From a wish for devices to an opened backend: which cards are asked for or best, whether the model
 * fits them, and what to do when they cannot be had. Who named a card gets an error, `auto` goes on
 * with the CPU and says why.
 */
import { PacelineError } from '../base/errors.js';
import type { KvType } from '../cache/kv-names.js';
import { cacheType, chooseKvType } from '../cache/kv-type.js';
import { Backend, type BackendOptions } from '../ggml/backend.js';
import type { RowShape } from '../ggml/cache-rows.js';
import { type Card, findCards } from '../ggml/devices.js';
import { nativeKernels } from '../ggml/native/library.js';
import { type ModelSource, planModel } from '../models/load.js';
import type { ExpertMemoryWish } from '../models/memory-plan.js';
import type { Placement, PlacementWish } from '../models/placement.js';

export interface DeviceWish {
  /** `auto` (default), `cpu`, or names of cards with commas between. */
  readonly device?: string | undefined;
  /** Layers on cards; default: as many as fit. */
  readonly gpuLayers?: number | 'auto' | undefined;
  /** Layers whose experts stay with the CPU; true: all. */
  readonly cpuExperts?: number | boolean | undefined;
  /** Texts at once whose caches must fit. */
  readonly texts?: number | undefined;
}

export interface DeviceOptions extends BackendOptions {
  readonly wish: DeviceWish;
  readonly contextLength: number;
  /** Rows of the layers that keep some. */
  readonly layout: readonly RowShape[];
  /** Whether it is a model of texts: an encoder is computed by the CPU. */
  readonly causal: boolean;
  readonly kvType?: KvType | undefined;
  /** Bytes of the drafters. */
  readonly draftBytes: number;
  /** What experts may take that stay in the file. */
  readonly expertMemory?: ExpertMemoryWish | undefined;
}

/** What a model computes on. */
export interface ChosenDevices {
  readonly backend: Backend;
  readonly kvType: KvType;
  readonly placement: PlacementWish;
  /** One line: what was taken, and why; undefined where there was nothing to choose from. */
  readonly choice: string | undefined;
  /** Why `auto` could not have a card that is installed. */
  readonly warnings: readonly string[];
}

/**
 * Opens what a model will compute on.
 * @throws {PacelineError} `usage` for cards that are not here; `memory` for layers that do not fit;
 *   `platform` for a card that cannot be opened or cannot compute the model.
 */
export function openDevices(source: ModelSource, options: DeviceOptions): ChosenDevices {
  const { wish, contextLength, layout, threads, reproducible } = options;
  const own: BackendOptions = {
    ...(threads === undefined ? {} : { threads }),
    ...(reproducible ? { reproducible } : {}),
  };
  const { cards, named, why, problems } = chooseCards(wish, reproducible === true);
  if (cards.length > 0) {
    let backend: Backend | undefined;
    try {
      if (!options.causal) {
        throw new PacelineError('platform', 'Encoders are computed by the CPU only', {
          hint: 'Use --device cpu for this model.',
        });
      }
      const kvType = chooseKvType(refuseIntegers(options.kvType), layout, undefined);
      backend = new Backend({ ...own, cards });
      const placement = placementWish(backend, wish);
      const { draftBytes } = options;
      const type = cacheType(kvType);
      const { expertMemory } = options;
      const { placement: where } = planModel(source, {
        ...{ contextLength, draftBytes, cacheType: type, placement, expertMemory },
      });
      if (where.cards.length > 0 || wish.gpuLayers === 0) {
        return {
          backend,
          kvType,
          placement,
          choice: `${describe(where)}${why}`,
          warnings: problems,
        };
      }
      throw new PacelineError(
        'memory',
        `No layer fits on ${cards.map(({ name }) => name).join()}`,
        {
          hint: 'Use a smaller context (--ctx), or --device cpu.',
        },
      );
    } catch (error) {
      backend?.dispose();
      if (named || !PacelineError.is(error)) throw error;
      problems.push(`computing on the CPU: ${error.message}`);
    }
  }
  const backend = new Backend(own);
  try {
    const kvType = chooseKvType(options.kvType, layout, nativeKernels().kernels?.path);
    const chosen = wish.device === 'auto' || problems.length > 0;
    const choice = chosen ? `CPU${why}` : undefined;
    return { backend, kvType, placement: { cards: [] }, choice, warnings: problems };
  } catch (error) {
    backend.dispose();
    throw error;
  }
}

function placementWish(backend: Backend, wish: DeviceWish): PlacementWish {
  const { gpuLayers, cpuExperts, texts } = wish;
  return {
    cards: backend.accelerators,
    layers: gpuLayers === 'auto' ? undefined : gpuLayers,
    hostExperts: cpuExperts === true ? Number.POSITIVE_INFINITY : cpuExperts || undefined,
    texts,
  };
}

function refuseIntegers(kvType: KvType | undefined): KvType | undefined {
  if (kvType !== 'i16') return kvType;
  throw new PacelineError('usage', 'A KV cache of i16 is for the CPU’s kernels only', {
    hint: 'Leave --kv out, use --kv f16, or --device cpu.',
    details: { kvType },
  });
}

interface Choice {
  readonly cards: readonly Card[];
  /** Whether somebody asked for these very cards. */
  readonly named: boolean;
  /** The end of a line that says what was taken. */
  readonly why: string;
  readonly problems: string[];
}

/** Libraries in the order in which `auto` prefers them. */
const preference = ['cuda', 'hip', 'metal', 'sycl', 'vulkan'];

/** Drivers that compute on the processor. */
const software = /llvmpipe|lavapipe|swiftshader|softpipe/i;

function chooseCards({ device = 'auto', gpuLayers }: DeviceWish, reproducible: boolean): Choice {
  const none = { cards: [], named: false, problems: [] };
  const wanted = device.split(',').map((name) => name.trim());
  if (device.toLowerCase() === 'cpu') return { ...none, why: '' };
  if (device === 'auto') {
    if (reproducible) return { ...none, why: ', whose bytes are the same everywhere' };
    if (gpuLayers === 0) return { ...none, why: ' (no layers on cards were asked for)' };
    const { cards, problems } = findCards();
    const refused = cards.flatMap((card) => unfit(card) ?? []);
    const fit = cards.filter((card) => unfit(card) === undefined);
    const rank = ({ variant }: Card) => preference.indexOf(variant);
    const [best] = [...fit].sort((a, b) => rank(a) - rank(b));
    const taken = fit
      .filter(({ variant }) => variant === best?.variant)
      .sort((a, b) => b.memoryFree - a.memoryFree);
    const why =
      taken.length > 0
        ? ', the best that is installed'
        : refused.length > 0
          ? `: ${refused.join('; ')}`
          : ': no graphics card with an installed library';
    return { cards: taken, named: false, why, problems: [...problems] };
  }
  if (reproducible) {
    throw new PacelineError('usage', 'Only the CPU computes the same bytes everywhere', {
      hint: 'Leave out --device, or --portable (reproducible).',
    });
  }
  const { cards, problems } = findCards();
  const found = [...new Set(wanted)].map((name) => {
    const card = cards.find((each) => each.name.toLowerCase() === name.toLowerCase());
    if (card === undefined) throw unknownCard(name, cards, problems);
    return card;
  });
  return { cards: found, named: true, why: '', problems: [] };
}

/** Why `auto` leaves a card alone. */
function unfit({ name, description, kind, variant }: Card): string | undefined {
  const what = `${name} (${description})`;
  if (software.test(description)) return `${what} is no hardware`;
  if (kind === 'integrated-gpu' && variant !== 'metal') {
    return `${what} reads the same memory as the CPU`;
  }
  return undefined;
}

function unknownCard(
  name: string,
  cards: readonly Card[],
  problems: readonly string[],
): PacelineError {
  const known = ['auto', 'cpu', ...cards.map((card) => card.name)].join(', ');
  const more = problems.length > 0 ? ` ${problems.join('. ')}.` : '';
  return new PacelineError('usage', `There is no device ${JSON.stringify(name)}`, {
    hint: `There are: ${known}.${more} docs/devices.md says how to install libraries for cards.`,
    details: { device: name, known: cards.map((card) => card.name), problems },
  });
}

/** `Vulkan0 (llvmpipe), 20 of 28 layers, 312 MiB`. */
function describe({ cards, layerCount, hostExperts }: Placement): string {
  const parts = cards.map(({ card, layers, bytes }) => {
    const size = `${Math.ceil(bytes / 2 ** 20)} MiB`;
    return `${card.name} (${card.description.trim()}) with ${layers} of ${layerCount} layers, ${size}`;
  });
  const experts = hostExperts > 0 ? [`experts of ${hostExperts} layers on the CPU`] : [];
  return [...parts, ...experts].join('; ') || 'CPU';
}
