/** Types that ggml only makes of activations are refused in files, by name, wherever they stand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Backend } from '../../src/ggml/backend.js';
import { GgmlType, tensorBytes, typeName } from '../../src/ggml/types.js';
import { readGgufFrom } from '../../src/gguf/reader.js';
import { memorySource } from '../../src/gguf/source.js';
import { encodeGguf } from '../../src/gguf/writer.js';
import { loadLanguageModel } from '../../src/models/load.js';
import { randomModel } from '../../src/synthetic/random-model.js';

const cases: readonly (readonly [string, string, string])[] = [
  ['qwen3', 'matrix', 'blk.0.ffn_down.weight'],
  ['qwen3', 'table', 'token_embd.weight'],
  ['qwen3moe', 'stack of experts', 'blk.1.ffn_up_exps.weight'],
];

describe('a file with intermediate types', () => {
  for (const type of [GgmlType.Q8_K, GgmlType.Q8_1]) {
    for (const [architecture, what, name] of cases) {
      it(`is refused: ${typeName(type)} as ${what}`, async () => {
        const { metadata, tensors } = randomModel({ architecture, layers: 2 });
        const changed = tensors.map((tensor) =>
          tensor.name === name
            ? { ...tensor, type, data: new Uint8Array(tensorBytes(type, tensor.shape)) }
            : tensor,
        );
        assert.ok(changed.some((tensor) => tensor.type === type));
        const bytes = await encodeGguf({ metadata, tensors: changed });
        await using file = await readGgufFrom('hostile.gguf', async () => memorySource(bytes));
        using backend = new Backend({ threads: 1 });
        await assert.rejects(loadLanguageModel(file, { backend }), (error: Error) => {
          assert.equal((error as Error & { code: string }).code, 'unsupported-type');
          assert.ok(error.message.includes(name) && error.message.includes(typeName(type)));
          return true;
        });
      });
    }
  }
});
