/**
 * Experts that stay in their file: a bounded cache of whole experts, as panels, which the kernels fill when a
 * pass asks for experts that are not there (`native/src/experts/`). Here it is told what lies where, its
 * failures become errors, and its numbers are read. Knows nothing of models.
 */
import { PacelineError } from '../../base/errors.js';
import type { Backend } from '../backend.js';
import type { Graph } from '../graph.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { FilePlace, WeightSpec } from '../weight.js';
import type { ExpertStatistics } from './expert-statistics.js';
import type { NativeKernels } from './library.js';
import { customWith } from './operation.js';

/**
 * Whether experts of the next layer that are likely to be needed are read early: where passes turn out to be
 * faster with it, or never, or always. Never changes a result.
 */
export type Forecast = (typeof forecasts)[number];
const forecasts = ['measured', 'never', 'always'] as const;

/** A matrix of every expert of a layer. */
export interface CachedMatrix {
  readonly spec: WeightSpec;
  readonly place: FilePlace;
}

export interface CachedLayer {
  /** Experts of the layer. */
  readonly experts: number;
  readonly matrices: readonly CachedMatrix[];
}

export interface ExpertCacheOptions {
  readonly layers: readonly CachedLayer[];
  /** Slots for the experts of layers whose slots have that size. */
  readonly slots: ReadonlyMap<number, number>;
  /** Bytes of a slot of a layer. */
  readonly slotBytes: (layer: CachedLayer) => number;
  /** Default: measured. */
  readonly forecast?: Forecast | undefined;
  /** Threads that read. */
  readonly readers: number;
}

/** Why a read failed, by the kernels' numbers. */
const failures = ['', 'read', 'short', 'replaced', 'contents', 'values', 'misused'] as const;

const fetches = Symbol('fetches');

export class ExpertCache implements Disposable {
  readonly address: number;
  readonly #kernels: NativeKernels;
  readonly #layers: readonly CachedLayer[];
  readonly #paths: string[] = [];
  /** Its numbers, when they were last read. */
  readonly #last = new BigInt64Array(13);
  #disposed = false;

  /** @throws {PacelineError} `memory`; `io`, `model-not-found` or `broken-file` for the files. */
  constructor(kernels: NativeKernels, backend: Backend, options: ExpertCacheOptions) {
    const { functions } = kernels;
    this.#kernels = kernels;
    this.#layers = options.layers;
    this.address = functions.pl_experts_new(options.readers, backend.ggml.validator);
    if (this.address === 0) throw noMemory(0);
    try {
      const { forecast = 'measured' } = options;
      functions.pl_experts_forecast(this.address, forecasts.indexOf(forecast));
      const classes = new Map<number, number>();
      for (const [bytes, count] of options.slots) {
        const made = functions.pl_experts_class(this.address, bytes, count);
        if (made < 0) throw noMemory(bytes * count);
        classes.set(bytes, made);
      }
      const files = new Map<string, number>();
      for (const layer of options.layers) {
        const slots = classes.get(options.slotBytes(layer)) ?? 0;
        const all = Array.from({ length: layer.experts }, (_, expert) => expert);
        const numbers = Int32Array.from(layer.matrices[0]?.place.matrices ?? all);
        functions.pl_experts_layer(this.address, slots, layer.experts, numbers);
        for (const { spec, place } of layer.matrices) {
          const file = files.get(place.path) ?? this.#openFile(place);
          files.set(place.path, file);
          const [k = 0, n = 0] = spec.shape;
          const { offset, stride } = place;
          const made = functions.pl_experts_part(
            ...([this.address, file, spec.type, k, n, offset, stride] as const),
          );
          if (made < 0) throw new RangeError(`${spec.name} cannot be a part of cached experts`);
        }
      }
    } catch (error) {
      functions.pl_experts_free(this.address);
      throw error;
    }
  }

  #openFile({ path, facts }: FilePlace): number {
    const found = new BigInt64Array(5);
    const number = this.#kernels.functions.pl_experts_file(this.address, path, found);
    if (number < 0) {
      throw new PacelineError('io', `Cannot open ${path} (error ${-1 - number})`, {
        hint: 'Check that the file may be read by this user.',
        details: { file: path, errno: -1 - number },
      });
    }
    const { device, inode, size, modified, changed } = facts;
    const expected = [device, inode, size, modified, changed];
    if (expected.some((fact, at) => BigInt.asIntN(64, fact) !== found[at])) throw replaced(path);
    this.#paths[number] = path;
    return number;
  }

  /** The operation that has experts of a layer read, once a graph for all products of these `ids`. */
  fetch(graph: Graph, layer: number, ids: Tensor): Tensor {
    const known = graph.shared(fetches, () => {
      graph.afterRun(() => this.check());
      return new Map<Tensor, Tensor>();
    });
    const existing = known.get(ids);
    if (existing !== undefined) return existing;
    const made = this.#operation(graph, layer, ids, 0);
    known.set(ids, made);
    return made;
  }

  /** Whether there is any use in telling which experts of the next layer a pass will need. */
  get foresees(): boolean {
    return this.#kernels.functions.pl_experts_foresees(this.address) === 1;
  }

  /** The operation that has experts read early: `ids` [n, tokens] of a layer, the likeliest first. */
  foresee(graph: Graph, layer: number, ids: Tensor): Tensor {
    return this.#operation(graph, layer, ids, 1);
  }

  #operation(graph: Graph, layer: number, ids: Tensor, foreseen: 0 | 1): Tensor {
    const [slots, tokens] = ids.shape;
    return customWith(
      graph,
      this.#kernels,
      'experts_fetch',
      { type: GgmlType.I32, shape: [1], sources: [ids], tasks: 1 },
      (into) =>
        into.write({
          ...{ cache: this.address, layer, ids },
          ...{ ids_stride: ids.strides[1], tokens, slots, foreseen },
        }),
    );
  }

  /**
   * @throws {PacelineError} why experts could not be read since the last call: `io`, `broken-file`,
   *   `bad-weights`.
   */
  check(): void {
    const facts = new BigInt64Array(6);
    const { functions } = this.#kernels;
    const failure = failures[functions.pl_experts_failure(this.address, facts)];
    if (failure === undefined || failure === '') return;
    const [errno = 0, layer = 0, expert = 0, part = 0, file = 0] = [...facts].slice(1).map(Number);
    const path = this.#paths[file] ?? '';
    const name = this.#layers[layer]?.matrices[part]?.spec.name ?? '';
    const details = { file: path, tensor: name, expert };
    switch (failure) {
      case 'read':
        throw new PacelineError('io', `Cannot read expert ${expert} of ${name}: error ${errno}`, {
          hint: 'Check the disk or the network share that the file is on.',
          details: { ...details, errno },
        });
      case 'short':
        throw new PacelineError(
          'broken-file',
          `${path} became shorter while it was used: expert ${expert} of ${name} is gone`,
          { hint: 'Put the whole file back, then load the model again.', details },
        );
      case 'replaced':
        throw replaced(path, details);
      case 'contents':
        throw new PacelineError(
          'broken-file',
          `Expert ${expert} of ${name} is not what it was when it was read first`,
          { hint: `${path} was written to, or its disk fails; load the model again.`, details },
        );
      case 'values':
        throw new PacelineError(
          'bad-weights',
          `Tensor ${name} has values that are not finite numbers (expert ${expert})`,
          {
            hint: 'The file is damaged or its conversion went wrong; get or convert it again.',
            details,
          },
        );
      default:
        throw new PacelineError('internal', `Experts of ${name} were not asked for`, { details });
    }
  }

  get statistics(): ExpertStatistics {
    if (!this.#disposed) this.#kernels.functions.pl_experts_stats(this.address, this.#last);
    const numbers = [...this.#last].map(Number);
    const [rows = 0, asked = 0, found = 0, read = 0, bytesRead = 0, bytesDirect = 0] = numbers;
    const [waited = 0, early = 0, earlyUsed = 0, oversized = 0, held = 0, reading = 0, time = 0] =
      numbers.slice(6);
    return {
      ...{ rows, asked, found, read, bytesRead, bytesDirect, early, earlyUsed, oversized, held },
      waitedMs: waited / 1e6,
      readingMs: reading / 1e6,
      earlyTime: time === 0 ? undefined : time / 1e6,
    };
  }

  /** How much each expert of each layer is used lately, per token. */
  get uses(): readonly Float64Array[] {
    return this.#layers.map(({ experts }, layer) => {
      const scores = new Float64Array(experts);
      this.#kernels.functions.pl_experts_scores(this.address, layer, scores);
      return scores;
    });
  }

  /** Tells it what another cache's `uses` were, and begins to read the experts that were used most. */
  remember(uses: readonly Float64Array[]): void {
    const { functions } = this.#kernels;
    for (const [layer, scores] of uses.entries()) {
      if (scores.length !== this.#layers[layer]?.experts) return;
      functions.pl_experts_seed(this.address, layer, scores);
    }
    functions.pl_experts_warm(this.address);
  }

  /** Ends its threads and frees its memory; nothing may compute. */
  dispose(): void {
    if (this.#disposed) return;
    this.#kernels.functions.pl_experts_stats(this.address, this.#last);
    this.#disposed = true;
    this.#kernels.functions.pl_experts_free(this.address);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function replaced(path: string, details: object = { file: path }): PacelineError {
  return new PacelineError('broken-file', `${path} was changed or replaced while it was used`, {
    hint: 'Load the model again.',
    details: { ...details },
  });
}

function noMemory(bytes: number): PacelineError {
  return new PacelineError('memory', `No memory for ${bytes} bytes of experts`, {
    hint: 'Use a smaller expertMemory.',
    details: { bytes },
  });
}
