/**
 * vLLM itself, installed by our installer: that it serves a model that our tools wrote, that its greedy
 * tokens are ours, and what its processes do when they are killed or stopped. What is found here is what
 * `src/backends` relies on.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { vllm } from '../../src/backends/vllm.js';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { temporaryFile } from '../support/tiny-model.js';
import { vllmCheckpoint } from './vllm-checkpoint.js';
import { groupOf, until, VllmProcess } from './vllm-process.js';

interface Choice {
  readonly text?: string;
  readonly token_ids?: readonly number[] | null;
  readonly finish_reason: string | null;
  readonly message?: { readonly content: string };
}

interface Answer {
  readonly choices: readonly Choice[];
  readonly usage?: { readonly completion_tokens: number; readonly prompt_tokens: number };
}

const greedy = { temperature: 0, ignore_eos: true } as const;

/** Events of a stream until it ends, and whether it ended as it should. */
async function eventsOf(response: Response): Promise<{ data: string[]; whole: boolean }> {
  const data: string[] = [];
  let rest = '';
  try {
    for await (const bytes of response.body ?? []) {
      rest += new TextDecoder().decode(bytes as Uint8Array);
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('data: ')) data.push(line.slice(6));
    }
  } catch {
    return { data, whole: false };
  }
  return {
    data,
    // It may end what it gave up as if that were whole, but for the reason.
    whole:
      data.at(-1) === '[DONE]' &&
      !data.some((event) => /"error"|"finish_reason":\s*"abort"/.test(event)),
  };
}

describe('vLLM', () => {
  let engine: VllmProcess;
  let folder: string;
  before(async () => {
    folder = vllmCheckpoint();
    engine = await VllmProcess.start(folder, ['--dtype', 'float32']);
  });
  after(() => engine?.[Symbol.asyncDispose]());

  test('its greedy tokens are those of our own engine on the converted checkpoint', async () => {
    const output = temporaryFile('vllm-tiny.gguf');
    await convertCheckpoint({ checkpoint: folder, output, type: 'f32', threads: 1 });
    await using model = await loadModel(output, { threads: 1 });
    for (const prompt of [[72, 101, 108], [1, 2, 3, 250, 17, 99, 31, 8, 8, 8], [300]]) {
      const answer = (await (
        await engine.ask('/v1/completions', {
          ...{ prompt, max_tokens: 24, return_token_ids: true, ...greedy },
          allowed_token_ids: Array.from({ length: 318 }, (_, id) => id),
        })
      ).json()) as Answer;
      const ours = await model.generate(prompt, { maxTokens: 24, temperature: 0 });
      const theirs = answer.choices[0]?.token_ids ?? [];
      assert.ok(theirs.length > 0);
      // Ours ends at the end token, which theirs may not choose.
      const length = Math.min(ours.tokens.length, theirs.length);
      assert.ok(length > 0);
      assert.deepEqual(theirs.slice(0, length), ours.tokens.slice(0, length));
    }
  });

  test('a stream is the answer that is not streamed, with its counts', async () => {
    const body = { prompt: 'Hello there', max_tokens: 40, ...greedy };
    const whole = (await (await engine.ask('/v1/completions', body)).json()) as Answer;
    const stream = await engine.ask('/v1/completions', {
      ...{ ...body, stream: true, stream_options: { include_usage: true } },
    });
    const { data, whole: ended } = await eventsOf(stream);
    assert.ok(ended);
    const events = data.slice(0, -1).map((event) => JSON.parse(event) as Answer);
    const text = events.map(({ choices }) => choices[0]?.text ?? '').join('');
    assert.equal(text, whole.choices[0]?.text);
    assert.equal(events.at(-1)?.usage?.completion_tokens, 40);
    assert.equal(whole.usage?.completion_tokens, 40);
  });

  test('a schema holds with random weights', async () => {
    const schema = {
      type: 'object',
      properties: { yes: { type: 'boolean' }, name: { enum: ['a', 'b'] } },
      required: ['yes', 'name'],
      additionalProperties: false,
    };
    const answer = (await (
      await engine.ask('/v1/chat/completions', {
        messages: [{ role: 'user', content: 'Say it.' }],
        ...{ max_tokens: 200, temperature: 1, seed: 3 },
        response_format: { type: 'json_schema', json_schema: { name: 's', schema } },
      })
    ).json()) as Answer;
    const value = JSON.parse(answer.choices[0]?.message?.content ?? '') as Record<string, unknown>;
    assert.deepEqual(Object.keys(value).sort(), ['name', 'yes']);
    assert.equal(typeof value.yes, 'boolean');
  });

  test('eight streams at once are each the text that one alone has', async () => {
    const bodies = Array.from({ length: 8 }, (_, at) => ({
      ...{ prompt: `Text ${at}`, max_tokens: 30, ...greedy },
    }));
    const together = await Promise.all(
      bodies.map(async (body) => (await engine.ask('/v1/completions', body)).json()),
    );
    for (const [at, body] of bodies.entries()) {
      const alone = (await (await engine.ask('/v1/completions', body)).json()) as Answer;
      assert.equal((together[at] as Answer).choices[0]?.text, alone.choices[0]?.text);
    }
  });

  test('its core killed during streams: each ends, none as if it were whole, and a worker stays', async () => {
    const body = { prompt: 'Long', max_tokens: 1900, stream: true, ...greedy };
    let begin: () => void = () => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const reading = [1, 2, 3, 4].map(async () => {
      const response = await engine.ask('/v1/completions', body);
      begin();
      return eventsOf(response);
    });
    const settled = Promise.allSettled(reading);
    // Seconds later all would have been told to their ends.
    await begun;
    const core = groupOf(engine.pid).find(({ name }) => name.startsWith('VLLM::EngineCore'));
    assert.ok(core !== undefined);
    process.kill(core.pid, 'SIGKILL');
    for (const result of await settled) {
      if (result.status === 'fulfilled') assert.equal(result.value.whole, false);
    }
    await engine.ended;
    assert.equal(await engine.answers(), false);
    // Why whoever starts it has to end the whole group: the worker keeps its memory.
    assert.ok(groupOf(engine.pid).some(({ name }) => name.startsWith('VLLM::Worker')));
    await engine[Symbol.asyncDispose]();
    await until(() => groupOf(engine.pid).length === 0);
  });

  test('asked to stop under a stream, it leaves nothing behind', async (t) => {
    engine = await VllmProcess.start(folder);
    const body = { prompt: 'Long', max_tokens: 1900, stream: true, ...greedy };
    const reading = eventsOf(await engine.ask('/v1/completions', body));
    await delay(200);
    engine.signal('SIGTERM');
    // vLLM 0.32 may stop its core before the stream's last words, and then waits for their reader for ever;
    // so whoever started it ends the group when the descriptor's patience is over, as we do.
    const patience = 1000 * (vllm.launch?.stop.patience ?? 0);
    const alone = await Promise.race([engine.ended.then(() => true), delay(patience, false)]);
    t.diagnostic(alone ? 'it ended by itself' : 'it had to be ended');
    await engine[Symbol.asyncDispose]();
    const { data } = await reading;
    assert.ok(data.length > 0);
    await until(() => groupOf(engine.pid).length === 0);
  });
});
