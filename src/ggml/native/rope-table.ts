/**
 * Cosines and sines of rotary position embedding as a tensor of a graph, computed once for a batch
 * by our kernels and shared by the layers.
 */
import { portableLog } from '../../base/portable-math.js';
import type { Graph, RopeOptions } from '../graph.js';
import { fail, requireType } from '../graph-core.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { NativeKernels } from './library.js';
import { nativeOperation } from './operation.js';
import { reserveParameters } from './parameters.js';

/** Tables of one graph, by what they were made from. */
const tables = new WeakMap<
  Graph,
  { rope: RopeOptions; factors: Tensor | undefined; positions: Tensor; table: Tensor }[]
>();

/** Cosines and sines of a batch's positions [dimensions, T]; all layers share them. */
export function ropeTable(
  kernels: NativeKernels,
  graph: Graph,
  positions: Tensor,
  rope: RopeOptions,
  factors: Tensor | undefined,
): Tensor {
  const known = tables.get(graph) ?? [];
  tables.set(graph, known);
  const found = known.find(
    (one) => one.rope === rope && one.factors === factors && one.positions === positions,
  );
  if (found !== undefined) return found.table;
  requireType('rope', positions, GgmlType.I32);
  if (factors !== undefined) {
    requireType('rope', factors, GgmlType.F32);
    if (factors.elements < rope.dimensions / 2) fail('rope', 'too few factors', factors);
  }
  if (!positions.contiguous) fail('rope', 'the positions have gaps', positions);
  const parameters = reserveParameters(kernels, graph, 'pl_rope_table');
  const table = nativeOperation(kernels, graph, {
    name: 'rope_table',
    type: GgmlType.F32,
    shape: [rope.dimensions, positions.elements],
    sources: [positions, ...(factors === undefined ? [] : [factors])],
    function: kernels.address('pl_op_rope_table'),
    userdata: parameters.address,
    ...(positions.elements <= 4 ? { tasks: 1 } : {}),
  });
  parameters.write({
    positions,
    rows: positions.elements,
    dims: rope.dimensions,
    base: rope.base,
    scale: rope.scale,
    yarn: rope.yarn,
    ...yarnRange(rope),
    magnitude: rope.magnitude,
    ...(factors === undefined ? {} : { factors }),
    out: table,
  });
  known.push({ rope, factors, positions, table });
  return table;
}

/** YaRN mixes between the dimensions that turn betaFast and betaSlow times in the old context. */
function yarnRange({ dimensions, base, originalContext, betaFast, betaSlow }: RopeOptions) {
  const at = (turns: number) =>
    (dimensions * portableLog(originalContext / (turns * 2 * Math.PI))) / (2 * portableLog(base));
  return {
    low: Math.max(0, Math.floor(at(betaFast))),
    high: Math.min(dimensions - 1, Math.ceil(at(betaSlow))),
  };
}
