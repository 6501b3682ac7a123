/** The memory plan: what goes where, by what the machine has, and what is refused. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GgmlType } from '../../src/ggml/types.js';
import type { GgufFile } from '../../src/gguf/reader.js';
import type { GgufContent } from '../../src/gguf/writer.js';
import { planModel } from '../../src/models/load.js';
import { planLine, requireFit } from '../../src/models/memory-plan.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { open, refused, small } from './support.js';

const mixture = {
  ...{ ...small, architecture: 'qwen3moe', embedding: 256, inner: 256 },
  ...{ experts: [8, 2] as const, type: GgmlType.Q8_0 },
} as const;
/** A model that lies in a file, as the plan sees it. */
async function openFiled(model: GgufContent): Promise<GgufFile> {
  const facts = { device: 1n, inode: 1n, size: 1n, modified: 1n, changed: 1n };
  return Object.assign(await open(model), { fileOf: () => ({ path: 'model.gguf', facts }) });
}

const machine = (available: number) => ({ available, total: 1e12 });

describe('the memory plan', () => {
  it('keeps all experts in memory where the model fits, and in the file where it does not', async () => {
    const file = await openFiled(randomModel(mixture));
    const options = { contextLength: 100 };
    const roomy = planModel(file, { ...options, memory: machine(1e12) });
    assert.equal(roomy.experts, undefined);
    requireFit(planModel(file, { ...options, memory: machine(roomy.total) }));
    const tight = planModel(file, { ...options, memory: machine(roomy.total - 1) });
    assert.ok(tight.experts && tight.experts.held < tight.experts.count);
    assert.ok(tight.total < roomy.total);
    assert.equal(tight.experts.count, 16);
    requireFit(tight);
    assert.match(planLine(tight), /^\d+ MiB of \d+ MiB: weights .*of 16 experts .*computing/);
    // The least that experts take is refused with all numbers when even that does not fit.
    const none = planModel(file, { ...options, memory: machine(tight.total - 1) });
    assert.throws(() => requireFit(none), refused('memory', /of 16 experts/, /are available/));
  });

  it('takes the size that is given, and no more than all experts need', async () => {
    const file = await openFiled(randomModel(mixture));
    const whole = planModel(file, { expertMemory: 1e12, memory: machine(1e12) }).experts;
    assert.ok(whole && whole.held === whole.count && whole.memory === whole.whole);
    const half = planModel(file, { expertMemory: whole.whole / 2, memory: machine(1e12) }).experts;
    assert.equal(half?.held, whole.count / 2);
    assert.throws(
      () => planModel(file, { expertMemory: 1000, memory: machine(1e12) }),
      refused('memory', /2 experts of a layer/),
    );
  });

  it('keeps experts in memory that lie in no file, whatever that takes', async () => {
    const source = await open(randomModel(mixture));
    const options = { contextLength: 100 };
    const tight = planModel(source, { ...options, memory: machine(1e6) });
    assert.equal(tight.experts, undefined);
    assert.throws(() => requireFit(tight), refused('memory', /are available/));
    assert.throws(
      () => planModel(source, { ...options, expertMemory: 1e6, memory: machine(1e12) }),
      refused('usage', /comes from one/, /leave out expertMemory/),
    );
  });

  it('says where the wish means nothing', async () => {
    const dense = await open(randomModel(small));
    const { experts, warnings } = planModel(dense, { expertMemory: 1e6 });
    assert.equal(experts, undefined);
    assert.match(warnings.join(), /no experts/);
  });
});
