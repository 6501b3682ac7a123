/**
 * Puts an operation of our kernels into a graph so that the backend's pool shares it out. Small
 * operations (`tasks: 1`) run on the thread that walks the graph.
 */
import type { CustomOperation, Graph } from '../graph.js';
import type { Tensor } from '../tensor.js';
import type { NativeKernels } from './library.js';
import { reserveParameters } from './parameters.js';

/** `Graph.custom` for a function with the signature of `pl_op_*` and its parameter struct. */
export function nativeOperation(
  kernels: NativeKernels,
  graph: Graph,
  operation: CustomOperation,
): Tensor {
  const { pool } = graph.backend;
  if (operation.tasks === 1 || pool === 0) return graph.custom(operation);
  const pooled = reserveParameters(kernels, graph, 'pl_pooled');
  pooled.write({ pool, fn: operation.function, params: operation.userdata });
  return graph.custom({
    ...operation,
    function: kernels.address('pl_op_pooled'),
    userdata: pooled.address,
  });
}
