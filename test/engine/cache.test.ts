/** A model's cache on the disk: found again by others, and never another text. */
import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LayeredState } from '../../src/cache/layered-state.js';
import type { GenerateOptions, LoadOptions } from '../../src/engine/types.js';
import { loadModel, type Model, Session } from '../../src/index.js';
import { ForgetfulState } from '../cache/forgetful-state.js';
import { temporaryFile } from '../support/tiny-model.js';

const greedy = { temperature: 0, maxTokens: 24, draft: 'none' } as const satisfies GenerateOptions;
const long = Array.from({ length: 700 }, (_, at) => 40 + ((at * 37) % 400));

let counter = 0;
const newFolder = (): string => temporaryFile(`store-${counter++}`);

/** The default model with a store, or without one. */
function open(folder?: string, more: LoadOptions = {}): Promise<Model> {
  const cache = folder === undefined ? false : { folder };
  return loadModel('default', { threads: 1, contextLength: 1024, cache, ...more });
}

describe('the cache of a model', () => {
  it('gives another process every token but the prompt’s last, and the same text', async () => {
    const folder = newFolder();
    await using plain = await open();
    const expected = await plain.generate(long, greedy);
    {
      await using first = await open(folder);
      const found = await first.generate(long, greedy);
      assert.deepEqual([found.cachedTokens, found.tokens], [0, expected.tokens]);
    }
    await using second = await open(folder);
    const again = await second.generate(long, greedy);
    assert.equal(again.cachedTokens, long.length - 1);
    assert.deepEqual(again.tokens, expected.tokens);
    // What was said comes back too.
    const further = [...long, ...expected.tokens, 65, 66];
    await using third = await open(folder);
    const next = await third.generate(further, greedy);
    assert.equal(next.cachedTokens, further.length - 3);
    assert.deepEqual(next.tokens, (await plain.generate(further, greedy)).tokens);
  });

  it('finds what was there when a message is edited, and in other texts in memory', async () => {
    await using model = await open(newFolder());
    await using plain = await open();
    const [one, two] = [model.createSession(), model.createSession()];
    await one.generate(long, greedy);
    const edited = [...long.slice(0, 333), 41, 42, 43];
    const found = await two.generate(edited, greedy);
    assert.equal(found.cachedTokens, 333);
    assert.deepEqual(found.tokens, (await plain.generate(edited, greedy)).tokens);
    const off = model.createSession();
    assert.equal((await off.generate(edited, { ...greedy, cache: false })).cachedTokens, 0);
    one.dispose();
    two.dispose();
    // Their texts are gone from memory.
    const three = await model.createSession().generate(edited, greedy);
    assert.equal(three.cachedTokens, edited.length - 1);
    assert.deepEqual(three.tokens, found.tokens);
  });

  it('copies each row of another text in memory once, and nothing else', async (t) => {
    await using model = await open(newFolder());
    const [one, two] = [model.createSession(), model.createSession()];
    await one.generate(long, greedy);
    const { statistics } = model.runtime.cache?.store ?? {};
    const read = statistics?.bytesRead;
    const copied = t.mock.method(LayeredState.prototype, 'copyRows');
    const moved = (['readBlock', 'writeBlock', 'blockMemory'] as const).map((name) =>
      t.mock.method(LayeredState.prototype, name),
    );
    const restored = new Promise<number[]>((resolve) => {
      const onProgress = (): void => resolve(moved.map(({ mock }) => mock.callCount()));
      void two.generate(long, { ...greedy, maxTokens: 1, onProgress });
    });
    assert.deepEqual(await restored, [0, 0, 0], 'nothing goes through JavaScript');
    const ranges = copied.mock.calls.map(({ arguments: [kind, , from, end] }) => [kind, from, end]);
    assert.deepEqual(ranges, [['whole', 0, long.length - 1]]);
    assert.equal(statistics?.bytesRead, read);
  });

  it('keeps what an aborted text has computed', async () => {
    await using model = await open(newFolder());
    const stop = new AbortController();
    const session = model.createSession();
    const options = { ...greedy, maxTokens: 500, signal: stop.signal };
    for await (const event of session.stream(long, options)) {
      if (event.type === 'text') stop.abort();
    }
    session.dispose();
    const found = await model.createSession().generate(long, greedy);
    assert.equal(found.cachedTokens, long.length - 1);
  });

  it('brings drafters back with their text, so that they guess as before', async () => {
    for (const draft of ['mtp', 'dflash'] as const) {
      const folder = newFolder();
      const options = { ...greedy, maxTokens: 30, draft };
      const first = await open(folder);
      const session = first.createSession();
      const said = await session.generate('export function parse(', options);
      const further = [...first.tokenizer.encode('export function parse('), ...said.tokens, 65, 66];
      // Another process restores before this one goes on.
      await first.runtime.cache?.close();
      await using second = await open(folder);
      const found = await second.generate(further, options);
      const expected = await session.generate(further, { ...options, cache: false });
      assert.ok(found.cachedTokens >= further.length - 3);
      assert.deepEqual(found.tokens, expected.tokens);
      assert.deepEqual(found.draft.byDrafter, expected.draft.byDrafter);
      await first.dispose();
    }
  });

  it('restores state that cannot go back from where it was saved', async () => {
    const folder = newFolder();
    const openText = (model: Model) => {
      const state = new ForgetfulState(model.runtime.createState());
      return new Session(model.runtime, model.runtime.createText({ state }));
    };
    await using plain = await open();
    const expected = await plain.generate(long, greedy);
    {
      await using first = await open(folder);
      await openText(first).generate(long, greedy);
    }
    await using second = await open(folder);
    const again = await openText(second).generate(long, greedy);
    assert.equal(again.cachedTokens, long.length - 1);
    assert.deepEqual(again.tokens, expected.tokens);
    const further = [...long, ...expected.tokens, 65];
    await using third = await open(folder);
    const next = await openText(third).generate(further, greedy);
    assert.equal(next.cachedTokens, further.length - 2);
    assert.deepEqual(next.tokens, (await plain.generate(further, greedy)).tokens);
  });

  it('shares prefixes on the disk, and shows its files to nobody else', async () => {
    const folder = newFolder();
    await using model = await open(folder);
    const bytesOf = async (): Promise<number> => {
      await model.runtime.cache?.close();
      let bytes = 0;
      for (const key of await readdir(join(folder, 'v1'))) {
        const place = join(folder, 'v1', key);
        assert.equal((await stat(place)).mode & 0o777, 0o700);
        for (const file of await readdir(place)) {
          const { mode, size } = await stat(join(place, file));
          assert.equal(mode & 0o777, 0o600, file);
          bytes += size;
        }
      }
      return bytes;
    };
    const prefix = long.slice(0, 512);
    await model.generate(prefix, greedy);
    const one = await bytesOf();
    for (let branch = 0; branch < 8; branch++) {
      await model.generate([...prefix, 50 + branch], { ...greedy, maxTokens: 1 });
    }
    const many = await bytesOf();
    assert.ok(many < one * 5, `${many} bytes for nine texts, ${one} for one`);
  });
});
