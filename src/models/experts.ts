/**
 * Mixtures of experts: how a router's logits choose experts and weigh them, and the weighted sum of
 * what the chosen ones make of a row. Routing and experts are apart, since models combine them
 * freely. Shapes are in ggml's order; T is the number of rows of a batch.
 */
import type { Graph } from '../ggml/graph.js';
import { rootSoftplus } from '../ggml/native/streams.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import type { Activation, Weight } from '../ggml/weight.js';
import { requireKernels } from './folded-state.js';
import {
  type ClampedSilu,
  declareLinear,
  type GatedNetwork,
  gatedNetwork,
  gateWith,
  type Linear,
  linear,
} from './layers.js';
import type { WeightLoader } from './weights.js';

/** A matrix for each expert, with what may come after it. */
export interface ExpertLinear {
  /** [in, out, experts]. */
  readonly weight: Weight;
  /** A factor for each expert's product: [experts]. */
  readonly scale: Weight | undefined;
  /** [out, experts]. */
  readonly bias: Weight | undefined;
}

/** Experts, each a gated network. */
export interface Experts {
  readonly gate: ExpertLinear;
  readonly up: ExpertLinear;
  readonly down: ExpertLinear;
}

/** Experts, and the matrix that rates them for a row. */
export interface Mixture {
  readonly router: Linear;
  readonly experts: Experts;
  /** How many experts a row goes through. */
  readonly used: number;
  /** What every row goes through besides. */
  readonly shared?: GatedNetwork | undefined;
  /** Added to the ratings for the choice alone: [experts]. */
  readonly choiceBias?: Weight | undefined;
}

export interface MixtureSizes {
  readonly embedding: number;
  /** Width of an expert. */
  readonly inner: number;
  readonly experts: number;
  readonly used: number;
}

export interface ExpertNames {
  /** Whether router and experts have biases (gpt-oss). */
  readonly biases?: boolean;
}

export function declareMixture(
  w: WeightLoader,
  block: string,
  sizes: MixtureSizes,
  names: ExpertNames = {},
): Mixture {
  const { embedding, experts, used } = sizes;
  const router = `${block}.ffn_gate_inp`;
  return {
    router: names.biases
      ? declareLinear(w, router, embedding, experts)
      : {
          weight: w.matrix(`${router}.weight`, [embedding, experts]),
          scale: undefined,
          bias: undefined,
        },
    experts: declareExperts(w, block, sizes, names),
    used,
  };
}

/** Gate and up may be one tensor, with the rows of the gate first; factors are taken when there. */
function declareExperts(
  w: WeightLoader,
  block: string,
  { embedding, inner, experts }: Omit<MixtureSizes, 'used'>,
  { biases = false }: ExpertNames = {},
): Experts {
  const part = (name: string, inputs: number, outputs: number): ExpertLinear => ({
    weight: w.experts(`${block}.${name}.weight`, [inputs, outputs, experts]),
    scale: w.optionalVector(`${block}.${name}.scale`, [experts]),
    bias: biases ? w.vectors(`${block}.${name}.bias`, [outputs, experts]) : undefined,
  });
  const together = `${block}.ffn_gate_up_exps`;
  const half = (first: number): ExpertLinear => ({
    weight: w.experts(`${together}.weight`, [embedding, inner, experts], { first, of: 2 * inner }),
    scale: w.optionalVector(`${together}.scale`, [experts]),
    bias: undefined,
  });
  const fused = !biases && w.find(`${together}.weight`) !== undefined;
  return {
    gate: fused ? half(0) : part('ffn_gate_exps', embedding, inner),
    up: fused ? half(inner) : part('ffn_up_exps', embedding, inner),
    down: part('ffn_down_exps', inner, embedding),
  };
}

/** What is seen of the mixtures of a graph; named by the block, as `blk.3`. */
export interface MixtureObserver {
  /** Added to the logits: 0, or minus infinity for experts that are to be left out; [experts]. */
  readonly mask?: (graph: Graph, block: string) => Tensor | undefined;
  /** Called for each mixture: the router's logits [experts, T] before any mask, and its choice. */
  routed(graph: Graph, block: string, logits: Tensor, routing: Routing): void;
  /**
   * The chosen experts' own results [embedding, used, T], not weighed yet; asked for only when there
   * is this method, because they are made for it.
   */
  readonly made?: ((graph: Graph, block: string, outputs: Tensor) => void) | undefined;
  /**
   * What a mixture read and what it gave: [embedding, T] both. Of a block the last call counts, which
   * has the shared experts in it.
   */
  readonly mixed?: ((graph: Graph, block: string, x: Tensor, result: Tensor) => void) | undefined;
}

const observers = new WeakMap<Graph, MixtureObserver>();

/** Has somebody see the mixtures that are added to a graph from now on. */
export function observeMixtures(graph: Graph, observer: MixtureObserver): void {
  observers.set(graph, observer);
}

const blockOf = ({ name }: Weight) => name.slice(0, name.indexOf('.', 4));

/** Which experts the rows of a batch go through, and with which weights. */
export interface Routing {
  /** I32 [used, T]. */
  readonly chosen: Tensor;
  /** [1, used, T]. */
  readonly weights: Tensor;
}

export interface RoutingOptions {
  /** How many experts a row goes through. */
  readonly used: number;
  /**
   * How logits become ratings, which are also the weights: by a softmax over all experts (default),
   * a sigmoid of each, the root of a softplus of each, or not at all, with a softmax over the chosen ones'
   * logits as weights.
   */
  readonly rating?: 'softmax' | 'sigmoid' | 'root of softplus' | 'softmax of chosen';
  /** I32 [used, T]: experts that are chosen whatever their ratings are. */
  readonly chosen?: Tensor | undefined;
  /** Whether weights are divided by their sum. */
  readonly normalise: boolean;
  /** Multiplies the weights. */
  readonly scale?: number | undefined;
  /** Added to the ratings for the choice alone: [experts]. */
  readonly choiceBias?: Weight | undefined;
  /** Added to the logits, and to what the choice is made by: 0 or minus infinity; [experts]. */
  readonly mask?: Tensor | undefined;
  /** Only the best groups' experts can be chosen; a group is as good as its two best. */
  readonly groups?: { readonly count: number; readonly used: number } | undefined;
}

/** The smallest sum by which router weights are divided: 2^-14, F16's smallest normal number. */
const leastWeightSum = 6.103515625e-5;

/** Chooses experts of a mixture by what its router makes of x [embedding, T]. */
export function routeMixture(
  graph: Graph,
  m: Mixture,
  x: Tensor,
  options: Omit<RoutingOptions, 'used' | 'choiceBias' | 'mask'>,
): Routing {
  const { router, used, choiceBias } = m;
  const logits = linear(graph, router, x);
  const observer = observers.get(graph);
  if (observer === undefined) {
    const routing = route(graph, logits, { ...options, used, choiceBias });
    foresee(graph, { mixture: m, options }, x, routing);
    return routing;
  }
  const block = blockOf(router.weight);
  const mask = observer.mask?.(graph, block);
  const routing = route(graph, logits, { ...options, used, choiceBias, mask });
  observer.routed(graph, block, logits, routing);
  return routing;
}

/** A mixture as graphs pass it. */
interface Passed {
  readonly mixture: Mixture;
  readonly options: Omit<RoutingOptions, 'used' | 'choiceBias' | 'mask'>;
}

/** What comes behind a mixture, by its router: learned from the first graph that passes both. */
const following = new WeakMap<Weight, Passed>();
const passed = Symbol('passed');
/** Rows of a pass from which on nothing is foreseen: with more of them it is any expert. */
const mostForeseen = 16;

/**
 * Where experts are read when they are needed: says early which ones the next mixture is likely to choose, by its
 * router's ratings of what this one sees (as in arXiv 2312.17238). Rows change little from layer to layer.
 */
function foresee(graph: Graph, own: Passed, x: Tensor, { chosen }: Routing): void {
  const { weight } = own.mixture.experts.gate;
  if (weight.storage.foresees !== true || x.shape[1] > mostForeseen) return;
  const last = graph.shared<{ router?: Weight }>(passed, () => ({}));
  if (last.router !== undefined) following.set(last.router, own);
  last.router = own.mixture.router.weight;
  const next = following.get(last.router);
  // Which experts a token's number chooses is not in the rows.
  if (next === undefined || next.options.chosen !== undefined) return;
  const { router, used, choiceBias, experts } = next.mixture;
  const logits = linear(graph, router, x);
  const likely = route(graph, logits, { ...next.options, used, choiceBias }).chosen;
  weight.storage.foresee?.(graph, chosen, experts.gate.weight, likely);
}

/** Chooses experts by a router's logits [experts, T]. */
export function route(graph: Graph, given: Tensor, options: RoutingOptions): Routing {
  const { used, rating = 'softmax', normalise, scale = 1, choiceBias, groups, mask } = options;
  const logits = mask === undefined ? given : graph.add(given, mask);
  const [count, tokens] = logits.shape;
  const ratings =
    rating === 'softmax'
      ? graph.softmax(logits)
      : rating === 'sigmoid'
        ? graph.sigmoid(logits)
        : rating === 'root of softplus'
          ? rootSoftplus(requireKernels('Ratings of this kind'), graph, logits)
          : logits;
  const added = choiceBias === undefined ? ratings : graph.add(ratings, choiceBias.tensor);
  const biased = mask === undefined ? added : graph.add(added, mask);
  const candidates = groups === undefined ? biased : inBestGroups(graph, biased, groups);
  const chosen = options.chosen ?? graph.topK(candidates, used); // [used, T]
  let weights = graph.reshape(graph.getRows(graph.reshape(ratings, [1, count, tokens]), chosen), [
    used,
    tokens,
  ]);
  if (rating === 'softmax of chosen') weights = graph.softmax(weights);
  if (normalise) {
    const sum = graph.clamp(graph.sumRows(weights), leastWeightSum, Infinity);
    weights = graph.div(weights, sum);
  }
  if (scale !== 1) weights = graph.scale(weights, scale);
  return { chosen, weights: graph.reshape(weights, [1, used, tokens]) };
}

/** Less than any rating. */
const unchosen = -1e30;

/** Ratings [experts, T] with those of all but the best groups out of reach. */
function inBestGroups(
  graph: Graph,
  ratings: Tensor,
  { count, used }: { readonly count: number; readonly used: number },
): Tensor {
  const [experts, tokens] = ratings.shape;
  const size = experts / count;
  const grouped = graph.reshape(ratings, [size, count, tokens]);
  const best = graph.topK(grouped, Math.min(2, size)); // [2, groups, T]
  const scores = graph.getRows(graph.reshape(ratings, [1, size, count, tokens]), best);
  const sums = graph.sumRows(graph.reshape(scores, [best.shape[0], count, tokens]));
  const groups = graph.topK(graph.reshape(sums, [count, tokens]), used); // [used, T]
  const kept = graph.getRows(grouped, groups); // [size, used, T]
  const nothing = graph.clamp(graph.scale(grouped, 0), unchosen, unchosen);
  return graph.reshape(graph.setRows(nothing, kept, graph.cont(groups)), [experts, tokens]);
}

/** The weighted sum of what the chosen experts make of x [embedding, T]. */
export function mixExperts(
  graph: Graph,
  { gate, up, down }: Experts,
  x: Tensor,
  { chosen, weights }: Routing,
  activation: Activation | ClampedSilu,
): Tensor {
  const rows = graph.reshape(x, [x.shape[0], 1, x.shape[1]]);
  const plain = !(gate.scale || gate.bias || up.scale || up.bias);
  const inner =
    plain && typeof activation === 'string'
      ? graph.gatedExperts(gate.weight, up.weight, rows, chosen, activation)
      : gateWith(
          graph,
          expertProducts(graph, gate, rows, chosen),
          expertProducts(graph, up, rows, chosen),
          activation,
        );
  const observer = observers.get(graph);
  observer?.made?.(graph, blockOf(down.weight), expertProducts(graph, down, inner, chosen));
  const scaled = down.scale ? graph.mul(weights, picked(graph, down.scale, chosen)) : weights;
  const mixed = graph.mixedExperts(down.weight, inner, chosen, scaled);
  if (down.bias === undefined) return mixed;
  return graph.add(mixed, mixedRows(graph, down.bias, chosen, weights));
}

/** x [in, 1 or used, T] to [out, used, T]. */
function expertProducts(graph: Graph, l: ExpertLinear, x: Tensor, chosen: Tensor): Tensor {
  const y = graph.experts(l.weight, x, chosen);
  const scaled = l.scale === undefined ? y : graph.mul(y, picked(graph, l.scale, chosen));
  return l.bias === undefined ? scaled : graph.addRows(scaled, l.bias.tensor, chosen);
}

/** Each expert's number of `values` [experts] for the chosen ones: [1, used, T]. */
function picked(graph: Graph, values: Weight, chosen: Tensor): Tensor {
  const [used, tokens] = chosen.shape;
  const flat = graph.reshape(graph.cont(chosen), [used * tokens]);
  const found = graph.getRows(graph.reshape(values.tensor, [1, values.tensor.elements]), flat);
  return graph.reshape(found, [1, used, tokens]);
}

/**
 * A matrix for each of some groups of a row's elements, in their order: x [in, groups, T] to
 * [out, groups, T].
 */
export function eachGroup(graph: Graph, weight: Weight, x: Tensor): Tensor {
  const [, groups, tokens] = x.shape;
  const name = `groups ${groups} ${tokens}`;
  const ids = graph.shared(name, () => {
    const numbers = Int32Array.from({ length: groups * tokens }, (_, at) => at % groups);
    return graph.input(name, GgmlType.I32, [groups, tokens], numbers);
  });
  return graph.experts(weight, x, ids);
}

/** The weighted sum of the chosen experts' rows of `table` [n, experts]: [n, T]. */
function mixedRows(graph: Graph, table: Weight, chosen: Tensor, weights: Tensor): Tensor {
  const [used, tokens] = chosen.shape;
  const flat = graph.reshape(graph.cont(chosen), [used * tokens]);
  const rows = graph.getRows(table.tensor, flat); // [n, used * T]
  const n = rows.shape[0];
  const parts = graph.mul(graph.reshape(rows, [n, used, tokens]), weights);
  const part = (at: number) =>
    graph.view(parts, [n, tokens], [parts.strides[2]], at * parts.strides[1]);
  let sum = part(0);
  for (let at = 1; at < used; at++) sum = graph.add(sum, part(at));
  return used === 1 ? graph.cont(sum) : sum;
}

export interface MixtureOptions extends Omit<RoutingOptions, 'used' | 'choiceBias'> {
  readonly activation: Activation;
}

/** What a mixture makes of x [embedding, T], its shared expert included. */
export function mixture(graph: Graph, m: Mixture, x: Tensor, options: MixtureOptions): Tensor {
  const { shared } = m;
  const routing = routeMixture(graph, m, x, options);
  const mixed = mixExperts(graph, m.experts, x, routing, options.activation);
  const result =
    shared === undefined
      ? mixed
      : graph.add(mixed, gatedNetwork(graph, shared, x, options.activation));
  noteMixed(graph, m, x, result);
  return result;
}

/** Tells an observer what a mixture has made of x. */
export function noteMixed(graph: Graph, m: Mixture, x: Tensor, result: Tensor): void {
  observers.get(graph)?.mixed?.(graph, blockOf(m.router.weight), x, result);
}
