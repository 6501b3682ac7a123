/**
 * Shows somebody the inputs of every product with a weight, whatever model the graph is of and
 * whichever layout and kernel computes. The models know nothing of it: products that a layout fuses
 * are made one by one, so that each is seen.
 */
import type { Graph } from './graph.js';
import type { Tensor } from './tensor.js';
import type { Weight, WeightLayout, WeightSpec, WeightStorage } from './weight.js';

/** Called while a graph is built, before the product is added. */
export interface ProductTap {
  /** weight [in, out] times x [in, ...]. */
  linear(graph: Graph, weight: Weight, x: Tensor): void;
  /** weight [in, out, experts] times x [in, 1 or used, tokens], by ids [used, tokens]. */
  experts(graph: Graph, weight: Weight, x: Tensor, ids: Tensor): void;
}

/** `inner` with a tap on its products. */
export function tappedLayout(inner: WeightLayout, tap: ProductTap): WeightLayout {
  return {
    name: inner.name,
    bytes: (spec) => inner.bytes(spec),
    allocate(backend, specs) {
      const allocation = inner.allocate(backend, specs);
      const storages = allocation.storages.map((storage, at) =>
        tapped(storage, specs[at] as WeightSpec, tap),
      );
      return {
        storages,
        bytes: allocation.bytes,
        fill: (index, matrix, firstRow, data) => allocation.fill(index, matrix, firstRow, data),
        dispose: () => allocation.dispose(),
        [Symbol.dispose]: () => allocation.dispose(),
      };
    },
  };
}

function tapped(storage: WeightStorage, spec: WeightSpec, tap: ProductTap): WeightStorage {
  // Vectors and plain tables take part in no product, and are asked for what they are.
  if (spec.role === 'vector' || spec.role === 'rows') return storage;
  return {
    layout: storage.layout,
    exact: storage.exact,
    bytes: storage.bytes,
    linear(graph, weight, x) {
      tap.linear(graph, weight, x);
      return storage.linear(graph, weight, x);
    },
    experts(graph, weight, x, ids) {
      tap.experts(graph, weight, x, ids);
      return storage.experts(graph, weight, x, ids);
    },
    rows: (graph, weight, ids) => storage.rows(graph, weight, ids),
  };
}
