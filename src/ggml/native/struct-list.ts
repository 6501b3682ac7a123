/**
 * Arrays of the kernels' structs in memory that lives as long as a graph: one struct a sequence, with
 * fields that stay and fields that say where the sequence's state lies at the moment.
 */
import koffi from 'koffi';
import type { Graph } from '../graph.js';
import { fail } from '../graph-core.js';
import type { Tensor } from '../tensor.js';
import { mismatch, type NativeKernels } from './library.js';

/** Values of fields by name. */
type Values = Readonly<Record<string, number>>;

export interface StructListOptions<T> {
  /** The struct's name; all its fields are integers and addresses. */
  readonly name: string;
  readonly items: readonly T[];
  /** Fields that never change. */
  readonly fixed: (item: T) => Values;
  /** Fields that are written now and before every run. */
  readonly bound: (item: T) => Values;
}

/** Memory for the lists of one graph. */
class ListMemory {
  #view = new BigInt64Array(0);
  #address = 0;
  #used = 0;

  constructor(readonly graph: Graph) {}

  /** Room for some 8-byte slots. */
  take(slots: number): { readonly view: BigInt64Array; readonly address: number } {
    if (this.#used + slots > this.#view.length) {
      this.#view = this.graph.keep(new BigInt64Array(Math.max(4096, slots)));
      this.#address = Number(koffi.address(this.#view.buffer));
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += slots;
    return {
      view: this.#view.subarray(start, start + slots),
      address: this.#address + start * 8,
    };
  }
}

/**
 * Writes an array of structs, and returns its address.
 * @throws {PacelineError} `platform` when the library's struct has no such field.
 */
export function structList<T>(
  kernels: NativeKernels,
  graph: Graph,
  { name, items, fixed, bound }: StructListOptions<T>,
): number {
  const { size, fields } = kernels.struct(name);
  const slots = size / 8;
  const memory = graph.shared(ListMemory, () => new ListMemory(graph));
  const { view, address } = memory.take(slots * items.length);
  const write = (values: (item: T) => Values) => {
    for (const [index, item] of items.entries()) {
      for (const [field, value] of Object.entries(values(item))) {
        const offset = fields.get(field)?.offset;
        if (offset === undefined) throw mismatch(kernels.file, `${name} has no field ${field}`);
        view[index * slots + offset / 8] = BigInt(value);
      }
    }
  };
  write(fixed);
  write(bound);
  graph.beforeRun(() => write(bound));
  return address;
}

/** Where a stored tensor's data lies. @throws {PacelineError} `graph` when it has no memory. */
export function dataOf(graph: Graph, operation: string, tensor: Tensor): number {
  const found = graph.backend.ggml.base.ggml_get_data(tensor.address);
  if (found === 0) fail(operation, 'the state has no memory', tensor);
  return found;
}
