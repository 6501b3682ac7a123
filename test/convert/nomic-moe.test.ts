/** Checkpoints of Nomic's BERT with experts: converted, they make the vectors of a reference that reads the checkpoint. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { readHyperparameters } from '../../src/convert/checkpoint-metadata.js';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { JsonObject } from '../../src/convert/json.js';
import { loadModel } from '../../src/engine/load.js';
import { temporaryFile } from '../support/tiny-model.js';
import { safetensors, type Weights } from './checkpoint.js';
import {
  attend,
  EncoderParts,
  exactGelu,
  type Gelu,
  meanVector,
  plus,
  product,
  type Row,
  softmax,
  TensorMaker,
  tanhGelu,
  times,
} from './encoder-parts.js';
import { words, writeWordPiece } from './wordpiece.js';

const config = {
  ...{ architectures: ['NomicBertModel'], activation_function: 'gelu', n_layer: 3, n_head: 2 },
  ...{ n_embd: 32, n_inner: 48, n_positions: 80, max_trained_positions: 40 },
  ...{ vocab_size: words.length, layer_norm_epsilon: 1e-5, rotary_emb_base: 10_000 },
  ...{ rotary_emb_fraction: 1, causal: false, type_vocab_size: 1, prenorm: false },
  ...{ qkv_proj_bias: true, mlp_fc1_bias: true, mlp_fc2_bias: true },
  ...{ moe_every_n_layers: 2, moe_top_k: 2, num_experts: 4 },
  ...{ moe_normalize_expert_weights: false, expert_choice_router: false },
};
const [width, inner] = [config.n_embd, config.n_inner];

function tensors(): Map<string, Weights> {
  const t = new TensorMaker();
  t.add('embeddings.word_embeddings.weight', [words.length, width], 1);
  t.add('embeddings.token_type_embeddings.weight', [1, width], 0.5);
  t.norm('emb_ln', width);
  for (let layer = 0; layer < config.n_layer; layer++) {
    const at = `encoder.layers.${layer}`;
    t.linear(`${at}.attn.Wqkv`, width, 3 * width);
    t.linear(`${at}.attn.out_proj`, width, width);
    t.norm(`${at}.norm1`, width);
    if (layer % config.moe_every_n_layers === 1) {
      const rows = config.num_experts * inner;
      t.linear(`${at}.mlp.router.layer`, width, config.num_experts, false);
      t.add(`${at}.mlp.experts.mlp.w1`, [rows, width], 1 / Math.sqrt(width));
      t.add(`${at}.mlp.experts.mlp.w2`, [rows, width], 1 / Math.sqrt(inner));
      t.add(`${at}.mlp.experts.bias`, [width], 0);
    } else {
      t.linear(`${at}.mlp.fc1`, width, inner);
      t.linear(`${at}.mlp.fc2`, inner, width);
    }
    t.norm(`${at}.norm2`, width);
  }
  return t.found;
}

function checkpoint(weights: ReadonlyMap<string, Weights>, changed: object = {}): string {
  const folder = temporaryFile(`nomic-moe-${Math.random().toString(36).slice(2)}`);
  mkdirSync(join(folder, '1_Pooling'), { recursive: true });
  const write = (name: string, value: object) =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  write('config.json', { ...config, ...changed });
  writeWordPiece(folder);
  write('1_Pooling/config.json', { pooling_mode_mean_tokens: true });
  writeFileSync(join(folder, 'model.safetensors'), safetensors([...weights], 'F32'));
  return folder;
}

const head = width / config.n_head;
const turn = (x: Row, position: number): Row =>
  x.map((value, i) => {
    const within = i % head;
    const angle = position / config.rotary_emb_base ** ((2 * (within % (head / 2))) / head);
    const other = within < head / 2 ? -(x[i + head / 2] as number) : (x[i - head / 2] as number);
    return value * Math.cos(angle) + other * Math.sin(angle);
  });

function vectorOf(
  weights: ReadonlyMap<string, Weights>,
  tokens: readonly number[],
  gelu: Gelu,
): Row {
  const parts = new EncoderParts(weights, config.layer_norm_epsilon);
  /** Both matrices of an expert are [inner, width]; shares of all experts, those of two are taken as they are. */
  const mixture = (x: Row, name: string): Row => {
    const shares = softmax(parts.linear(x, `${name}.router.layer`));
    const best = shares
      .map((share, index) => ({ share, index }))
      .sort((a, b) => b.share - a.share)
      .slice(0, config.moe_top_k);
    const [w1, w2] = ['w1', 'w2'].map((part) => parts.values(`${name}.experts.mlp.${part}`)) as [
      Float32Array,
      Float32Array,
    ];
    return best.reduce<Row>(
      (sum, { share, index }) => {
        const grown = product(x, w1, index * inner, inner).map(gelu);
        const out = x.map((_, i) =>
          grown.reduce((all, g, j) => all + g * (w2[(index * inner + j) * width + i] as number), 0),
        );
        return plus(sum, times(out, share));
      },
      x.map(() => 0),
    );
  };
  const type = parts.row('embeddings.token_type_embeddings.weight', 0, width);
  let rows = tokens.map((token) => {
    const word = parts.row('embeddings.word_embeddings.weight', token, width);
    return parts.norm(plus(word, type), 'emb_ln');
  });
  for (let layer = 0; layer < config.n_layer; layer++) {
    const name = `encoder.layers.${layer}`;
    const all = rows.map((x) => parts.linear(x, `${name}.attn.Wqkv`));
    const part = (index: number) => all.map((x) => x.slice(index * width, (index + 1) * width));
    const seen = attend(part(0).map(turn), part(1).map(turn), part(2), config.n_head);
    rows = rows.map((x, t) => {
      const out = parts.linear(seen[t] as Row, `${name}.attn.out_proj`);
      const once = parts.norm(plus(out, x), `${name}.norm1`);
      const grown =
        layer % config.moe_every_n_layers === 1
          ? mixture(once, `${name}.mlp`)
          : parts.linear(parts.linear(once, `${name}.mlp.fc1`).map(gelu), `${name}.mlp.fc2`);
      return parts.norm(plus(grown, once), `${name}.norm2`);
    });
  }
  return meanVector(rows);
}

it('becomes a file with its vectors', async () => {
  const weights = tensors();
  const output = temporaryFile('nomic-moe.gguf');
  const { architecture } = await convertCheckpoint({ checkpoint: checkpoint(weights), output });
  assert.equal(architecture, 'nomic-bert-moe');
  await using model = await loadModel(output, { threads: 1 });
  assert.deepEqual([model.info.pooling, model.info.contextLength], ['mean', 40]);
  const texts = ['The rivers of Europe.', 'a', 'bc the unknown river of the europe a b c'];
  const { vectors } = await model.embed(texts);
  for (const [index, text] of texts.entries()) {
    const ids = model.tokenizer.encode(text);
    const worst = (gelu: Gelu) =>
      Math.max(
        ...vectorOf(weights, ids, gelu).map((value, i) =>
          Math.abs(value - (vectors[index]?.[i] ?? 9)),
        ),
      );
    const [usual, exact] = [worst(tanhGelu), worst(exactGelu)];
    assert.ok(usual < 1e-4 && exact < 1e-3, `${text}: ${usual}, ${exact}`);
  }
});

it('has the context that the published model was trained for', () => {
  const published = { ...config, n_positions: 2048, max_trained_positions: 2048 };
  const { metadata } = readHyperparameters(new JsonObject('config.json', published));
  assert.equal(metadata.get('nomic-bert-moe.context_length')?.value, 512);
  assert.equal(metadata.get('nomic-bert-moe.expert_used_count')?.value, 2);
});

it('is refused where it is another model', async () => {
  const weights = tensors();
  const convert = (changed: object) =>
    convertCheckpoint({
      checkpoint: checkpoint(weights, changed),
      output: temporaryFile('nomic-moe-refused.gguf'),
    });
  const refused = { code: 'unsupported-architecture' };
  await assert.rejects(convert({ moe_normalize_expert_weights: true }), refused);
  await assert.rejects(convert({ num_shared_experts: 1 }), refused);
  await assert.rejects(convert({ activation_function: 'swiglu' }), refused);
  await assert.rejects(convert({ num_experts: 5 }), { code: 'wrong-shape' });
  weights.set('encoder.layers.0.mlp.experts.mlp.v1', { shape: [1], values: new Float32Array(1) });
  await assert.rejects(convert({}), refused);
});
