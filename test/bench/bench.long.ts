/** What `bench` is built of: padded models, texts, ratios, and times of operations. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BenchOptions, runBench } from '../../src/bench/bench.js';
import { measureDrafts, type PeerRunner, type TextRun } from '../../src/bench/drafts.js';
import { comparePadded } from '../../src/bench/padded-model.js';
import { type BenchRow, ratiosOf } from '../../src/bench/report.js';
import { unpredictable } from '../../src/bench/texts.js';
import { Backend } from '../../src/ggml/backend.js';
import { GraphProfiler } from '../../src/ggml/profiler.js';
import { GgmlType } from '../../src/ggml/types.js';
import { Workspace } from '../../src/ggml/workspace.js';
import { readGguf } from '../../src/gguf/reader.js';
import { loadModel } from '../../src/index.js';
import { writePadded } from '../../src/synthetic/padding.js';
import { changedModel, temporaryFile, tinyModel } from '../support/tiny-model.js';

test('a padded model costs what the shape costs and says the same', async () => {
  const source = await tinyModel('q8_0');
  const path = temporaryFile('padded.gguf');
  const { cost, target, blocks } = await writePadded(source, path, 'small');
  assert.equal(blocks, 2);
  // Widths come in steps, which are coarse at this size.
  for (const key of ['bytes', 'cached'] as const) {
    const off = Math.abs(cost[key] / target[key] - 1);
    assert.ok(off < 0.2, `${key}: ${cost[key]} instead of ${target[key]}`);
  }
  // As `bench` calls it: its own options come along, and mean nothing here.
  const options = { onProgress() {}, device: { device: 'cpu' }, gpuLayers: 'none' };
  const check = await comparePadded(source, path, options, 1);
  assert.deepEqual([check.identical, check.logits_identical], [true, true]);
});

test('what stands in the padding is not all zeros, but for the scales of what leads back', async () => {
  const path = temporaryFile('padded-bytes.gguf');
  await writePadded(await tinyModel('q8_0'), path, 'small');
  await using file = await readGguf(path);
  for (const name of ['ffn_down', 'attn_output', 'ffn_up']) {
    const info = file.tensors.get(`blk.3.${name}.weight`);
    assert.ok(info);
    const bytes = new Uint8Array(info.bytes);
    await file.readTensor(info, bytes);
    assert.ok(new Set(bytes).size > 100, name);
    const scales = bytes.filter((_, at) => at % 18 < 2);
    assert.equal(
      scales.every((byte) => byte === 0),
      name !== 'ffn_up',
      name,
    );
  }
});

test('a padded model that says something else is found out', async () => {
  const source = await tinyModel('q8_0');
  const path = temporaryFile('padded-right.gguf');
  await writePadded(source, path, 'small');
  const wrong = await changedModel(path, 'padded-wrong.gguf', {
    tensor(tensor) {
      if (tensor.name !== 'blk.3.ffn_down.weight' || !(tensor.data instanceof Uint8Array)) {
        return tensor;
      }
      // Scales of one, as halves of floats.
      return { ...tensor, data: tensor.data.map((byte, at) => (at % 18 === 1 ? 0x3c : byte)) };
    },
  });
  await assert.rejects(comparePadded(source, wrong, {}, 1), { code: 'check-failed' });
});

test('for the peer the same weights are one matrix for queries, keys and values', async () => {
  const source = await tinyModel('q8_0');
  const [own, peer] = [temporaryFile('own.gguf'), temporaryFile('peer.gguf')];
  await writePadded(source, own, 'small');
  await writePadded(source, peer, 'small', { as: 'openelm' });
  await using ours = await readGguf(own);
  await using theirs = await readGguf(peer);
  assert.equal(theirs.string('general.architecture'), 'openelm');
  assert.deepEqual(
    theirs.numberArray('openelm.attention.head_count'),
    ours.numberArray('qwen3.attention.head_count'),
  );
  const bytesOf = async (file: typeof ours, name: string) => {
    const info = file.tensors.get(name);
    assert.ok(info, name);
    const bytes = new Uint8Array(info.bytes);
    await file.readTensor(info, bytes);
    return bytes;
  };
  const parts = await Promise.all(
    ['q', 'k', 'v'].map((part) => bytesOf(ours, `blk.1.attn_${part}.weight`)),
  );
  assert.deepEqual(
    Buffer.concat(parts),
    Buffer.from(await bytesOf(theirs, 'blk.1.attn_qkv.weight')),
  );
});

test('the adversarial text never repeats what came after the same five tokens', () => {
  const text = unpredictable();
  assert.equal(text.length, 4096);
  const cyclic = [...text, ...text.slice(0, 5)];
  const runs = new Set(text.map((_, at) => cyclic.slice(at, at + 6).join('')));
  assert.equal(runs.size, 4096);
});

test('ratios pair the rounds of a text and take the best of the peer', () => {
  const row = (engine: BenchRow['engine'], draft: string, runs: number[], prefills: number[]) => ({
    engine,
    measure: 'text' as const,
    text: 'edit',
    draft,
    tokens: 8,
    unit: 'tokens/s' as const,
    median: runs[1] ?? 0,
    min: 0,
    max: 0,
    runs,
    prefill_runs: prefills,
  });
  const ratios = ratiosOf([
    row('paceline', 'none', [10, 20, 40], [1, 2, 4]),
    row('paceline', 'auto', [20, 40, 160], [1, 3, 4]),
    row('node-llama-cpp', 'none', [5, 5, 5], [1, 1, 1]),
    row('node-llama-cpp', 'lookup', [8, 8, 8], [1, 1, 1]),
  ]);
  assert.deepEqual(ratios, {
    edit_none_peer: 2.5,
    edit_auto: 2,
    edit_auto_prefill: 1,
    edit_auto_peer: 5,
  });
});

test('a peer that leaves the written text has a row that says so, and no ratios', async () => {
  await using model = await loadModel(await tinyModel(), { threads: 1, contextLength: 128 });
  const written = Array.from({ length: 30 }, (_, index) => 300 + (index % 7));
  const texts = ['edit', 'adversarial'].map((name) => ({
    name,
    prompts: [{ tokens: [5, 6, 7], written }],
  }));
  const faithful: TextRun = {
    ...{ prefillMs: 1, decodeMs: 1, tokens: 8, steps: 8, drafted: 0, accepted: 0 },
  };
  let edits = 0;
  const peer: PeerRunner = {
    kinds: ['none', 'lookup'],
    // Lookup leaves the first text, not in its first round.
    run: async (kind, prompt) =>
      kind === 'lookup' && prompt === texts[0]?.prompts[0] && ++edits > 1
        ? { ...faithful, leftAfter: 9 - edits }
        : faithful,
  };
  const rows: BenchRow[] = [];
  const settings = { kinds: ['none', 'ngram'] as const, texts, generate: 8, rounds: 2 };
  for await (const some of measureDrafts(model, { ...settings, temperature: 0, peer })) {
    rows.push(...some);
  }
  const left = rows.filter((row) => row.left_after !== undefined);
  assert.deepEqual(
    left.map(({ engine, text, draft, left_after }) => [engine, text, draft, left_after]),
    [['node-llama-cpp', 'edit', 'lookup', 6]],
  );
  const ratios = Object.keys(ratiosOf(rows));
  assert.deepEqual(
    ratios.filter((name) => name.startsWith('edit')),
    ['edit_ngram', 'edit_ngram_prefill'],
  );
  assert.ok(ratios.includes('adversarial_ngram_peer'));
});

test('a profiled graph gives the same values, and names its operations and sections', async () => {
  const backend = new Backend({ threads: 1 });
  const workspace = new Workspace(backend);
  try {
    const profiler = new GraphProfiler();
    backend.profiler = profiler;
    const graph = workspace.begin();
    const x = graph.input('x', GgmlType.F32, [4], new Float32Array([1, 2, 3, 4]));
    const doubled = graph.add(x, x);
    graph.endSection('layer 0');
    const result = graph.output(graph.scale(doubled, 10));
    await graph.compute();
    assert.deepEqual([...graph.read(result)], [20, 40, 60, 80]);
    assert.deepEqual(
      profiler.runs.map((run) => run.map(({ operation, section }) => [operation, section])),
      [
        [
          ['ggml_add', 'layer 0'],
          ['scale', 'rest'],
        ],
      ],
    );
  } finally {
    workspace.dispose();
    backend.dispose();
  }
});

async function benchOptions(more: Partial<BenchOptions>): Promise<BenchOptions> {
  return {
    ...{ model: await tinyModel(), prompt: 8, generate: 4, rounds: 2, peer: false, threads: 1 },
    ...{ profile: false, cacheFolder: temporaryFile('bench-cache'), onNote: () => {} },
    ...{ onProgress: () => {}, signal: new AbortController().signal },
    ...more,
  };
}

const drafts = { kinds: ['ngram'], texts: ['adversarial', 'edit'], temperature: 0 } as const;

test('what was measured is reported when a later part fails', async () => {
  const stop = new AbortController();
  const { report, failure } = await runBench(
    await benchOptions({
      drafts,
      signal: stop.signal,
      // In the middle of the second text.
      onProgress({ task, done }) {
        if (task === 'drafting' && done === 4) stop.abort();
      },
    }),
  );
  assert.ok(failure !== undefined);
  assert.deepEqual(
    report.rows.map(({ measure, text, draft }) => [measure, text, draft].filter(Boolean).join(' ')),
    ['prefill', 'decode', 'text adversarial none', 'text adversarial ngram'],
  );
  assert.ok(report.bandwidth.decode_gb_s > 0);
});

test('before there is a measurement a failure is thrown', async () => {
  const signal = AbortSignal.abort();
  await assert.rejects(runBench(await benchOptions({ signal })));
});

test('texts are as long as they are, and fit: the context grows with them', async () => {
  // In this vocabulary a token is a byte; the task has more than 4096.
  const { report, failure } = await runBench(
    await benchOptions({ model: { shape: 'tiny', type: 'q4_0' }, drafts, generate: 2, rounds: 1 }),
  );
  assert.equal(failure, undefined);
  assert.ok(report.rows.some(({ text }) => text === 'edit'));
});

test('a drafter that the model does not have is refused before anything is measured', async () => {
  let measuring = false;
  const options = await benchOptions({
    drafts: { ...drafts, kinds: ['ngram', 'mtp'] },
    onProgress: ({ task }) => {
      measuring ||= task === 'measuring';
    },
  });
  await assert.rejects(runBench(options), { code: 'usage', message: /no drafter mtp/ });
  assert.equal(measuring, false);
});
