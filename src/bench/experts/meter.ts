/**
 * What a model's routers do with a text: how much probability each expert gets, how often it is
 * chosen, and its score by EASY-EP (arXiv 2504.06792). All sums are in double precision.
 */
import type { Graph } from '../../ggml/graph.js';
import type { Tensor } from '../../ggml/tensor.js';
import { GgmlType } from '../../ggml/types.js';
import type { LayerMixture } from '../../models/expert-subset.js';
import type { MixtureObserver, Routing } from '../../models/experts.js';

/** The experts of a layer on a text. */
export interface LayerUse {
  readonly layer: number;
  readonly experts: number;
  readonly used: number;
  /** Whether tokens choose their experts by their numbers, and not the router. */
  readonly byToken: boolean;
  /**
   * The mean over all tokens of the softmax of the router's logits; where tokens choose, the expert's share of
   * their choices.
   */
  readonly mass: Float64Array;
  /** Of the tokens that go through a layer, the share that goes through the expert. */
  readonly chosen: Float64Array;
  /** Sums of EASY-EP; zeros unless they were asked for. */
  readonly easyEp: Float64Array;
}

export interface MeterOptions {
  /** Whether to compute the scores of EASY-EP, which needs the experts' own results. */
  readonly easyEp?: boolean;
  /** Experts that are left of a layer; those of other layers are all there. */
  readonly kept?: ReadonlyMap<number, readonly number[]>;
}

interface Pending {
  logits?: Tensor;
  routing?: Routing;
  /** [1, used, T]: squared norms of what the chosen experts give. */
  squares?: Tensor;
  x?: Tensor;
  result?: Tensor;
}

/** Below it a vector counts as having no direction, as in PyTorch's cosine similarity. */
const leastNorm = 1e-8;

/** Sums up what the mixtures of any number of passes do. */
export class MixtureMeter implements MixtureObserver {
  readonly made: MixtureObserver['made'];
  readonly mixed: MixtureObserver['mixed'];
  readonly #uses: ReadonlyMap<number, LayerUse>;
  readonly #kept: ReadonlyMap<number, readonly number[]>;
  readonly #pending = new Map<number, Pending>();
  #tokens = 0;

  constructor(mixtures: readonly LayerMixture[], options: MeterOptions = {}) {
    const uses = mixtures.map((mixture): [number, LayerUse] => {
      const { layer, experts, used, byToken } = mixture;
      const zeros = () => new Float64Array(experts);
      const sums = { mass: zeros(), chosen: zeros(), easyEp: zeros() };
      return [layer, { layer, experts, used, byToken, ...sums }];
    });
    this.#uses = new Map(uses);
    this.#kept = options.kept ?? new Map();
    if (options.easyEp !== true) return;
    this.made = (graph, block, outputs) => {
      const squares = graph.sumRows(graph.mul(outputs, outputs)); // [1, used, T]
      this.#of(block).squares = graph.output(squares);
    };
    this.mixed = (graph, block, x, result) => {
      Object.assign(this.#of(block), { x: whole(graph, x), result: whole(graph, result) });
    };
  }

  mask(graph: Graph, block: string): Tensor | undefined {
    const layer = layerOf(block);
    const kept = this.#kept.get(layer);
    const use = this.#uses.get(layer);
    if (kept === undefined || use === undefined || kept.length === use.experts) return undefined;
    const row = new Float32Array(use.experts).fill(Number.NEGATIVE_INFINITY);
    for (const id of kept) row[id] = 0;
    return graph.input(`${block} mask`, GgmlType.F32, [use.experts], row);
  }

  routed(graph: Graph, block: string, logits: Tensor, routing: Routing): void {
    const { chosen, weights } = routing;
    Object.assign(this.#of(block), {
      logits: whole(graph, logits),
      routing: { chosen: whole(graph, chosen), weights: whole(graph, weights) },
    });
  }

  #of(block: string): Pending {
    const layer = layerOf(block);
    const pending = this.#pending.get(layer) ?? {};
    this.#pending.set(layer, pending);
    return pending;
  }

  /** Adds what a computed pass has seen. */
  gather(graph: Graph): void {
    let tokens = 0;
    for (const [layer, pending] of this.#pending) {
      const use = this.#uses.get(layer);
      const { logits, routing } = pending;
      if (use === undefined || logits === undefined || routing === undefined) continue;
      tokens = logits.shape[1];
      if (!use.byToken) addMass(use, graph.read(logits), this.#kept.get(layer));
      const chosen = graph.readIndices(routing.chosen);
      for (const id of chosen) {
        (use.chosen[id] as number)++;
        if (use.byToken) (use.mass[id] as number) += 1 / use.used;
      }
      const { squares, x, result } = pending;
      if (squares && x && result) {
        const delta = turns(graph.read(x), graph.read(result), x.shape[0]);
        const weights = graph.read(routing.weights);
        for (const [at, square] of graph.read(squares).entries()) {
          const turn = delta[Math.floor(at / use.used)] as number;
          (use.easyEp[chosen[at] as number] as number) +=
            (weights[at] as number) * Math.sqrt(square) * turn;
        }
      }
    }
    this.#pending.clear();
    this.#tokens += tokens;
  }

  /** Tokens that were read. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Means over all tokens, layer by layer. */
  uses(): readonly LayerUse[] {
    const mean = (sums: Float64Array) => sums.map((sum) => sum / Math.max(1, this.#tokens));
    return [...this.#uses.values()].map((use) => ({
      ...use,
      mass: mean(use.mass),
      chosen: mean(use.chosen),
    }));
  }
}

function layerOf(block: string): number {
  return Number(block.slice('blk.'.length));
}

function whole(graph: Graph, tensor: Tensor): Tensor {
  return graph.output(tensor.contiguous ? tensor : graph.cont(tensor));
}

/** Adds each row's softmax over the experts that are there. */
function addMass(
  { experts, mass }: LayerUse,
  logits: Float32Array,
  kept: readonly number[] | undefined,
): void {
  const ids = kept ?? Array.from({ length: experts }, (_, id) => id);
  const powers = new Float64Array(experts);
  for (let row = 0; row < logits.length; row += experts) {
    let most = Number.NEGATIVE_INFINITY;
    for (const id of ids) most = Math.max(most, logits[row + id] as number);
    let sum = 0;
    for (const id of ids) {
      const power = Math.exp((logits[row + id] as number) - most);
      powers[id] = power;
      sum += power;
    }
    for (const id of ids) (mass[id] as number) += (powers[id] as number) / sum;
  }
}

/** For each row 1 - cos(x, x + result), at least 0. */
function turns(x: Float32Array, result: Float32Array, length: number): Float64Array {
  return Float64Array.from({ length: x.length / length }, (_, row) => {
    let [dot, before, after] = [0, 0, 0];
    for (let at = row * length; at < (row + 1) * length; at++) {
      const a = x[at] as number;
      const b = a + (result[at] as number);
      dot += a * b;
      before += a * a;
      after += b * b;
    }
    const norms = Math.max(leastNorm, Math.sqrt(before)) * Math.max(leastNorm, Math.sqrt(after));
    return Math.max(0, 1 - dot / norms);
  });
}
