/**
 * Puts an operation of our kernels into a graph so that the backend's pool shares it out. Small
 * operations (`tasks: 1`) run on the thread that walks the graph.
 */
import type { CustomOperation, Graph } from '../graph.js';
import type { Tensor } from '../tensor.js';
import type { GgmlType } from '../types.js';
import type { NativeKernels } from './library.js';
import { type Parameters, reserveParameters } from './parameters.js';

/** Elements from which on simple work on rows is shared among threads: some microseconds of it. */
export const worthSharing = 1 << 13;

/** Operations that share out their work themselves, piece by piece: they get a part a thread. */
const sharing: ReadonlySet<string> = new Set(['linear', 'moe', 'attention']);
/** Parts a thread of all others, so that a thread that is late holds little of the work. */
const partsOfThread = 4;

/** `Graph.custom` for a function with the signature of `pl_op_*` and its parameter struct. */
export function nativeOperation(
  kernels: NativeKernels,
  graph: Graph,
  operation: CustomOperation,
): Tensor {
  const { pool } = graph.backend;
  if (operation.tasks === 1 || pool === 0) return graph.custom(operation);
  const pooled = reserveParameters(kernels, graph, 'pl_pooled');
  pooled.write({
    pool,
    fn: operation.function,
    params: operation.userdata,
    shares: sharing.has(operation.name) ? 1 : partsOfThread,
  });
  return graph.custom({
    ...operation,
    function: kernels.address('pl_op_pooled'),
    userdata: pooled.address,
  });
}

export interface CustomShape {
  readonly type: GgmlType;
  readonly shape: readonly number[];
  readonly sources: readonly Tensor[];
  readonly tasks?: number;
}

/**
 * The operation `pl_op_<name>` with the struct `pl_<name>`, whose values name the result as well;
 * `tasks: 1` keeps it on the thread that walks the graph.
 */
export function customWith(
  graph: Graph,
  kernels: NativeKernels,
  name: string,
  options: CustomShape,
  fill: (into: Parameters, result: Tensor) => void,
): Tensor {
  const reserved = reserveParameters(kernels, graph, `pl_${name}`);
  const made = nativeOperation(kernels, graph, {
    name,
    ...options,
    function: kernels.address(`pl_op_${name}`),
    userdata: reserved.address,
  });
  fill(reserved, made);
  return made;
}
