/** The public API on the default model: what a text is, and that nothing around it changes it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { writeGguf } from '../../src/gguf/writer.js';
import { loadModel, type Model, type StreamEvent } from '../../src/index.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

const prompt = 'export function parse(text: string): ';
const greedy = { temperature: 0, maxTokens: 12 } as const;

describe('generation', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { threads: 1, contextLength: 256, prefillChunk: 32 });
  });
  after(() => model.dispose());

  it('gives the same text for the same seed, and another for another', async () => {
    const run = (seed: number) => model.generate(prompt, { seed, maxTokens: 12, temperature: 1 });
    const [first, again, other] = [await run(7), await run(7), await run(8)];
    assert.deepEqual(again.tokens, first.tokens);
    assert.equal(first.seed, 7);
    assert.notDeepEqual(other.tokens, first.tokens);
  });

  it('streams the pieces of the text that it returns', async () => {
    const events: StreamEvent[] = [];
    for await (const event of model.stream(prompt, greedy)) events.push(event);
    const end = events.at(-1);
    assert.ok(end?.type === 'end');
    const pieces = events.flatMap((event) => (event.type === 'text' ? [event] : []));
    assert.equal(pieces.map(({ text }) => text).join(''), end.generation.text);
    assert.deepEqual(
      pieces.flatMap(({ tokens }) => [...tokens]),
      end.generation.tokens,
    );
    assert.equal(model.tokenizer.decode(end.generation.tokens), end.generation.text);
    assert.equal(end.generation.finishReason, 'length');
  });

  it('takes token ids as a prompt', async () => {
    const byText = await model.generate(prompt, greedy);
    const byTokens = await model.generate(model.tokenizer.encode(prompt), greedy);
    assert.deepEqual(byTokens.tokens, byText.tokens);
  });

  it('reuses the common prefix of a session without changing the text', async () => {
    const session = model.createSession();
    const first = await session.generate(prompt, greedy);
    assert.equal(first.cachedTokens, 0);
    const longer = `${prompt}${first.text}\n\nexport const `;
    const reused = await session.generate(longer, greedy);
    session.dispose();
    const fresh = model.createSession();
    const alone = await fresh.generate(longer, greedy);
    fresh.dispose();
    // The prompt's last token may merge with what follows it.
    assert.ok(reused.cachedTokens >= first.promptTokens - 1);
    assert.equal(alone.cachedTokens, 0);
    assert.deepEqual(reused.tokens, alone.tokens);
  });

  it('guesses as well after texts without drafts as in a fresh session', async () => {
    const line = '  const part = text.slice(start, end);\n';
    const heads = [prompt, '/**\n * Returns the '].map(
      (head) => `${head}Result {\n${line.repeat(6)}`,
    );
    for (const draft of ['mtp', 'dflash'] as const) {
      const settings = { temperature: 0, maxTokens: 60, logitBias: noEnd(model), draft } as const;
      const passes = { fresh: 0, found: 0 };
      for (const long of heads) {
        const fresh = model.createSession();
        const expected = await fresh.generate(long, settings);
        const session = model.createSession();
        await session.generate(long, { ...settings, maxTokens: 4, draft: 'none' });
        const found = await session.generate(long, settings);
        assert.deepEqual(found.tokens, expected.tokens);
        assert.ok(found.cachedTokens > 0 && found.cachedTokens < found.promptTokens - 1);
        passes.fresh += expected.draft.steps;
        passes.found += found.draft.steps;
        fresh.dispose();
        session.dispose();
      }
      // What stands before the recomputed part is not shown to a drafter, so a few guesses differ.
      assert.ok(passes.found <= passes.fresh + 2 * heads.length, JSON.stringify({ draft, passes }));
    }
  });

  it('forks and truncates sessions', async () => {
    const session = model.createSession();
    await session.generate(prompt, greedy);
    const fork = session.fork();
    assert.deepEqual(fork.tokens, session.tokens);
    session.truncate(3);
    assert.equal(session.tokens.length, 3);
    assert.ok(fork.tokens.length > 3);
    const [left, right] = await Promise.all([
      session.generate(prompt, greedy),
      fork.generate(prompt, greedy),
    ]);
    assert.deepEqual(left.tokens, right.tokens);
    session.dispose();
    fork.dispose();
    assert.throws(() => fork.truncate(0), { code: 'disposed' });
  });

  it('gives sessions that run at once the texts that they have alone', async () => {
    const prompts = ['import { ', 'interface Options {\n', '# Changelog\n', 'const x = '];
    const settings = { maxTokens: 10, temperature: 0.9, seed: 3 } as const;
    const alone: (readonly number[])[] = [];
    for (const text of prompts) alone.push((await model.generate(text, settings)).tokens);
    const together = await Promise.all(prompts.map((text) => model.generate(text, settings)));
    assert.deepEqual(
      together.map(({ tokens }) => tokens),
      alone,
    );
  });

  it('ends before a stop string', async () => {
    const { text } = await model.generate(prompt, greedy);
    const stop = text.slice(4, 7);
    const stopped = await model.generate(prompt, { ...greedy, stop });
    assert.equal(stopped.text, text.slice(0, text.indexOf(stop)));
    assert.equal(stopped.finishReason, 'stop');
  });

  it('reports log-probabilities', async () => {
    const { tokens, logprobs } = await model.generate(prompt, { ...greedy, logprobs: 3 });
    assert.equal(logprobs?.length, tokens.length);
    for (const [index, entry] of (logprobs ?? []).entries()) {
      assert.equal(entry.token, tokens[index]);
      assert.equal(entry.top.length, 3);
      assert.equal(entry.top[0]?.token, entry.token); // greedy
      assert.ok(entry.logprob < 0);
    }
  });

  it('stops when aborted, keeps what there is, and can go on', async () => {
    const session = model.createSession();
    const abort = new AbortController();
    let pieces = 0;
    let reason: string | undefined;
    const options = { temperature: 0, maxTokens: 50, signal: abort.signal };
    for await (const event of session.stream(prompt, options)) {
      if (event.type === 'end') reason = event.generation.finishReason;
      else if (++pieces === 3) abort.abort();
    }
    assert.equal(reason, 'abort');
    assert.ok(pieces < 6);
    const next = await session.generate(prompt, greedy);
    assert.deepEqual(next.tokens, (await model.generate(prompt, greedy)).tokens);
    session.dispose();
  });

  it('lets a consumer leave the loop early', async () => {
    const session = model.createSession();
    for await (const event of session.stream(prompt, greedy)) {
      assert.equal(event.type, 'text');
      break;
    }
    assert.equal(session.busy, false);
    session.dispose();
  });

  it('refuses a second generation on a busy session', async () => {
    const session = model.createSession();
    const running = session.generate(prompt, greedy);
    await assert.rejects(session.generate(prompt, greedy), { code: 'usage' });
    await running;
    session.dispose();
  });

  it('refuses a prompt that does not fit and ends a text that fills the context', async () => {
    const long = model.tokenizer.encode('word '.repeat(300));
    await assert.rejects(model.generate(long, greedy), { code: 'context-overflow' });
    const almost = long.slice(0, 250);
    const full = await model.generate(almost, { temperature: 0, logitBias: noEnd(model) });
    assert.equal(full.finishReason, 'length');
    assert.equal(full.tokens.length, 7); // 6 fit after the prompt, and the last needs no row
  });

  it('refuses bad settings and tokens by name', async () => {
    await assert.rejects(model.generate(prompt, { temperature: -1 }), { code: 'usage' });
    await assert.rejects(model.generate([1, 2, 1e6]), { code: 'usage' });
    await assert.rejects(model.generate(prompt, { stop: '' }), { code: 'usage' });
  });
});

describe('disposing', () => {
  const options = { temperature: 0, maxTokens: 100 };
  const open = () => loadModel('default', { threads: 1, contextLength: 256 });

  it('of a model ends what runs as an abort does, and refuses what comes after', async () => {
    const model = await open();
    const session = model.createSession();
    const settings = { ...options, logitBias: noEnd(model) };
    let disposing: Promise<void> | undefined;
    const reasons: string[] = [];
    let pieces = 0;
    const read = async (stream: AsyncIterable<StreamEvent>) => {
      for await (const event of stream) {
        if (event.type === 'end') reasons.push(event.generation.finishReason);
        else if (++pieces === 5) disposing = model.dispose();
      }
    };
    await Promise.all([
      read(model.stream(prompt, settings)),
      read(session.stream(prompt, { ...settings, draft: 'none' })),
      read(model.stream('# ', settings)),
    ]);
    assert.deepEqual(reasons, ['abort', 'abort', 'abort']);
    await disposing;
    const disposed = { code: 'disposed' };
    assert.throws(() => model.createSession(), disposed);
    assert.throws(() => session.fork(), disposed);
    assert.throws(() => session.truncate(0), disposed);
    await assert.rejects(session.generate(prompt), disposed);
    await assert.rejects(model.generate(prompt), disposed);
    session.dispose();
    await model.dispose();
  });

  it('ends what is only being prepared in the same way', async () => {
    const model = await open();
    const session = model.createSession();
    const constraint = { type: 'regex', pattern: '[a-z]{3,20}' } as const;
    const stopped = new AbortController();
    const { signal } = stopped;
    const aborted = model.createSession().generate(prompt, { ...options, constraint, signal });
    stopped.abort();
    const one = session.generate(prompt, { ...options, constraint, logprobs: 1 });
    session.dispose();
    assert.equal((await aborted).finishReason, 'abort');
    assert.deepEqual([(await one).finishReason, (await one).tokens], ['abort', []]);
    const two = (['auto', 'ngram', 'none'] as const).map((draft) =>
      model.generate(prompt, { draft }),
    );
    await model.dispose();
    for (const { finishReason } of await Promise.all(two)) assert.equal(finishReason, 'abort');
  });

  it('of a model while all kinds of drafters compute harms nothing', async () => {
    for (const delay of [0, 3, 10, 30, 60, 100]) {
      const model = await open();
      const kinds = ['mtp', 'dflash', 'auto', 'ngram'] as const;
      const settings = { ...options, logitBias: noEnd(model) };
      const texts = kinds.map((draft) => model.generate(prompt, { ...settings, draft }));
      await new Promise((resolve) => setTimeout(resolve, delay));
      await model.dispose();
      for (const { finishReason } of await Promise.all(texts)) {
        assert.ok(['abort', 'length'].includes(finishReason));
      }
    }
  });

  it('of a session ends what runs as an abort does, and frees its memory then', async () => {
    await using model = await open();
    const session = model.createSession();
    const reasons: string[] = [];
    for await (const event of session.stream(prompt, { ...options, logitBias: noEnd(model) })) {
      if (event.type === 'end') reasons.push(event.generation.finishReason);
      else session.dispose();
    }
    assert.deepEqual(reasons, ['abort']);
    assert.equal(session.busy, false);
    await assert.rejects(session.generate(prompt), { code: 'disposed' });
    // Others go on.
    assert.equal((await model.generate(prompt, greedy)).tokens.length, greedy.maxTokens);
  });
});

/** A bias against everything that ends a text. */
function noEnd(model: Model): Record<number, number> {
  const ends = model.tokenizer.vocabulary.endOfGeneration;
  return Object.fromEntries([...ends].map((id) => [id, Number.NEGATIVE_INFINITY]));
}

describe('a text that continues a prompt, with SentencePiece', () => {
  const path = temporaryFile('sentencepiece.gguf');
  before(() => writeGguf(path, randomModel({ architecture: 'llama', layers: 1 })));

  it('keeps the space before its first word, which stop strings see', async () => {
    await using model = await loadModel(path, { threads: 1 });
    const { tokenizer } = model;
    const word = tokenizer.tokenId('▁w40') as number;
    const options = { temperature: 0, maxTokens: 2, logitBias: { [word]: 1000 } };
    const { text } = await model.generate('ab', options);
    assert.equal(text, ' w40 w40');
    const stopped = await model.generate('ab', { ...options, stop: ' w' });
    assert.equal(stopped.finishReason, 'stop');
    assert.equal(stopped.text, '');
  });

  it('begins with one BOS, whether the prompt has it or not', async () => {
    await using model = await loadModel(path, { threads: 1 });
    const greedy = { temperature: 0, maxTokens: 2 };
    const plain = await model.generate('a b', greedy);
    const named = await model.generate('<s>a b', greedy);
    assert.equal(named.promptTokens, plain.promptTokens);
    assert.deepEqual(named.tokens, plain.tokens);
  });
});
