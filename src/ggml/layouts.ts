/** How weights are stored here unless somebody asks otherwise. */
import type { Accelerator } from './accelerator.js';
import { looksUp, multiplies } from './device-support.js';
import { nativeKernels } from './native/library.js';
import { panelLayout } from './native/panels.js';
import {
  allocateAsFiled,
  fileBytes,
  ggmlLayout,
  type WeightAllocation,
  type WeightLayout,
  type WeightSpec,
  type WeightStorage,
} from './weight.js';

/** Layouts in order of preference: our panels where the kernels run, else the file's own. */
export function preferredLayouts(): readonly WeightLayout[] {
  const { kernels } = nativeKernels();
  return kernels === undefined ? [ggmlLayout] : [panelLayout(kernels), ggmlLayout];
}

/** The layouts of a card, of which there must be one of each kind: weights of one are one buffer. */
interface CardLayouts {
  readonly own: WeightLayout;
  readonly divided: WeightLayout;
}

const layoutsOfCards = new WeakMap<Accelerator, CardLayouts>();

/**
 * Where a weight goes that is wanted on a card: there as the file has it, if the card computes with
 * it; otherwise it stays with the CPU and its kernels. A table that is multiplied with too, out of
 * which the card cannot take rows, is stored twice.
 * @param card undefined: the CPU.
 */
export function layoutsAt(
  card: Accelerator | undefined,
  spec: WeightSpec,
): readonly WeightLayout[] {
  const host = preferredLayouts();
  if (card === undefined) return host;
  let layouts = layoutsOfCards.get(card);
  if (layouts === undefined) {
    layouts = { own: cardLayout(card), divided: dividedLayout(card) };
    layoutsOfCards.set(card, layouts);
  }
  switch (spec.role) {
    case 'vector':
      return [layouts.own];
    case 'rows':
      return looksUp(card, spec) ? [layouts.own] : host;
    case 'linear+rows':
      if (!multiplies(card, spec)) return host;
      return looksUp(card, spec) ? [layouts.own] : [layouts.divided];
    default:
      return multiplies(card, spec) ? [layouts.own] : host;
  }
}

/** Bytes of a weight by `layoutsAt`: on the card, and of the host. */
export function bytesAt(card: Accelerator | undefined, spec: WeightSpec) {
  for (const layout of layoutsAt(card, spec)) {
    const bytes = layout.bytes(spec);
    if (bytes === undefined) continue;
    const known = card && layoutsOfCards.get(card);
    if (layout === known?.own) return { card: bytes, host: 0 };
    if (layout === known?.divided) return { card: bytes / 2, host: bytes / 2 };
    return { card: 0, host: bytes };
  }
  return { card: 0, host: 0 };
}

function cardLayout(card: Accelerator): WeightLayout {
  return {
    name: card.name,
    bytes: fileBytes,
    allocate: (backend, specs) => allocateAsFiled(backend, specs, card),
  };
}

function dividedLayout(card: Accelerator): WeightLayout {
  return {
    name: `${card.name} and CPU`,
    bytes(spec) {
      const bytes = fileBytes(spec);
      return bytes && 2 * bytes;
    },
    allocate(backend, specs) {
      const products = allocateAsFiled(backend, specs, card);
      let rows: WeightAllocation;
      try {
        rows = allocateAsFiled(backend, specs);
      } catch (error) {
        products.dispose();
        throw error;
      }
      const dispose = () => {
        products.dispose();
        rows.dispose();
      };
      return {
        storages: products.storages.map((product, index) =>
          divided(product, rows.storages[index] as WeightStorage),
        ),
        bytes: products.bytes + rows.bytes,
        async fill(index, matrix, firstRow, data) {
          await products.fill(index, matrix, firstRow, data);
          await rows.fill(index, matrix, firstRow, data);
        },
        dispose,
        [Symbol.dispose]: dispose,
      };
    },
  };
}

/** A weight that is multiplied with on one device and read by rows on another. */
function divided(products: WeightStorage, rows: WeightStorage): WeightStorage {
  return {
    layout: products.layout,
    bytes: products.bytes + rows.bytes,
    exact: products.exact && rows.exact,
    linear: (graph, weight, x) => products.linear(graph, weight, x),
    experts: (graph, weight, x, ids) => products.experts(graph, weight, x, ids),
    rows: (graph, weight, ids) => rows.rows(graph, weight, ids),
  };
}
