import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { defaultModelPath } from '../../src/base/paths.js';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { readGguf } from '../../src/gguf/reader.js';
import { createTokenizer } from '../../src/tokenizer/tokenizer.js';
import { temporaryFile } from '../support/tiny-model.js';
import { writeCheckpoint } from './gguf-checkpoint.js';
import { vllmCheckpoint } from './vllm-checkpoint.js';

/** Tensors of a safetensors file of F32, by name, as their bytes. */
function tensorsOf(folder: string): Map<string, Buffer> {
  const file = readFileSync(join(folder, 'model.safetensors'));
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<
    string,
    { readonly data_offsets: readonly [number, number] }
  >;
  return new Map(
    Object.entries(header).flatMap(([name, { data_offsets: at }]) =>
      name === '__metadata__' ? [] : [[name, file.subarray(start + at[0], start + at[1])]],
    ),
  );
}

describe('a checkpoint of a GGUF file', () => {
  it('has the weights of the checkpoint that the file was made of, rotated heads too', async () => {
    const original = vllmCheckpoint();
    const [gguf, folder] = [temporaryFile('back.gguf'), temporaryFile('back')];
    await convertCheckpoint({ checkpoint: original, output: gguf, type: 'f32', threads: 1 });
    await writeCheckpoint(gguf, folder);
    const [before, after] = [tensorsOf(original), tensorsOf(folder)];
    assert.deepEqual([...after.keys()].sort(), [...before.keys()].sort());
    for (const [name, bytes] of before) {
      const halves = new Uint16Array(Uint8Array.from(bytes).buffer);
      const wide = Uint32Array.from(halves, (half) => half << 16);
      assert.ok(Buffer.from(wide.buffer).equals(after.get(name) as Buffer), name);
    }
  });

  it('comes back as the same vocabulary, numbers and template', async () => {
    const [gguf, folder] = [temporaryFile('default.gguf'), temporaryFile('default')];
    await writeCheckpoint(defaultModelPath(), folder);
    await convertCheckpoint({ checkpoint: folder, output: gguf, type: 'q8_0', threads: 1 });
    await using before = await readGguf(defaultModelPath());
    await using after = await readGguf(gguf);
    for (const key of [
      ...['tokenizer.ggml.tokens', 'tokenizer.ggml.token_type', 'tokenizer.ggml.merges'],
      ...['tokenizer.ggml.add_bos_token', 'tokenizer.ggml.eos_token_id', 'tokenizer.chat_template'],
      ...['qwen3.attention.layer_norm_rms_epsilon', 'qwen3.rope.freq_base', 'qwen3.block_count'],
    ]) {
      assert.deepEqual(after.metadata.get(key)?.value, before.metadata.get(key)?.value, key);
    }
    const text = "It's 2026: const x = 12; \n\n  return <|im_end|>";
    assert.deepEqual(createTokenizer(after).encode(text), createTokenizer(before).encode(text));
  });
});
