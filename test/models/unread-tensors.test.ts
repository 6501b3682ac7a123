/** Files with more tensors than their architecture computes with, beside what libllama says. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Backend } from '../../src/ggml/backend.js';
import { GgmlType } from '../../src/ggml/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { loadLanguageModel } from '../../src/models/load.js';
import { u32 } from '../../src/synthetic/entries.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { Oracle } from '../oracle/libllama.js';
import { randomModelWithMtp } from '../support/random-drafters.js';
import { temporaryFile } from '../support/tiny-model.js';
import { loader, open, refused, small } from './support.js';

const backend = new Backend({ threads: 1 });
after(() => backend.dispose());
const load = loader(backend);

describe('tensors that nothing computes with', () => {
  const contentWith = (names: readonly string[]) => {
    const content = randomModel(small);
    const more = names.map((name) => ({
      ...{ name, type: GgmlType.F32, shape: [4], data: new Uint8Array(16) },
    }));
    return { ...content, tensors: [...content.tensors, ...more] };
  };
  const withTensors = async (names: readonly string[]) =>
    loadLanguageModel(await open(contentWith(names)), { backend });

  for (const name of [
    'blk.0.attn_sinks.weight',
    'blk.1.post_attention_norm.weight',
    'blk.0.ffn_gate_shexp.weight',
    'blk.0.exp_probs_b.bias',
    'blk.1.attn_gate.weight',
    'blk.1.attn_rot_embd',
    'output.bias',
    'token_embd_norm.weight',
    'position_embd.weight',
    'rope_freqs.weight',
    'rope_factors_long.weight',
    'blk.x.attn_norm.weight',
    'v.patch_embd.weight',
  ]) {
    it(`refuses ${name}`, async () => {
      const pattern = new RegExp(`qwen3.*: ${name.replaceAll('.', '\\.')}`);
      await assert.rejects(
        withTensors([name]),
        refused('unsupported-architecture', pattern, /variant/),
      );
      // So does libllama.
      const path = temporaryFile('unread.gguf');
      await writeGguf(path, contentWith([name]));
      assert.throws(() => new Oracle(path), /does not load/);
    });
  }

  it('names the first and counts the others', async () => {
    const names = Array.from({ length: 9 }, (_, at) => `extra.${at}.weight`);
    await assert.rejects(
      withTensors(names),
      refused('unsupported-architecture', /extra\.0.*extra\.3\.weight and 5 more/),
    );
  });

  it('refuses layers behind block_count, whether they are its own or others', async () => {
    const options = { metadata: { block_count: u32(1) } };
    await assert.rejects(load(options), refused('broken-file', /block_count is 1.*blk\.1\./));
    await assert.rejects(
      withTensors(['blk.2.x.weight']),
      refused('broken-file', /block_count is 2/),
    );
  });

  it('lets through what changes no text', async () => {
    const names = ['blk.0.attn_q.input_scale', 'blk.1.ffn_down.input_scale'];
    (await withTensors(names)).dispose();
  });

  it('lets a drafter behind the model be', async () => {
    const file = await open(randomModelWithMtp({ ...small, layers: 2 }));
    (await loadLanguageModel(file, { backend })).dispose();
  });
});
