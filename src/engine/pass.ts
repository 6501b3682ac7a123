/**
 * A pass of a model over a batch of a certain shape: the graph with its inputs and outputs, which
 * can be computed again and again while its sequences grow. Building a graph from JavaScript takes
 * milliseconds, about a fifth of a decode step of a small model; filling one in takes microseconds.
 */
import { PacelineError } from '../base/errors.js';
import type { Backend } from '../ggml/backend.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import { type TopTensors, takeTop } from '../ggml/top-rows.js';
import { Workspace } from '../ggml/workspace.js';
import type { KeptRows, LanguageModel, SequenceTensors } from '../models/model.js';

/** One sequence's rows in a pass: data, but for their number and the state's capacity. */
export interface PassSlice {
  readonly state: SequenceTensors;
  readonly count: number;
  /** Position of the first row. */
  readonly past: number;
}

/** What decides a graph; everything else is data. */
export interface PassShape {
  readonly sequences: readonly PassSlice[];
  /** Row numbers whose logits are wanted; undefined: all. */
  readonly outputs: readonly number[] | undefined;
  readonly taps: readonly number[];
  /** Rows of hidden states: none, all, or some (ascending; the outputs are among them). */
  readonly hidden: 'none' | 'all' | readonly number[];
  /** How many of each row's largest logits are taken; 0: none. */
  readonly top: number;
}

export interface Pass {
  readonly graph: Graph;
  /** [vocabulary or classes, outputs]; undefined for models without a head. */
  readonly logits: Tensor | undefined;
  /** The largest of each row of these, where some were asked for. */
  readonly top: TopTensors | undefined;
  /** [embedding, rows asked for]. */
  readonly hidden: Tensor | undefined;
  readonly taps: readonly Tensor[];
}

interface Kept extends Pass {
  readonly shape: PassShape;
  /** Who sees the graph's operations, which it learns while the graph is built. */
  readonly profiler: Backend['profiler'];
  readonly workspace: Workspace;
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly slices: readonly { state: SequenceTensors; past: number }[];
}

/** Graphs of more rows are built anew: their building time does not show. */
export const mostRows = 32;
const mostKept = 16;

export class PassBuilder {
  readonly #model: LanguageModel;
  readonly #backend: Backend;
  /** For graphs that are used once. */
  readonly #once: Workspace;
  /** Least recently used first. */
  readonly #kept: Kept[] = [];
  /** Of graphs that could not be computed again: the next new ones get their memory. */
  readonly #spare: Workspace[] = [];

  constructor(model: LanguageModel, backend: Backend) {
    this.#model = model;
    this.#backend = backend;
    this.#once = new Workspace(backend);
  }

  /** A graph of this shape whose inputs have these data; valid until the next call. */
  prepare(shape: PassShape, tokens: Int32Array, positions: Int32Array): Pass {
    if (tokens.length > mostRows) return this.#build(this.#once, shape, tokens, positions);
    const index = this.#kept.findIndex(
      (kept) => kept.profiler === this.#backend.profiler && sameShape(kept.shape, shape),
    );
    const [known] = index < 0 ? [] : this.#kept.splice(index, 1);
    if (known !== undefined) {
      this.#kept.push(known);
      known.graph.write(known.tokens, tokens);
      known.graph.write(known.positions, positions);
      for (const [at, { state, past }] of shape.sequences.entries()) {
        const slice = known.slices[at];
        if (slice !== undefined) Object.assign(slice, { state, past });
      }
      return known;
    }
    const workspace = this.#spare.pop() ?? new Workspace(this.#backend);
    const built = this.#build(workspace, shape, tokens, positions);
    this.#kept.push(built);
    if (this.#kept.length > mostKept) this.#drop(0);
    return built;
  }

  /** Says that a pass failed or can't be repeated, so that it is built anew next time. */
  discard(pass: Pass): void {
    const index = (this.#kept as Pass[]).indexOf(pass);
    if (index < 0) return;
    for (const { workspace } of this.#kept.splice(index, 1)) this.#spare.push(workspace);
  }

  dispose(): void {
    for (const { workspace } of this.#kept.splice(0)) workspace.dispose();
    for (const workspace of this.#spare.splice(0)) workspace.dispose();
    this.#once.dispose();
  }

  #drop(index: number): void {
    for (const { workspace } of this.#kept.splice(index, 1)) workspace.dispose();
  }

  #build(
    workspace: Workspace,
    shape: PassShape,
    tokenIds: Int32Array,
    positionIds: Int32Array,
  ): Kept {
    const graph = workspace.begin();
    const tokens = graph.indices('tokens', tokenIds);
    const positions = graph.indices('positions', positionIds);
    let start = 0;
    const slices = shape.sequences.map(({ state, count, past }) => {
      const slice = { state, start, count, past };
      start += count;
      return slice;
    });
    const { outputs, taps, hidden, top } = shape;
    const result = this.#model.forward(graph, {
      tokens,
      positions,
      sequences: slices,
      outputs: outputs && graph.indices('outputs', outputs),
      taps,
      hiddenRows: hidden === 'none' ? 'outputs' : hidden === 'all' ? 'all' : someRows(graph, shape),
    });
    if (this.#backend.reproducible) requireFixed(graph);
    const logits = result.logits && graph.output(result.logits);
    return {
      shape,
      profiler: this.#backend.profiler,
      workspace,
      graph,
      tokens,
      positions,
      slices,
      logits,
      top: logits && top > 0 ? takeTop(graph, logits, top) : undefined,
      hidden: hidden === 'none' ? undefined : graph.output(result.hidden),
      taps: result.taps.map((tap) => graph.output(tap)),
    };
  }
}

/** @throws {PacelineError} `usage` where bytes would depend on the processor. */
function requireFixed({ unfixedOperations: found }: Graph): void {
  if (found.length === 0) return;
  throw new PacelineError(
    'usage',
    `This model cannot be computed with the same bytes everywhere: of ${found.join(', ')} they depend on the machine`,
    {
      hint: 'Load it without --portable (reproducible).',
      details: { operations: found },
    },
  );
}

function someRows(graph: Graph, { hidden, outputs = [] }: PassShape): KeptRows {
  const rows = typeof hidden === 'string' ? [] : hidden;
  const place = new Map(rows.map((row, index) => [row, index]));
  return {
    rows: graph.indices('hidden rows', rows),
    outputs: graph.indices(
      'hidden outputs',
      outputs.map((row) => place.get(row) ?? 0),
    ),
  };
}

function sameShape(a: PassShape, b: PassShape): boolean {
  return (
    a.hidden === b.hidden &&
    a.top === b.top &&
    sameNumbers(a.taps, b.taps) &&
    sameNumbers(a.outputs, b.outputs) &&
    a.sequences.length === b.sequences.length &&
    a.sequences.every(
      ({ state, count }, at) =>
        state.capacity === b.sequences[at]?.state.capacity && count === b.sequences[at]?.count,
    )
  );
}

function sameNumbers(a: readonly number[] | undefined, b: readonly number[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((value, at) => value === b[at]);
}
