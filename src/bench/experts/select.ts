/**
 * Chooses which experts of a model a text needs, by the methods of EMO (arXiv 2605.06663) and EASY-EP
 * (arXiv 2504.06792). Shared experts are always kept and not counted.
 *
 * - `layerwise`: layer by layer, by the mean probability that the router gives, with the layers
 *   before already pruned; reads the text once a layer.
 * - `global`: the same means, from one pass of the whole model.
 * - `easy-ep`: the sum over the tokens that go through an expert of its weight, the norm of its result
 *   and how much the mixture turns the row, from one pass of the whole model.
 * - `random`: a permutation for each layer, drawn as PyTorch draws it; the control.
 */
import { createHash } from 'node:crypto';
import { PacelineError, throwIfAborted } from '../../base/errors.js';
import type { OnProgress } from '../../base/progress.js';
import type { KvType } from '../../cache/kv-names.js';
import { readGguf } from '../../gguf/reader.js';
import {
  type ExpertSubset,
  type LayerMixture,
  mixturesOf,
  routersDigest,
} from '../../models/expert-subset.js';
import { observeMixtures } from '../../models/experts.js';
import type { SelectionMethod } from '../../models/selection-methods.js';
import { Evaluator } from '../evaluator.js';
import { type Passage, passagesOf } from './documents.js';
import { type LayerUse, type MeterOptions, MixtureMeter } from './meter.js';
import { permutations } from './random.js';

/** How many experts a layer keeps: a number, a share of them, or a number for each layer. */
export type Keep =
  | { readonly count: number }
  | { readonly share: number }
  | { readonly counts: readonly number[] };

export interface SelectorOptions {
  /** Path of the model. */
  readonly model: string;
  /** Documents of the task, separated by NUL bytes. */
  readonly text: string;
  /** Tokens that are read at once. Default 512. */
  readonly contextLength?: number | undefined;
  /** Most passages to read. Default: all. */
  readonly passages?: number | undefined;
  /** Default: what `loadModel` takes. */
  readonly kvType?: KvType | undefined;
  readonly threads?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SelectOptions {
  readonly keep: Keep;
  readonly method: SelectionMethod;
  /** Spends what is kept over all layers where the text needs it, at least what a token goes through. */
  readonly uneven?: boolean | undefined;
  /** Of `random`. Default 0. */
  readonly seed?: number | undefined;
}

const usualContext = 512;

/** A loaded model and a text by which experts are chosen. */
export class ExpertSelector implements Disposable {
  #whole: MixtureMeter | undefined;

  private constructor(
    private readonly model: Evaluator,
    private readonly passages: readonly Passage[],
    private readonly facts: Omit<ExpertSubset, 'kept' | 'method'>,
    readonly mixtures: readonly LayerMixture[],
    /** Experts of a layer that every token goes through. */
    private readonly shared: number,
    private readonly options: SelectorOptions,
  ) {}

  /**
   * Loads the model.
   * @throws {PacelineError} `usage` for a model without mixtures or an empty text; as `loadModel`.
   */
  static async open(options: SelectorOptions): Promise<ExpertSelector> {
    const { contextLength = usualContext, kvType, threads, signal, onProgress } = options;
    await using file = await readGguf(options.model, { signal });
    const mixtures = mixturesOf(file);
    const architecture = file.string('general.architecture');
    const layers = Math.max(...mixtures.map(({ layer }) => layer)) + 1;
    const experts = new Array<number>(
      file.integer(`${architecture}.block_count`) -
        (file.optionalInteger(`${architecture}.nextn_predict_layers`) ?? 0),
    ).fill(0);
    for (const { layer, experts: count } of mixtures) experts[layer] = count;
    if (layers > experts.length) throw new PacelineError('internal', 'A layer past the last one');
    const routers = await routersDigest(file, mixtures, signal);
    const shared = file.optionalInteger(`${architecture}.expert_shared_count`) ?? 0;
    const load = { contextLength, kvType, threads, onProgress, signal };
    const model = await Evaluator.open(options.model, load);
    try {
      const passages = passagesOf(model.tokenizer, options.text, contextLength, options.passages);
      const text = {
        sha256: createHash('sha256').update(options.text).digest('hex'),
        tokens: passages.reduce((sum, { tokens }) => sum + tokens.length, 0),
      };
      const kind = { format: 'paceline-experts', version: 1 } as const;
      const facts = { ...kind, architecture, experts, routers, text };
      return new ExpertSelector(model, passages, facts, mixtures, shared, options);
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  /** How the whole model uses its experts on the text. @throws {PacelineError} `aborted`. */
  async statistics(): Promise<{ readonly tokens: number; readonly layers: readonly LayerUse[] }> {
    this.#whole ??= await this.#read({ easyEp: true }, 'reading');
    return { tokens: this.#whole.tokens, layers: this.#whole.uses() };
  }

  /**
   * Chooses experts.
   * @throws {PacelineError} `usage` when fewer would be left than a token goes through; `aborted`.
   */
  async select({ keep, method, uneven = false, seed = 0 }: SelectOptions): Promise<ExpertSubset> {
    let counts = countsOf(keep, this.mixtures);
    if (uneven) {
      const chosen = new Set(this.mixtures.filter((one) => !one.byToken).map((one) => one.layer));
      const { layers } = await this.statistics();
      counts = spread(
        counts,
        layers.filter(({ layer }) => chosen.has(layer)),
      );
    }
    const chosen = await this.#choose(counts, method, seed);
    const kept = this.facts.experts.map((_, layer) => chosen.get(layer) ?? []);
    return { ...this.facts, method: uneven ? `${method}, uneven` : method, kept };
  }

  async #choose(
    counts: ReadonlyMap<number, number>,
    method: SelectionMethod,
    seed: number,
  ): Promise<ReadonlyMap<number, readonly number[]>> {
    const kept = new Map<number, readonly number[]>();
    const count = (layer: number) => counts.get(layer) as number;
    if (method === 'random') {
      const draw = permutations(seed);
      for (const { layer, experts } of this.mixtures) {
        kept.set(layer, ascending(draw(experts).slice(0, count(layer))));
        if (this.shared > 0) draw(this.shared); // as EMO's script does, which draws among these too
      }
    } else if (method === 'layerwise') {
      let pruned = false;
      for (const [done, { layer, experts }] of this.mixtures.entries()) {
        if (count(layer) === experts) {
          kept.set(layer, everyId(experts));
          continue;
        }
        const task = `choosing, layer ${done + 1} of ${this.mixtures.length}`;
        const uses = pruned ? await this.#pruned(kept, task) : (await this.statistics()).layers;
        pruned = true;
        const { mass } = uses.find((use) => use.layer === layer) as LayerUse;
        kept.set(layer, best(mass, count(layer)));
      }
    } else {
      for (const use of (await this.statistics()).layers) {
        const scores = method === 'easy-ep' ? use.easyEp : use.mass;
        kept.set(use.layer, best(scores, count(use.layer)));
      }
    }
    return kept;
  }

  async #pruned(kept: ReadonlyMap<number, readonly number[]>, task: string) {
    return (await this.#read({ kept: new Map(kept) }, task)).uses();
  }

  async #read(options: MeterOptions, task: string): Promise<MixtureMeter> {
    const meter = new MixtureMeter(this.mixtures, options);
    const { onProgress, signal } = this.options;
    const total = this.facts.text?.tokens ?? 0;
    for (const { tokens } of this.passages) {
      throwIfAborted(signal);
      onProgress?.({ task, done: meter.tokens, total, unit: 'tokens' });
      await this.model.read(
        tokens,
        (graph) => meter.gather(graph),
        (graph) => observeMixtures(graph, meter),
      );
    }
    return meter;
  }

  dispose(): void {
    this.model.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * How many experts each layer keeps.
 * @throws {PacelineError} `usage`.
 */
function countsOf(keep: Keep, mixtures: readonly LayerMixture[]): ReadonlyMap<number, number> {
  const wrong = (problem: string) =>
    new PacelineError('usage', problem, { hint: 'Give another --keep.', details: { keep } });
  if ('counts' in keep && keep.counts.length !== mixtures.length) {
    throw wrong(
      `${keep.counts.length} numbers are given for ${mixtures.length} layers with experts`,
    );
  }
  const counts = mixtures.map(({ layer, experts, used, byToken }, at): [number, number] => {
    if (byToken) {
      if (!('counts' in keep) || keep.counts[at] === experts) return [layer, experts];
      throw wrong(`Layer ${layer} has to keep all of its ${experts} experts: tokens choose them`);
    }
    const wanted =
      'count' in keep
        ? keep.count
        : 'share' in keep
          ? Math.round(keep.share * experts)
          : Math.min(experts, keep.counts[at] as number);
    if (wanted > experts) throw wrong(`Layer ${layer} has only ${experts} experts, not ${wanted}`);
    if (wanted >= used) return [layer, wanted];
    throw wrong(`${wanted} experts are too few: a token goes through ${used} in layer ${layer}`);
  });
  return new Map(counts);
}

/** As many experts in all, where their mean probability is highest; other layers than these keep theirs. */
function spread(
  even: ReadonlyMap<number, number>,
  uses: readonly LayerUse[],
): ReadonlyMap<number, number> {
  const counts = new Map([...even, ...uses.map(({ layer, used }) => [layer, used] as const)]);
  const sum = (numbers: Iterable<number>) => [...numbers].reduce((a, b) => a + b, 0);
  const more = uses.flatMap(({ layer, used, mass }) => {
    const sorted = Float64Array.from(mass).sort().reverse();
    return [...sorted.subarray(used)].map((value) => ({ layer, value }));
  });
  more.sort((a, b) => b.value - a.value || a.layer - b.layer);
  for (const { layer } of more.slice(0, sum(even.values()) - sum(counts.values()))) {
    counts.set(layer, (counts.get(layer) as number) + 1);
  }
  return counts;
}

/** The places of the largest scores, ascending; of equal ones the first. */
function best(scores: Float64Array, count: number): number[] {
  const order = Array.from(scores, (score, id) => ({ score, id }));
  order.sort((a, b) => b.score - a.score || a.id - b.id);
  return ascending(order.slice(0, count).map(({ id }) => id));
}

function everyId(experts: number): number[] {
  return Array.from({ length: experts }, (_, id) => id);
}

function ascending(ids: readonly number[]): number[] {
  return [...ids].sort((a, b) => a - b);
}
