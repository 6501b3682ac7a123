/** The choice of experts against a plain computation in double precision, from a checkpoint in EMO's layout. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { passagesOf } from '../../../src/bench/experts/documents.js';
import { permutations } from '../../../src/bench/experts/random.js';
import { ExpertSelector } from '../../../src/bench/experts/select.js';
import { convertCheckpoint } from '../../../src/convert/convert.js';
import { readGguf } from '../../../src/gguf/reader.js';
import { createTokenizer } from '../../../src/tokenizer/tokenizer.js';
import { type Checkpoint, randomCheckpoint } from '../../convert/checkpoint.js';
import { type MixtureSeen, referenceLogits } from '../../convert/reference.js';
import { refused } from '../../models/support.js';
import { temporaryFile } from '../../support/tiny-model.js';

const text = 'What is chosen\0depends on the text, not on its end.';
const context = 24;

async function model(): Promise<{ checkpoint: Checkpoint; path: string; passages: number[][] }> {
  const config = { num_experts: 9, num_experts_per_tok: 3, num_hidden_layers: 3 };
  const checkpoint = randomCheckpoint('EmoForCausalLM', { config });
  const path = temporaryFile('selected.gguf');
  await convertCheckpoint({
    checkpoint: checkpoint.folder,
    output: path,
    threads: 1,
    replace: true,
  });
  await using file = await readGguf(path);
  const passages = passagesOf(createTokenizer(file), text, context).map(({ tokens }) => [
    ...tokens,
  ]);
  return { checkpoint, path, passages };
}

/** Mean probabilities and EASY-EP's sums of each layer, with some layers pruned. */
function plain(
  checkpoint: Checkpoint,
  passages: number[][],
  kept: readonly (number[] | undefined)[],
) {
  const layers = [0, 1, 2].map(() => ({
    ...{ mass: new Float64Array(8), easyEp: new Float64Array(8), tokens: 0 },
  }));
  const see = ({ layer, shares, best, x, result, norms }: MixtureSeen) => {
    const sums = layers[layer] as (typeof layers)[number];
    sums.tokens++;
    for (const [id, share] of shares.entries()) (sums.mass[id] as number) += share;
    const after = x.map((value, at) => value + (result[at] as number));
    const dot = (a: Float64Array, b: Float64Array) =>
      a.reduce((sum, value, at) => sum + value * (b[at] as number), 0);
    const cosine = dot(x, after) / Math.sqrt(dot(x, x) * dot(after, after));
    for (const [at, { index, share }] of best.entries()) {
      if (index < 8) {
        (sums.easyEp[index] as number) += share * (norms[at] as number) * Math.max(0, 1 - cosine);
      }
    }
  };
  for (const tokens of passages) referenceLogits(checkpoint, tokens, { kept, see });
  return layers;
}

const best = (scores: Float64Array, count: number) =>
  Array.from(scores, (score, id) => ({ score, id }))
    .sort((a, b) => b.score - a.score)
    .slice(0, count)
    .map(({ id }) => id)
    .sort((a, b) => a - b);

test('every method chooses as its definition says', async () => {
  const { checkpoint, path, passages } = await model();
  using selector = await ExpertSelector.open({
    model: path,
    text,
    contextLength: context,
    kvType: 'f32',
    threads: 1,
  });
  const { layers, tokens } = await selector.statistics();
  const whole = plain(checkpoint, passages, []);
  assert.equal(tokens, whole[0]?.tokens);
  for (const [layer, use] of layers.entries()) {
    const { mass, easyEp } = whole[layer] as (typeof whole)[number];
    for (let id = 0; id < 8; id++) {
      const off = Math.abs((use.mass[id] as number) - (mass[id] as number) / tokens);
      assert.ok(off < 1e-5, `layer ${layer}: probabilities differ by ${off}`);
      const [a, b] = [use.easyEp[id] as number, easyEp[id] as number];
      assert.ok(Math.abs(a - b) < 1e-4 * Math.max(1, Math.abs(b)), `layer ${layer}: ${a} and ${b}`);
    }
  }
  const select = async (method: 'layerwise' | 'global' | 'easy-ep' | 'random') =>
    (await selector.select({ keep: { count: 4 }, method })).kept;
  assert.deepEqual(
    await select('global'),
    whole.map(({ mass }) => best(mass, 4)),
  );
  assert.deepEqual(
    await select('easy-ep'),
    whole.map(({ easyEp }) => best(easyEp, 4)),
  );
  const greedy: number[][] = [];
  for (let layer = 0; layer < 3; layer++) {
    const { mass } = plain(checkpoint, passages, greedy)[layer] as (typeof whole)[number];
    greedy.push(best(mass, 4));
  }
  assert.deepEqual(await select('layerwise'), greedy);
  const draw = permutations(0);
  const drawn = [0, 1, 2].map(() =>
    draw(8)
      .slice(0, 4)
      .sort((a, b) => a - b),
  );
  assert.deepEqual(await select('random'), drawn);

  const uneven = await selector.select({ keep: { share: 0.5 }, method: 'global', uneven: true });
  assert.equal(uneven.kept.flat().length, 12);
  assert.ok(uneven.kept.every((ids) => ids.length >= 2));
  const listed = await selector.select({ keep: { counts: [8, 2, 3] }, method: 'layerwise' });
  assert.deepEqual(
    listed.kept.map(({ length }) => length),
    [8, 2, 3],
  );
  const few = selector.select({ keep: { count: 1 }, method: 'global' });
  await assert.rejects(few, refused('usage', /1 experts are too few: a token goes through 2/));
  const many = selector.select({ keep: { count: 9 }, method: 'global' });
  await assert.rejects(many, refused('usage', /only 8 experts/));
});

test('permutations are those of PyTorch', () => {
  // torch.Generator().manual_seed(0), then torch.randperm(7), (1), (127)[:8], (2), (5)
  const draw = permutations(0);
  assert.deepEqual(draw(7), [4, 0, 5, 3, 2, 6, 1]);
  assert.deepEqual(draw(1), [0]);
  assert.deepEqual(draw(127).slice(0, 8), [11, 74, 124, 82, 75, 65, 63, 46]);
  assert.deepEqual(draw(2), [1, 0]);
  assert.deepEqual(draw(5), [3, 1, 0, 2, 4]);
});
