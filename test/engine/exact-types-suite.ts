/** One suite over what computes: a text's logits have the same bytes however its passes are cut. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type GgmlType, typeName } from '../../src/ggml/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { loadModel } from '../../src/index.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

const shape = { layers: 2, embedding: 256, inner: 256, heads: 4, kvHeads: 2, headDim: 64 } as const;
const tokens = Array.from({ length: 26 }, (_, at) => (at * 31 + 7) % 250);

export function exactTypesSuite(what: string, types: readonly GgmlType[]): void {
  describe(`whole models, ${what}`, () => {
    for (const type of types) {
      it(`of ${typeName(type)} give the same bytes in every cut`, async () => {
        const path = temporaryFile(`exact-${typeName(type)}.gguf`);
        await writeGguf(path, randomModel({ architecture: 'llama', type, ...shape }));
        await using model = await loadModel(path, { threads: 2, contextLength: 64 });
        assert.equal(model.info.exact, true);
        const { runtime } = model;
        const rowsOf = async (sizes: readonly number[]) => {
          const text = runtime.createText();
          const rows: Float32Array[] = [];
          for (let from = 0, at = 0; from < tokens.length; at++) {
            const to = Math.min(tokens.length, from + (sizes[at % sizes.length] ?? 1));
            const { logits } = await runtime.run(text, tokens.slice(from, to), { outputs: 'all' });
            rows.push(...logits.map((row) => row.slice()));
            from = to;
          }
          return rows;
        };
        const whole = await rowsOf([tokens.length]);
        for (const sizes of [[1], [3, 8, 2], [17]]) {
          assert.deepEqual(await rowsOf(sizes), whole, `in passes of ${sizes}`);
        }
      });
    }
  });
}
