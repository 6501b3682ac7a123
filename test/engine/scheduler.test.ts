/** Whose rows share a pass, who waits for whom, and that none of it shows in a text. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import type { PassRequest } from '../../src/engine/pass-runner.js';
import type {
  DraftKind,
  GenerateOptions,
  Generation,
  StreamEvent,
} from '../../src/engine/types.js';
import { loadModel, type Model } from '../../src/index.js';

const long = (model: Model, tokens: number): number[] => {
  const text = model.tokenizer.encode('export const value = compute(first, second);\n');
  return Array.from({ length: tokens }, (_, at) => text[at % text.length] ?? 0);
};

/** Sees the requests of every pass. */
function watch(model: Model): PassRequest[][] {
  const passes: PassRequest[][] = [];
  const { runner } = model.runtime;
  const run = runner.run.bind(runner);
  runner.run = (requests, signal) => {
    passes.push([...requests]);
    return run(requests, signal);
  };
  return passes;
}

describe('the scheduler', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { threads: 1, contextLength: 2048 });
  });
  after(() => model.dispose());

  const kinds: readonly DraftKind[] = ['none', 'ngram', 'mtp', 'dflash', 'auto'];
  const settings = (index: number): GenerateOptions => ({
    ...{
      temperature: 0.9,
      seed: index,
      maxTokens: 20,
      draft: kinds[index % kinds.length] ?? 'none',
    },
  });
  const prompts = Array.from(
    { length: 10 },
    (_, index) => `export function f${index}(a: string) {`,
  );

  it('lets texts share passes whatever their readers and drafters do', async () => {
    const alone: Generation[] = [];
    for (const [index, prompt] of prompts.entries()) {
      alone.push(await model.generate(prompt, { ...settings(index), draft: 'none' }));
    }
    const passes = watch(model);
    const together = prompts.map(async (prompt, index) => {
      const tokens: number[] = [];
      for await (const event of model.stream(prompt, settings(index))) {
        if (event.type === 'text') tokens.push(...event.tokens);
        // Some readers take their time.
        if (index % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
        if (index % 3 === 1) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return tokens;
    });
    assert.deepEqual(
      await Promise.all(together),
      alone.map(({ tokens }) => tokens),
    );
    const texts = passes.map((requests) => requests.length);
    const mean = texts.reduce((sum, count) => sum + count, 0) / texts.length;
    // The last ones are alone, as texts with drafts end sooner.
    assert.ok(mean > 4, `${mean} texts a pass: ${texts}`);
  });

  it('reads a short prompt while a long one is read, and lets texts go on meanwhile', async () => {
    const stop = new AbortController();
    const options = { temperature: 0, draft: 'none', signal: stop.signal } as const;
    const stream = model.stream(prompts[0] ?? '', { ...options, logitBias: noEnd(model) });
    // Costs are learnt.
    for (let step = 0; step < 12; step++) await stream.next();
    const running = (async () => {
      for await (const _ of stream);
    })();
    const passes = watch(model);
    const order: string[] = [];
    const reading = model
      .generate(long(model, 1800), { maxTokens: 1, draft: 'none' })
      .then(() => order.push('long'));
    await new Promise((resolve) => setImmediate(resolve));
    const short = model
      .generate(long(model, 30), { maxTokens: 1, draft: 'none' })
      .then(() => order.push('short'));
    await Promise.all([reading, short]);
    stop.abort();
    await running;
    assert.deepEqual(order, ['short', 'long']);
    const slices = passes.map((requests) => requests.map(({ tokens }) => tokens.length));
    const reads = slices.filter((sizes) => sizes.some((size) => size > 1));
    assert.ok(reads.length >= 3, `${reads.length} slices`);
    assert.ok(
      reads.every((sizes) => sizes.includes(1)),
      'the running text is in every pass',
    );
  });

  it('makes a slow reader wait for itself alone, and only when it is far behind', async () => {
    const slow = model.stream(prompts[1] ?? '', { temperature: 0, maxTokens: 300, draft: 'none' });
    await slow.next();
    const other = { temperature: 0, maxTokens: 300, draft: 'none' } as const;
    const quick = await model.generate(prompts[2] ?? '', { ...other, logitBias: noEnd(model) });
    assert.equal(quick.tokens.length, 300);
    // What was said meanwhile is there at once, and is bounded.
    let ready = 0;
    for (;;) {
      const next = await Promise.race([slow.next(), soon()]);
      if (next === undefined || next.done) break;
      ready++;
      if (ready > 200) break;
    }
    assert.ok(ready >= 60 && ready < 200, `${ready} events`);
    await slow.return();
  });

  it('gives the place of a reader that stands still to others, and goes on when it reads', async () => {
    await using small = await loadModel('default', {
      ...{ threads: 1, contextLength: 512, maxRunning: 1, maxWaiting: 1 },
    });
    const options = {
      maxTokens: 200,
      temperature: 0,
      draft: 'none',
      logitBias: noEnd(small),
    } as const;
    const stalled = prompts.slice(0, 3).map((prompt) => small.stream(prompt, options));
    for (const stream of stalled) await stream.next();
    const quick = await small.generate(prompts[5] ?? '', { ...options, maxTokens: 5 });
    assert.equal(quick.tokens.length, 5);
    const ends = await Promise.all(stalled.map(readAll));
    for (const [index, prompt] of prompts.slice(0, 3).entries()) {
      assert.deepEqual(ends[index], (await small.generate(prompt, options)).tokens);
    }
  });

  it('ends only the text that is aborted, in a pass that is shared', async () => {
    const stop = new AbortController();
    const many = { maxTokens: 60, temperature: 0, logitBias: noEnd(model) };
    const kept = model.generate(prompts[3] ?? '', many);
    const cut = model.generate(prompts[4] ?? '', { ...many, maxTokens: 500, signal: stop.signal });
    setTimeout(() => stop.abort(), 30);
    assert.equal((await cut).finishReason, 'abort');
    assert.equal((await kept).finishReason, 'length');
  });

  it('keeps to a limit of texts at once; what waits is served by priority, then by age', async () => {
    await using small = await loadModel('default', {
      ...{ threads: 1, contextLength: 256, maxRunning: 1, maxWaiting: 3 },
    });
    const order: string[] = [];
    const run = async (name: string, priority = 0) => {
      const options = { maxTokens: 3, temperature: 0, priority };
      const { timings } = await small.generate(prompts[5] ?? '', options);
      order.push(name);
      return timings;
    };
    const first = run('first');
    // The first one runs before the others come.
    await new Promise((resolve) => setImmediate(resolve));
    const others = [run('second'), run('third'), run('urgent', 5)];
    await new Promise((resolve) => setImmediate(resolve));
    await assert.rejects(run('too many'), { code: 'busy' });
    const [running, ...waited] = await Promise.all([first, ...others]);
    assert.deepEqual(order, ['first', 'urgent', 'second', 'third']);
    assert.ok(waited.every(({ queueMs }) => queueMs > running.queueMs));
  });

  it('refuses the last of the least urgent when the queue is full of them', async () => {
    await using small = await loadModel('default', {
      ...{ threads: 1, contextLength: 256, maxRunning: 1, maxWaiting: 3 },
    });
    const order: string[] = [];
    const run = async (name: string, priority: number) => {
      try {
        await small.generate(prompts[5] ?? '', { maxTokens: 3, temperature: 0, priority });
        order.push(name);
      } catch (error) {
        assert.ok(PacelineError.is(error) && error.code === 'busy' && error.hint, String(error));
        order.push(`${name} is refused`);
      }
    };
    const first = run('first', 9);
    await new Promise((resolve) => setImmediate(resolve));
    const others = [run('low', -1), run('usual', 0), run('later', 0)];
    await new Promise((resolve) => setImmediate(resolve));
    // As urgent as the least is not more urgent; then each takes the place of the least urgent left.
    const late = [run('as low', -1), run('urgent', 5), run('urgent too', 5), run('calm', 0)];
    await Promise.all([first, ...others, ...late]);
    assert.deepEqual(order.slice(0, 4).sort(), [
      'as low is refused',
      'calm is refused',
      'later is refused',
      'low is refused',
    ]);
    assert.deepEqual(order.slice(4), ['first', 'urgent', 'urgent too', 'usual']);
    assert.deepEqual(small.runtime.scheduler.load, { running: 0, waiting: 0 });
  });

  it('frees the memory of streams that were begun and dropped', async () => {
    const { scheduler } = model.runtime;
    const begin = async () => {
      const stream = model.stream(prompts[6] ?? '', { maxTokens: 2000, temperature: 0 });
      await stream.next();
    };
    await begin();
    const collect = (globalThis as { gc?: () => void }).gc;
    if (collect === undefined) {
      const { setFlagsFromString } = await import('node:v8');
      const { runInNewContext } = await import('node:vm');
      setFlagsFromString('--expose-gc');
      (globalThis as { gc?: () => void }).gc = runInNewContext('gc') as () => void;
    }
    for (let round = 0; round < 100 && scheduler.load.running > 0; round++) {
      (globalThis as { gc?: () => void }).gc?.();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual(scheduler.load, { running: 0, waiting: 0 });
  });
});

async function readAll(stream: AsyncIterable<StreamEvent>): Promise<readonly number[]> {
  for await (const event of stream) if (event.type === 'end') return event.generation.tokens;
  return [];
}

function soon(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(() => setImmediate(() => resolve(undefined))));
}

/** A bias against everything that ends a text. */
function noEnd(model: Model): Record<number, number> {
  const ends = model.tokenizer.vocabulary.endOfGeneration;
  return Object.fromEntries([...ends].map((id) => [id, Number.NEGATIVE_INFINITY]));
}
