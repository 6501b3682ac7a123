/** One sequence of one of our models, as the oracle's counterpart, and the measure between them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LayeredState } from '../../src/cache/layered-state.js';
import { Backend } from '../../src/ggml/backend.js';
import { GgmlType } from '../../src/ggml/types.js';
import type { WeightLayout } from '../../src/ggml/weight.js';
import { Workspace } from '../../src/ggml/workspace.js';
import { readGguf } from '../../src/gguf/reader.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { loadLanguageModel } from '../../src/models/load.js';
import type { LanguageModel } from '../../src/models/model.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';

export interface RunnerOptions {
  readonly cacheType?: GgmlType;
  readonly capacity?: number;
  readonly layouts?: readonly WeightLayout[];
  readonly threads?: number;
}

export class Runner implements Disposable {
  readonly state: LayeredState;
  readonly #workspace: Workspace;

  private constructor(
    readonly model: LanguageModel,
    readonly backend: Backend,
    options: RunnerOptions,
  ) {
    const { capacity = 256, cacheType = GgmlType.F16 } = options;
    const layers = model.layerStates();
    this.state = new LayeredState({ backend, layers, capacity, type: cacheType, identity: '' });
    this.#workspace = new Workspace(backend);
  }

  static async open(path: string, options: RunnerOptions = {}): Promise<Runner> {
    const threads = options.threads ?? 1;
    const backend = new Backend({ threads });
    await using file = await readGguf(path);
    const { layouts, capacity } = options;
    const model = await loadLanguageModel(file, { backend, layouts, contextLength: capacity });
    return new Runner(model, backend, options);
  }

  /** Appends tokens and returns the logits of each: an array a token. */
  async decode(tokens: readonly number[]): Promise<Float32Array[]> {
    const { state, model } = this;
    const graph = this.#workspace.begin();
    const past = state.length;
    const { logits } = model.forward(graph, {
      tokens: graph.indices('tokens', tokens),
      positions: graph.indices(
        'positions',
        tokens.map((_, at) => past + at),
      ),
      sequences: [{ state, start: 0, count: tokens.length, past }],
      outputs: undefined,
    });
    assert.ok(logits);
    graph.output(logits);
    state.begin(tokens.length);
    await graph.compute();
    state.commit(tokens.length);
    const all = graph.read(logits);
    // As many as the vocabulary has tokens, or as there are classes.
    const length = all.length / tokens.length;
    return tokens.map((_, at) => all.slice(at * length, (at + 1) * length));
  }

  [Symbol.dispose](): void {
    this.#workspace.dispose();
    this.state.dispose();
    this.model.dispose();
    this.backend.dispose();
  }
}

/**
 * For each token the largest difference of its logits, relative to the range (largest minus smallest)
 * of the expected ones.
 */
export function differences(
  found: readonly Float32Array[],
  expected: readonly Float32Array[],
): number[] {
  return expected.map((wanted, token) => {
    const got = found[token] ?? new Float32Array();
    if (got.length !== wanted.length) return Number.POSITIVE_INFINITY;
    let [least, most, largest] = [Infinity, -Infinity, 0];
    for (const [at, value] of wanted.entries()) {
      least = Math.min(least, value);
      most = Math.max(most, value);
      const difference = Math.abs(value - (got[at] as number));
      if (Number.isNaN(difference)) return Number.POSITIVE_INFINITY;
      largest = Math.max(largest, difference);
    }
    return largest / (most - least);
  });
}

/** The worst of `differences`. */
export function worstDifference(
  found: readonly Float32Array[],
  expected: readonly Float32Array[],
): number {
  return Math.max(...differences(found, expected));
}

/** Place of the largest logit. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  for (const [at, value] of logits.entries()) if (value > (logits[best] as number)) best = at;
  return best;
}

/** Writes a random model to a temporary file for the time of `use`. */
export async function withRandomModel<T>(
  options: RandomModelOptions,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'paceline-test-'));
  try {
    const path = join(folder, 'model.gguf');
    await writeGguf(path, randomModel(options));
    return await use(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
