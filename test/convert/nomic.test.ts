/** Checkpoints of Nomic's BERT: converted, they make the vectors of a reference that reads the checkpoint. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { randomNormal } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';
import { safetensors, type Weights } from './checkpoint.js';
import { words, writeWordPiece } from './wordpiece.js';

const config = {
  ...{ architectures: ['NomicBertModel'], activation_function: 'swiglu', n_layer: 2, n_head: 2 },
  ...{
    n_embd: 64,
    n_inner: 96,
    n_positions: 80,
    max_trained_positions: 40,
    vocab_size: words.length,
  },
  ...{ layer_norm_epsilon: 1e-12, rotary_emb_base: 1000, rotary_emb_fraction: 1, causal: false },
  ...{ qkv_proj_bias: false, mlp_fc1_bias: false, mlp_fc2_bias: false, type_vocab_size: 2 },
};
const width = config.n_embd;

function tensors(): Map<string, Weights> {
  const found = new Map<string, Weights>();
  const add = (name: string, shape: readonly number[], gain: number, mean = 0) => {
    const random = randomNormal(found.size + 1);
    const length = shape.reduce((a, b) => a * b, 1);
    found.set(name, {
      shape,
      values: Float32Array.from({ length }, () => mean + gain * random()),
    });
  };
  const linear = (name: string, from: number, to: number) =>
    add(`${name}.weight`, [to, from], 1 / Math.sqrt(from));
  const norm = (name: string) => {
    add(`${name}.weight`, [width], 0.1, 1);
    add(`${name}.bias`, [width], 0.1);
  };
  add('embeddings.word_embeddings.weight', [words.length, width], 1);
  add('embeddings.token_type_embeddings.weight', [2, width], 0.5);
  norm('emb_ln');
  for (let layer = 0; layer < config.n_layer; layer++) {
    const at = `encoder.layers.${layer}`;
    linear(`${at}.attn.Wqkv`, width, 3 * width);
    linear(`${at}.attn.out_proj`, width, width);
    norm(`${at}.norm1`);
    linear(`${at}.mlp.fc11`, width, config.n_inner);
    linear(`${at}.mlp.fc12`, width, config.n_inner);
    linear(`${at}.mlp.fc2`, config.n_inner, width);
    norm(`${at}.norm2`);
  }
  return found;
}

function checkpoint(weights: ReadonlyMap<string, Weights>, changed: object = {}): string {
  const folder = temporaryFile(`nomic-${Math.random().toString(36).slice(2)}`);
  mkdirSync(join(folder, '1_Pooling'), { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, ...changed }));
  writeWordPiece(folder);
  const pooling = { pooling_mode_mean_tokens: true };
  writeFileSync(join(folder, '1_Pooling', 'config.json'), JSON.stringify(pooling));
  writeFileSync(join(folder, 'model.safetensors'), safetensors([...weights], 'F32'));
  return folder;
}

type Row = readonly number[];
const at = (values: ArrayLike<number>, index: number) => values[index] as number;
const plus = (a: Row, b: Row): Row => a.map((x, i) => x + at(b, i));

/** The vector of a text's tokens, in double precision and by the checkpoint's own names. */
function nomicVector(weights: ReadonlyMap<string, Weights>, tokens: readonly number[]): Row {
  const values = (name: string) => weights.get(name)?.values ?? assert.fail(name);
  const linear = (x: Row, name: string): Row => {
    const all = values(`${name}.weight`);
    return Array.from({ length: all.length / x.length }, (_, row) =>
      x.reduce((sum, value, i) => sum + value * at(all, row * x.length + i), 0),
    );
  };
  const norm = (x: Row, name: string): Row => {
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    const scale = 1 / Math.sqrt(variance + config.layer_norm_epsilon);
    const [weight, bias] = [values(`${name}.weight`), values(`${name}.bias`)];
    return x.map((value, i) => (value - mean) * scale * at(weight, i) + at(bias, i));
  };
  const head = width / config.n_head;
  const turn = (x: Row, position: number): Row =>
    x.map((value, i) => {
      const within = i % head;
      const angle = position / config.rotary_emb_base ** ((2 * (within % (head / 2))) / head);
      const other = within < head / 2 ? -at(x, i + head / 2) : at(x, i - head / 2);
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  const table = values('embeddings.word_embeddings.weight');
  const types = values('embeddings.token_type_embeddings.weight');
  let rows: Row[] = tokens.map((token) => {
    const sum = Array.from(
      { length: width },
      (_, i) => at(table, token * width + i) + at(types, i),
    );
    return norm(sum, 'emb_ln');
  });
  for (let layer = 0; layer < config.n_layer; layer++) {
    const name = `encoder.layers.${layer}`;
    const all = rows.map((x) => linear(x, `${name}.attn.Wqkv`));
    const q = all.map((x, t) => turn(x.slice(0, width), t));
    const k = all.map((x, t) => turn(x.slice(width, 2 * width), t));
    rows = rows.map((x, t) => {
      const seen = Array.from({ length: config.n_head }, (_, h) => {
        const powers = k.map((key) => {
          let dot = 0;
          for (let i = h * head; i < (h + 1) * head; i++) dot += at(q[t] as Row, i) * at(key, i);
          return Math.exp(dot / Math.sqrt(head));
        });
        const total = powers.reduce((a, b) => a + b, 0);
        return Array.from({ length: head }, (_, i) =>
          powers.reduce((sum, p, s) => {
            const value = at(all[s] as Row, 2 * width + h * head + i);
            return sum + (p / total) * value;
          }, 0),
        );
      }).flat();
      const once = norm(plus(linear(seen, `${name}.attn.out_proj`), x), `${name}.norm1`);
      const gate = linear(once, `${name}.mlp.fc12`);
      const inner = linear(once, `${name}.mlp.fc11`).map(
        (up, i) => (up * at(gate, i)) / (1 + Math.exp(-at(gate, i))),
      );
      return norm(plus(linear(inner, `${name}.mlp.fc2`), once), `${name}.norm2`);
    });
  }
  const pooled = Array.from({ length: width }, (_, i) =>
    rows.reduce((sum, row) => sum + at(row, i), 0),
  );
  const length = Math.hypot(...pooled);
  return pooled.map((value) => value / length);
}

describe('a checkpoint of Nomic’s BERT', () => {
  it('becomes a file with its vectors', async () => {
    const weights = tensors();
    const output = temporaryFile('nomic.gguf');
    const { architecture } = await convertCheckpoint({ checkpoint: checkpoint(weights), output });
    assert.equal(architecture, 'nomic-bert');
    await using model = await loadModel(output, { threads: 1 });
    assert.deepEqual([model.info.pooling, model.info.contextLength], ['mean', 40]);
    const texts = ['The rivers of Europe.', 'a', 'bc the unknown river of the europe a b c'];
    const { vectors } = await model.embed(texts);
    for (const [index, text] of texts.entries()) {
      const expected = nomicVector(weights, model.tokenizer.encode(text));
      for (const [i, value] of expected.entries()) {
        assert.ok(Math.abs(value - (vectors[index]?.[i] ?? 9)) < 1e-4, `${text}: ${i}`);
      }
    }
  });

  it('is refused where it is another model', async () => {
    const weights = tensors();
    const refused = { code: 'unsupported-architecture' };
    const convert = (changed: object) =>
      convertCheckpoint({
        checkpoint: checkpoint(weights, changed),
        output: temporaryFile('nomic-refused.gguf'),
      });
    await assert.rejects(convert({ activation_function: 'gelu' }), refused);
    await assert.rejects(convert({ prenorm: true }), refused);
    await assert.rejects(convert({ rotary_emb_fraction: 0.5 }), refused);
    weights.set('encoder.layers.0.extra.weight', { shape: [1], values: new Float32Array(1) });
    await assert.rejects(convert({}), refused);
  });
});
