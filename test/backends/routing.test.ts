import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Breaker } from '../../src/backends/routing/breaker.js';
import { AffinityMemory, chooseUpstream } from '../../src/backends/routing/choose.js';
import { PacelineError } from '../../src/base/errors.js';
import { type Behaviour, fakeWords } from './fake-upstream.js';
import { chatRequest, fakeEngine, finished } from './support.js';

const whole = fakeWords.join('');

function coded(code: string) {
  return (error: unknown): boolean => PacelineError.is(error) && error.code === code;
}

describe('the choice of an upstream', () => {
  const candidates = [
    { id: 'a', outstanding: 3, slots: 8 },
    { id: 'b', outstanding: 1, slots: 8 },
    { id: 'c', outstanding: 1, slots: 8 },
  ];

  it('takes the least busy, and equals in turn', () => {
    assert.equal(chooseUpstream(candidates, { turn: 0 })?.id, 'b');
    assert.equal(chooseUpstream(candidates, { turn: 1 })?.id, 'c');
  });

  it('stays with a conversation unless that one is much busier or full', () => {
    assert.equal(chooseUpstream(candidates, { turn: 0, last: 'a' })?.id, 'a');
    const busy = [{ id: 'a', outstanding: 5, slots: 8 }, ...candidates.slice(1)];
    assert.equal(chooseUpstream(busy, { turn: 0, last: 'a' })?.id, 'b');
    const full = [{ id: 'a', outstanding: 2, slots: 2 }, ...candidates.slice(1)];
    assert.equal(chooseUpstream(full, { turn: 0, last: 'a' })?.id, 'b');
    assert.equal(chooseUpstream([{ id: 'a', outstanding: 1, slots: 1 }], { turn: 0 }), undefined);
  });

  it('forgets the oldest conversations', () => {
    const memory = new AffinityMemory(2);
    for (const name of ['x', 'y', 'z']) memory.remember(name, 'a');
    assert.equal(memory.find('x'), undefined);
    assert.equal(memory.find('z'), 'a');
  });
});

describe('the circuit breaker', () => {
  it('opens after failures in a row, for longer each time, and closes by health', () => {
    let now = 0;
    const breaker = new Breaker({
      threshold: 2,
      firstPauseMs: 10,
      longestPauseMs: 25,
      now: () => now,
    });
    breaker.failed({ hard: false });
    breaker.succeeded();
    breaker.failed({ hard: false });
    assert.equal(breaker.isClosed, true);
    breaker.failed({ hard: false });
    assert.equal(breaker.isClosed, false);
    assert.equal(breaker.mayProbe, false);
    now = 10;
    assert.equal(breaker.mayProbe, true);
    breaker.probed(false);
    now = 29;
    assert.equal(breaker.mayProbe, false);
    now = 30;
    breaker.probed(true);
    assert.equal(breaker.isClosed, true);
    breaker.failed({ hard: true });
    assert.equal(breaker.isClosed, false);
    now = 54;
    assert.equal(breaker.mayProbe, false);
    now = 55;
    assert.equal(breaker.mayProbe, true);
  });
});

describe('requests to several upstreams', () => {
  const bad: Record<string, Behaviour> = {
    'a connection that breaks before the first word': { type: 'drop', words: 0 },
    'garbled events': { type: 'garble' },
    'status 500': { type: 'status', status: 500 },
    'status 503': { type: 'status', status: 503 },
    'status 429': { type: 'status', status: 429 },
    'a stream without an end': { type: 'chunks', chunks: [] },
    'an error inside of the stream': { type: 'chunks', chunks: [{ error: { message: 'no' } }] },
  };
  for (const [name, behaviour] of Object.entries(bad)) {
    it(`goes to the next upstream after ${name}`, async (t) => {
      let calls = 0;
      const behave = (): Behaviour => (calls++ === 0 ? behaviour : { type: 'answer' });
      const { engine } = await fakeEngine(t, [{ behave }, { behave }]);
      const { choices } = await finished(engine, chatRequest());
      assert.equal(choices[0]?.text, whole);
      assert.equal(calls, 2);
    });
  }

  it('does not run again what was begun', async (t) => {
    let calls = 0;
    const behave = (): Behaviour => {
      calls += 1;
      return { type: 'drop', words: 2 };
    };
    const { engine } = await fakeEngine(t, [{ behave }, { behave }]);
    const events: string[] = [];
    await assert.rejects(
      finished(engine, chatRequest(), { onEvent: ({ type }) => events.push(type) }),
      coded('network'),
    );
    assert.equal(calls, 1);
    assert.deepEqual(events, ['start', 'text', 'text'].slice(0, events.length));
    assert.ok(events.includes('text'));
  });

  it('gives up a request that every upstream fails, after three', async (t) => {
    const behave = (): Behaviour => ({ type: 'drop', words: 0 });
    const { engine, upstreams } = await fakeEngine(t, [{ behave }, { behave }]);
    await assert.rejects(finished(engine, chatRequest()), coded('network'));
    assert.equal(
      upstreams.reduce((sum, { requests }) => sum + requests.length, 0),
      3,
    );
  });

  it('does not send a request again that was wrong', async (t) => {
    const behave = (): Behaviour => ({ type: 'status', status: 400 });
    const { engine, upstreams } = await fakeEngine(t, [{ behave }, { behave }]);
    await assert.rejects(finished(engine, chatRequest()), coded('usage'));
    assert.equal(
      upstreams.reduce((sum, { requests }) => sum + requests.length, 0),
      1,
    );
  });

  it('waits as long as a busy upstream says, and then asks it again', async (t) => {
    const behave = (number: number): Behaviour =>
      number === 0 ? { type: 'status', status: 429, retryAfter: 0 } : { type: 'answer' };
    const { engine } = await fakeEngine(t, [{ behave }]);
    assert.equal((await finished(engine, chatRequest())).choices[0]?.text, whole);
  });

  it('keeps turns of a conversation on one upstream', async (t) => {
    const { engine, upstreams } = await fakeEngine(t, [{}, {}]);
    for (let turn = 0; turn < 4; turn++) {
      await finished(engine, chatRequest({ affinity: 'one' }));
      await finished(engine, chatRequest({ affinity: 'two' }));
    }
    assert.deepEqual(
      upstreams.map(({ requests }) => requests.length),
      [4, 4],
    );
  });

  it('gives a silent upstream up when its health is bad, and only then', async (t) => {
    let calls = 0;
    const behave = (): Behaviour =>
      calls++ === 0 ? { type: 'stall', words: 0 } : { type: 'answer' };
    const { engine, upstreams } = await fakeEngine(t, [{ behave }], { silenceMs: 30 });
    const running = finished(engine, chatRequest());
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(calls, 1);
    for (const upstream of upstreams) upstream.well = false;
    setTimeout(() => {
      for (const upstream of upstreams) upstream.well = true;
    }, 100);
    assert.equal((await running).choices[0]?.text, whole);
    assert.equal(calls, 2);
  });

  it('holds requests back in a queue with an end', async (t) => {
    const behave = (): Behaviour => ({ type: 'answer', pauseMs: 5 });
    const { engine } = await fakeEngine(t, [{ behave }], { upstreamSlots: 1, queueLimit: 2 });
    const running = [1, 2, 3].map(() => finished(engine, chatRequest()));
    await assert.rejects(finished(engine, chatRequest()), coded('busy'));
    for (const { choices } of await Promise.all(running)) assert.equal(choices[0]?.text, whole);
  });

  it('lets go of an upstream when the client has gone', async (t) => {
    const behave = (): Behaviour => ({ type: 'stall', words: 1 });
    const { engine } = await fakeEngine(t, [{ behave }]);
    const gone = new AbortController();
    const onEvent = ({ type }: { readonly type: string }): void => {
      if (type === 'text') gone.abort();
    };
    await assert.rejects(
      finished(engine, chatRequest(), { signal: gone.signal, onEvent }),
      coded('aborted'),
    );
    assert.equal(engine.reports[0]?.outstanding, 0);
    assert.equal(engine.busy, 0);
  });

  it('loses no request of 8 streams while upstreams are killed 50 times', async (t) => {
    const behave = (): Behaviour => ({ type: 'answer', pauseMs: 2 });
    const { engine, upstreams } = await fakeEngine(t, [{ behave }, { behave }], {
      patienceMs: 30_000,
    });
    let killing = true;
    let words = 0;
    const outcomes = { whole: 0, broken: 0 };
    const stream = async (): Promise<void> => {
      while (killing) {
        let told = 0;
        try {
          const { choices } = await finished(engine, chatRequest(), {
            onEvent: ({ type }) => {
              if (type !== 'text') return;
              told += 1;
              words += 1;
            },
          });
          assert.equal(choices[0]?.text, whole);
          outcomes.whole += 1;
        } catch (error) {
          // Only what was begun may fail, and says so.
          assert.ok(PacelineError.is(error) && error.code === 'network', String(error));
          assert.ok(told > 0, 'a request failed that had not begun to answer');
          outcomes.broken += 1;
        }
      }
    };
    const streams = Array.from({ length: 8 }, stream);
    for (let round = 0; round < 50; round++) {
      const upstream = upstreams[round % 2];
      // A request that kills three engines before its first word is told so: on a busy machine kills wait for words.
      const enough = words + streams.length;
      const until = performance.now() + 5000;
      do await new Promise((resolve) => setTimeout(resolve, 10));
      while (words < enough && performance.now() < until);
      await upstream?.kill();
      await new Promise((resolve) => setTimeout(resolve, 10));
      await upstream?.start();
    }
    killing = false;
    await Promise.all(streams);
    assert.ok(outcomes.whole > 0 && outcomes.broken > 0, JSON.stringify(outcomes));
    assert.equal(engine.busy, 0);
  });
});
