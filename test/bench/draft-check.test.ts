import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { checkDraft } from '../../src/bench/draft-check/check.js';
import { DraftMeter } from '../../src/bench/draft-check/meter.js';
import { suspectsFor } from '../../src/bench/draft-check/suspects.js';
import { resolveModelPath } from '../../src/engine/model-path.js';
import { readGguf } from '../../src/gguf/reader.js';
import type { GgufMetadataEntry } from '../../src/gguf/types.js';
import { ggufValue } from '../../src/gguf/values.js';
import { writeGguf } from '../../src/gguf/writer.js';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'draft-check-'));
});
after(() => rm(folder, { recursive: true }));

const model = resolveModelPath('default');
const draftOf = (kind: string) => model.replace(/\.gguf$/, `-${kind}.gguf`);
const prompts = ['export function parse(text: string)', '# Getting started\n\n'].map((text) => ({
  text,
}));
const settings = { model, prompts, tokens: 40 };

/** The DFlash model of the default model with other metadata. */
async function changed(
  name: string,
  entries: Readonly<Record<string, GgufMetadataEntry>>,
): Promise<string> {
  await using file = await readGguf(draftOf('dflash'));
  const path = join(folder, name);
  const metadata = new Map([...file.metadata, ...Object.entries(entries)]);
  const tensors = await Promise.all(
    [...file.tensors.values()].map(async (tensor) => {
      const bytes = new Uint8Array(tensor.bytes);
      await file.readTensor(tensor, bytes);
      return { name: tensor.name, type: tensor.type, shape: tensor.shape, data: () => [bytes] };
    }),
  );
  await writeGguf(path, { metadata, tensors });
  return path;
}

const stateOf = (report: Awaited<ReturnType<typeof checkDraft>>, name: string) =>
  report.findings.find((finding) => finding.name === name)?.state;

test('drafters of the default model fit it', async () => {
  for (const kind of ['mtp', 'dflash'] as const) {
    const report = await checkDraft({ ...settings, draft: draftOf(kind) });
    assert.equal(report.kind, kind);
    assert.ok(report.fits);
    assert.ok((report.acceptance[0] ?? 0) > 0.4, `${kind}: ${report.acceptance}`);
    assert.equal(stateOf(report, 'cause'), undefined);
    assert.ok(report.tried.length > 0);
  }
});

test('taps that are better a layer later are found, with what to write', async () => {
  const draft = await changed('taps.gguf', {
    'dflash.target_layers': ggufValue.numbers('int32', [1, 3, 5]),
  });
  const texts = ['/**\n * Returns the ', 'export class EventEmitter<T> {\n  private '];
  const prompts = texts.map((text) => ({ text }));
  const report = await checkDraft({ ...settings, prompts, tokens: 96, draft });
  assert.ok(!report.fits);
  const found = report.findings.find(({ name }) => name === 'cause');
  assert.match(found?.finding ?? '', /a layer too low/);
  assert.match(found?.hint ?? '', /2, 4, 6/);
});

test('another vocabulary, and rows of another size than in training, are told', async () => {
  await using file = await readGguf(draftOf('dflash'));
  const tokens = [...file.stringArray('tokenizer.ggml.tokens')].reverse();
  const draft = await changed('vocabulary.gguf', {
    'tokenizer.ggml.tokens': ggufValue.strings(tokens),
    'tokenizer.chat_template': ggufValue.string('{{ messages }}'),
    'paceline.draft.tap_rms': ggufValue.numbers('float32', [1000, 1000, 1000]),
    'paceline.draft.acceptance': ggufValue.numbers('float32', [0.99, 0.99]),
  });
  const report = await checkDraft({ ...settings, draft });
  assert.ok(!report.fits);
  for (const [name, state] of [
    ['vocabulary', 'wrong'],
    ['template', 'doubtful'],
    ['rows', 'doubtful'],
    ['acceptance', 'doubtful'],
  ] as const) {
    assert.equal(stateOf(report, name), state, name);
  }
});

test('a file without a drafter is refused', async () => {
  await assert.rejects(
    checkDraft({ ...settings, draft: model }),
    (error) => PacelineError.is(error) && error.code === 'usage',
  );
});

test('the meter counts guesses behind right ones only, and silence as a wrong one', () => {
  const meter = new DraftMeter();
  meter.settle(3, 3);
  meter.settle(3, 1);
  meter.settle(2, 0);
  meter.settle(0, 0);
  assert.deepEqual(meter.tries, [4, 2, 1]);
  assert.deepEqual(meter.hits, [2, 1, 1]);
  assert.equal(meter.rightInARow, 1);
});

test('a prediction block is also shown rows before the output norm', () => {
  const source = {
    name: 'mtp',
    maxDrafts: 1,
    open: () => assert.fail(),
    needs: { hidden: true, window: 9 },
  };
  const [suspect] = suspectsFor(source, 7);
  assert.deepEqual(suspect?.disguise.needs, { taps: [7], window: 9 });
  const rows = { rows: 1, width: 2, data: Float32Array.of(1, 2) };
  const shown = suspect?.disguise.show({ position: 0, tokens: [1], taps: rows });
  assert.deepEqual(shown, { position: 0, tokens: [1], hidden: rows });
});
