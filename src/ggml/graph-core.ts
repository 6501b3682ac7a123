/**
 * The life of a graph: tensors are made in a workspace, inputs get their data, outputs are computed
 * and read. The operations are in the classes that build on this one. A failed assertion in ggml
 * ends the process, so whatever ggml would assert is checked here and thrown as a `graph` error that
 * names the tensor.
 */
import { PacelineError } from '../base/errors.js';
import type { Backend, ComputeOptions } from './backend.js';
import { contiguousStrides, type Four, fourOf, Tensor } from './tensor.js';
import { GgmlType, typeName } from './types.js';
import type { Workspace } from './workspace.js';

/** Data of an input: its bytes are copied as they are. */
export type InputData = Float32Array | Int32Array | Uint16Array | BigInt64Array | Uint8Array;

type State = 'building' | 'computing' | 'computed' | 'closed';

export class GraphCore {
  readonly backend: Backend;
  protected readonly workspace: Workspace;
  protected readonly context: number;
  readonly #graph: number;
  readonly #inputs = new Map<Tensor, InputData>();
  readonly #outputs = new Set<Tensor>();
  readonly #kept: unknown[] = [];
  readonly #shared = new Map<unknown, unknown>();
  readonly #beforeRun: (() => void)[] = [];
  readonly #afterRun: (() => void)[] = [];
  readonly #unfixed = new Set<string>();
  #tensors = 0;
  #state: State = 'building';
  #repeatable = true;
  #longForGgml = false;
  #runs = 0;

  constructor(workspace: Workspace) {
    this.workspace = workspace;
    this.backend = workspace.backend;
    this.context = workspace.context;
    this.#graph = this.ggml.ggml_new_graph_custom(this.context, workspace.capacity, false);
  }

  protected get ggml() {
    return this.backend.ggml.base;
  }

  /** Number of tensors made so far. */
  get size(): number {
    return this.#tensors;
  }

  /** Number of operations that will be computed. */
  get operations(): number {
    return this.ggml.ggml_graph_n_nodes(this.#graph);
  }

  /**
   * A tensor whose data comes from JavaScript: now, or by `write` before `compute`.
   * The data is not copied until then, so it must not change.
   */
  input(name: string, type: GgmlType, shape: readonly number[], data?: InputData): Tensor {
    this.checkRoom(name);
    const four = fourOf(shape);
    checkExtents(name, four);
    const address = this.ggml.ggml_new_tensor_4d(this.context, type, ...four);
    this.ggml.ggml_set_input(address);
    const tensor = new Tensor(address, type, four, contiguousStrides(type, four), 'input');
    tensor.named(name);
    if (data !== undefined) this.write(tensor, data);
    return tensor;
  }

  /** Token ids, positions or row numbers as an input of type I32. */
  indices(name: string, values: ArrayLike<number>): Tensor {
    const data = values instanceof Int32Array ? values : Int32Array.from(values);
    return this.input(name, GgmlType.I32, [data.length], data);
  }

  /** Sets the data of an input. */
  write(tensor: Tensor, data: InputData): void {
    if (tensor.operation !== 'input') fail('write', `${tensor} is not an input`);
    if (data.byteLength !== tensor.bytes) {
      fail('write', `${tensor} takes ${tensor.bytes} bytes, not ${data.byteLength}`);
    }
    this.#inputs.set(tensor, data);
  }

  /** Marks a tensor as a result that `read` will be asked for, and returns it. */
  output(tensor: Tensor): Tensor {
    this.checkRoom(tensor.name);
    this.ggml.ggml_set_output(tensor.address);
    this.ggml.ggml_build_forward_expand(this.#graph, tensor.address);
    this.#outputs.add(tensor);
    return tensor;
  }

  /** Adds a tensor that is computed for its effect, before everything that is added later. */
  expand(tensor: Tensor): void {
    this.checkRoom(tensor.name);
    this.ggml.ggml_build_forward_expand(this.#graph, tensor.address);
  }

  /** Keeps a JavaScript value alive as long as the graph, such as memory that native code reads. */
  keep<T>(value: T): T {
    this.#kept.push(value);
    return value;
  }

  /**
   * What a part of the program keeps for this graph, under a key of its own; made on first use and
   * dropped when the graph ends. (A WeakMap by graph would keep every graph through minor
   * collections, which costs a millisecond a step.)
   */
  shared<T>(key: unknown, make: () => T): T {
    const found = this.#shared.get(key) as T | undefined;
    if (found !== undefined) return found;
    const made = make();
    this.#shared.set(key, made);
    return made;
  }

  /** Whether `compute` may be called again, with new data in the inputs. */
  get repeatable(): boolean {
    return this.#repeatable;
  }

  /** How often the graph has been computed: outputs are those of the last time. */
  get runs(): number {
    return this.#runs;
  }

  /** Says that the graph holds for this one computation only: something in it can't be changed. */
  onlyOnce(): void {
    this.#repeatable = false;
  }

  /** Says that one of ggml's own operations takes long enough to be shared among its threads. */
  protected longForGgml(): void {
    this.#longForGgml = true;
  }

  /**
   * Has `prepare` called before every computation, when the tensors have their memory: the place to
   * fill in what native operations read besides tensors.
   */
  beforeRun(prepare: () => void): void {
    this.#beforeRun.push(prepare);
  }

  /**
   * Has `check` called after every computation, also one that failed; what it throws is why the
   * computation has failed.
   */
  afterRun(check: () => void): void {
    this.#afterRun.push(check);
  }

  /**
   * Allocates what is needed, copies the inputs and computes, off the event loop. A repeatable
   * graph may be computed again after `write`.
   * @throws {PacelineError} `aborted`, `memory`, `graph`; `bad-weights` as `Backend.compute`.
   */
  async compute(options: ComputeOptions = {}): Promise<void> {
    const again = this.#state === 'computed' && this.#repeatable;
    if (this.#state !== 'building' && !again) {
      fail('compute', `the graph is ${this.#state} already`);
    }
    if (!again && !this.#allocate()) {
      throw new PacelineError('memory', 'No memory for the intermediate results of a graph', {
        hint: 'Use a smaller prefill chunk or a smaller context.',
      });
    }
    for (const [tensor, data] of this.#inputs) {
      // An input that nothing uses has no memory.
      if (data.byteLength === 0 || this.ggml.ggml_get_data(tensor.address) === 0) continue;
      this.ggml.ggml_backend_tensor_set(tensor.address, data, 0, data.byteLength);
      this.backend.traffic.up += data.byteLength;
    }
    this.#runs++;
    for (const prepare of this.#beforeRun) prepare();
    this.#state = 'computing';
    try {
      const { profiler } = this.backend;
      const wide = (options.wide ?? true) && this.#longForGgml;
      const { scheduler } = this.workspace.memory;
      const how = { ...options, wide, scheduler };
      try {
        if (profiler === undefined) await this.backend.compute(this.#graph, how);
        else await profiler.compute(this.#graph, this.backend, how);
      } finally {
        for (const check of this.#afterRun) check();
      }
      this.#state = 'computed';
    } catch (error) {
      this.#state = 'closed';
      throw error;
    }
  }

  /** Gives the tensors their memory. */
  #allocate(): boolean {
    return this.workspace.memory.allocate(this.#graph, this.#tensors);
  }

  /** A copy of an output's elements, all or `count` from `start` on. F32 only. */
  read(tensor: Tensor, start = 0, count: number = tensor.elements - start): Float32Array {
    return this.readInto(new Float32Array(count), tensor, start);
  }

  /** Fills `target` with an output's elements from `start` on, and returns it. F32 only. */
  readInto(target: Float32Array, tensor: Tensor, start = 0): Float32Array {
    if (tensor.type !== GgmlType.F32) fail('read', `${tensor} is not F32`);
    this.#copy(tensor, target, start * 4);
    return target;
  }

  /** A copy of an I32 output's elements, all or `count` from `start` on. */
  readIndices(tensor: Tensor, start = 0, count: number = tensor.elements - start): Int32Array {
    if (tensor.type !== GgmlType.I32) fail('read', `${tensor} is not I32`);
    const target = new Int32Array(count);
    this.#copy(tensor, target, start * 4);
    return target;
  }

  #copy(tensor: Tensor, target: ArrayBufferView, offset: number): void {
    if (this.#state !== 'computed') fail('read', `the graph is ${this.#state}, not computed`);
    if (!this.#outputs.has(tensor)) fail('read', `${tensor} was not marked as an output`);
    if (!tensor.contiguous) fail('read', `${tensor} is not contiguous`);
    if (offset < 0 || offset + target.byteLength > tensor.bytes) {
      fail('read', `${tensor} has no ${target.byteLength} bytes at ${offset}`);
    }
    if (target.byteLength === 0) return;
    this.ggml.ggml_backend_tensor_get(tensor.address, target, offset, target.byteLength);
    this.backend.traffic.down += target.byteLength;
  }

  /** Ends the graph; the workspace calls it. */
  close(): void {
    if (this.#state === 'computing') fail('begin', 'a graph of this workspace is computing');
    this.#state = 'closed';
    this.#kept.length = 0;
    this.#beforeRun.length = 0;
    this.#afterRun.length = 0;
    this.#shared.clear();
    this.#inputs.clear();
    this.#outputs.clear();
  }

  /** Counts a new tensor. The context's memory is fixed, and ggml aborts when it is full. */
  protected checkRoom(operation: string): void {
    if (this.#state !== 'building') fail(operation, `the graph is ${this.#state}`);
    if (++this.#tensors > this.workspace.capacity) {
      fail(operation, `a graph may have ${this.workspace.capacity} tensors at most`);
    }
  }

  /**
   * Operations whose bytes depend on the machine: sums and functions of ggml's, in the order and with
   * the instructions of whatever build of it runs, and kernels that call a C library.
   */
  get unfixedOperations(): readonly string[] {
    return [...this.#unfixed];
  }

  /** Wraps the result of an operation; `own`: one of our kernels. */
  protected made(
    operation: string,
    address: number,
    type: GgmlType,
    shape: Four,
    sources: readonly Tensor[],
    strides: Four = contiguousStrides(type, shape),
    own = false,
  ): Tensor {
    const fixed = own ? !unfixedKernels.has(operation) : isFixed(operation, sources);
    if (!fixed) this.#unfixed.add(operation);
    if (address === 0) fail(operation, 'ggml made no tensor', ...sources);
    const tensor = new Tensor(address, type, shape, strides, operation, sources, own);
    this.backend.profiler?.note(tensor);
    return tensor;
  }

  /** Says that what was made since the last call belongs together, for profiles. */
  endSection(name: string): void {
    this.backend.profiler?.endSection(name);
  }
}

/** Copies, and single operations on floats, which IEEE 754 leaves no choice. */
const fixedOperations: ReadonlySet<string> = new Set([
  ...['view', 'reshape', 'permute', 'cont', 'concat', 'get_rows', 'scale', 'clamp'],
  ...['ggml_add', 'ggml_sub', 'ggml_mul', 'ggml_div'],
]);

/** Our own kernels that call functions of the C library. */
const unfixedKernels: ReadonlySet<string> = new Set(['delta_net']);

/** Rows of other types than these are unpacked by sums and products. */
const copiedTypes: readonly GgmlType[] = [GgmlType.F32, GgmlType.F16, GgmlType.BF16, GgmlType.I32];

function isFixed(operation: string, sources: readonly Tensor[]): boolean {
  if (!fixedOperations.has(operation)) return false;
  return operation !== 'get_rows' || copiedTypes.includes(sources[0]?.type as GgmlType);
}

/** @throws {PacelineError} always: `graph`, naming the operation and its tensors. */
export function fail(operation: string, problem: string, ...tensors: readonly Tensor[]): never {
  const names = tensors.length === 0 ? '' : ` (${tensors.map(String).join('; ')})`;
  throw new PacelineError('graph', `${operation}: ${problem}${names}`, {
    details: { operation, tensors: tensors.map(String) },
  });
}

/** Requires one of the types. */
export function requireType(
  operation: string,
  tensor: Tensor,
  ...types: readonly GgmlType[]
): void {
  if (!types.includes(tensor.type)) {
    fail(operation, `needs ${types.map(typeName).join(' or ')}`, tensor);
  }
}

export function requireContiguous(operation: string, tensor: Tensor, from: 0 | 1 = 0): void {
  if (!tensor.contiguousFrom(from)) fail(operation, 'needs a contiguous tensor', tensor);
}

/** Extents must be whole and not negative; a tensor may be empty. */
export function checkExtents(operation: string, shape: Four): void {
  for (const extent of shape) {
    if (!Number.isSafeInteger(extent) || extent < 0) fail(operation, `extents [${shape}]`);
  }
}
