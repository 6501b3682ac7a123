/** What the comparisons of neural drafters with their references share. */
import assert from 'node:assert/strict';
import type { Graph } from '../../src/ggml/graph.js';
import type { Tensor } from '../../src/ggml/tensor.js';
import { type GgufContent, writeGguf } from '../../src/gguf/writer.js';
import type { DflashLink, DflashModel } from '../../src/models/dflash-model.js';
import type { MtpModel } from '../../src/models/mtp-model.js';
import { temporaryFile } from '../support/tiny-model.js';
import type { Round } from './forced-run.js';

/** Logits of the engine (weights F32, draft cache F16) may be off by so much of their range. */
export const tolerance = 1e-4;

export const prompt = Array.from({ length: 11 }, (_, at) => 20 + ((at * 67) % 300));
/** Right guesses by round: none, some, all, one, none, all, two, three. */
export const accept = [0, 2, 99, 1, 0, 99, 2, 3];

let files = 0;

/** The path of a new file with this content. */
export async function written(content: GgufContent): Promise<string> {
  const path = temporaryFile(`neural-${files++}.gguf`);
  await writeGguf(path, content);
  return path;
}

/** Has every read of `tensor` noted. */
export function noting(graph: Graph, tensor: Tensor, logits: Float32Array[], rows: number): void {
  const read = graph.read.bind(graph);
  graph.read = (wanted, ...range) => {
    const data = read(wanted, ...range);
    const size = data.length / rows;
    if (wanted === tensor) {
      for (let row = 0; row < rows; row++) logits.push(data.slice(row * size, (row + 1) * size));
    }
    return data;
  };
}

/** A prediction block whose logits are noted, and how many tokens each pass of it has. */
export function notingMtp(mtp: MtpModel, logits: Float32Array[], counts: number[]): MtpModel {
  return {
    ...mtp,
    forward(graph, batch) {
      const made = mtp.forward(graph, batch);
      counts.push(batch.tokens.elements);
      noting(graph, made.logits, logits, 1);
      return made;
    },
  };
}

/** What a block drafter was seen to compute. */
export interface DflashNotes {
  /** Of each guess, by the target's tokens; of candidates, with minus infinity for the others. */
  readonly logits: Float32Array[];
  /** What a head for it says of each guess. */
  readonly confidence: number[];
  /** Context rows of each pass. */
  readonly counts: number[];
}

/** A block drafter whose logits are noted as they are when all that guesses owe to each other is in them. */
export function notingDflash(model: DflashModel, notes: DflashNotes): DflashModel {
  const { link } = model;
  return {
    ...model,
    inject(graph, context) {
      notes.counts.push(context.positions.elements);
      model.inject(graph, context);
    },
    guess(graph, block) {
      const made = model.guess(graph, block);
      const rows: Float32Array[] = link === undefined ? notes.logits : [];
      noting(graph, made.logits, rows, model.blockSize - model.firstGuess);
      return made;
    },
    link: link && { ...link, next: (graph, input) => noted(graph, link, input, model, notes) },
  };
}

function noted(
  graph: Graph,
  link: DflashLink,
  input: Parameters<DflashLink['next']>[1],
  { targetVocabulary }: DflashModel,
  { logits, confidence }: DflashNotes,
): ReturnType<DflashLink['next']> {
  const made = link.next(graph, input);
  if (input.candidates !== undefined) graph.output(input.candidates);
  const read = graph.read.bind(graph);
  graph.read = (wanted, ...range) => {
    const data = read(wanted, ...range);
    if (wanted === made.confidence) confidence.push(data[0] ?? Number.NaN);
    if (wanted !== made.logits) return data;
    if (input.candidates === undefined) {
      logits.push(data.slice());
      return data;
    }
    const all = new Float32Array(targetVocabulary).fill(Number.NEGATIVE_INFINITY);
    for (const [index, token] of graph.readIndices(input.candidates).entries()) {
      all[token] = data[index] ?? Number.NaN;
    }
    logits.push(all);
    return data;
  };
  return made;
}

/** Compares a round's logits with the reference's; `off`: what they may be off by, of their range. */
export function check(
  round: Round,
  expected: readonly Float64Array[],
  found: readonly Float32Array[],
  most = tolerance,
): void {
  assert.ok(found.length >= round.guesses.length && expected.length >= round.guesses.length);
  for (const [index, guess] of round.guesses.entries()) {
    const [row, wanted] = [found[index] as Float32Array, expected[index] as Float64Array];
    const finite = wanted.filter((value) => Number.isFinite(value));
    const range = Math.max(...finite) - Math.min(...finite);
    for (const [token, value] of wanted.entries()) {
      if (!Number.isFinite(value)) continue;
      const off = Math.abs(value - (row[token] ?? 0)) / range;
      const where = `after ${round.tokens.length} tokens, guess ${index}, token ${token}`;
      assert.ok(off < most, `${where}: ${row[token]} instead of ${value}`);
    }
    // The guess is the reference's, or as good to within the tolerance.
    const best = Math.max(...finite);
    assert.ok((wanted[guess] ?? 0) >= best - 2 * most * range, `guess ${index} is ${guess}`);
  }
}

/** After the first round, no row is computed that is in the drafter's cache already. */
export function checkWork(counts: readonly number[], rounds: readonly Round[]): void {
  const most = Math.max(...rounds.map(({ accepted }) => accepted)) + 2;
  assert.ok(counts.length > 1);
  for (const count of counts.slice(1)) assert.ok(count <= most, `${count} rows at once`);
}
