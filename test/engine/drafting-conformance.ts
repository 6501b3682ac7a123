/**
 * What the engine promises about drafting, for one target and its drafters: the text, its log
 * probabilities and its end are those of plain decoding, whatever the session has been through; and
 * the guesses are too, because they depend on the text alone. The second is what users notice: state
 * that is lost or stale gives the right text, slowly.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Drafter } from '../../src/decode/drafter.js';
import type { DraftKind, GenerateOptions, Generation } from '../../src/engine/types.js';
import { type Model, Session } from '../../src/index.js';

export interface DraftingConformanceOptions {
  /** Has all the drafters named, and ngram. */
  readonly model: () => Model;
  readonly kinds: readonly DraftKind[];
  /** Tokens that the text is made of: few, so that random draft models are right now and then. */
  readonly alphabet: readonly number[];
  /** A prompt of so many of them. */
  readonly promptLength: number;
}

export function draftingConformance(name: string, o: DraftingConformanceOptions): void {
  const check = (title: string, body: (kind: DraftKind) => Promise<void>) => {
    for (const kind of o.kinds) it(`${name}, ${kind}: ${title}`, () => body(kind));
  };
  const symbols = (count: number, from: number): number[] =>
    Array.from({ length: count }, (_, at) => {
      const index = (from + at * at * 7 + at * 3) % o.alphabet.length;
      return o.alphabet[index] ?? 0;
    });
  const prompt = symbols(o.promptLength, 0);
  const other = symbols(o.promptLength + 3, 2);
  // Noise decides between the symbols, and drafters use the same.
  const usual = {
    ...{ temperature: 6, topK: 0, topP: 1, minP: 0, seed: 3, maxTokens: 40, logprobs: 2 },
    logitBias: Object.fromEntries(o.alphabet.map((token) => [token, 200])),
  } as const satisfies GenerateOptions;
  /** A text of so many tokens is read as a whole by all drafters when it is the prompt of another. */
  const short = 9;
  const fresh = async (
    tokens: readonly number[],
    options: GenerateOptions,
  ): Promise<Generation> => {
    const session = o.model().createSession();
    try {
      return await session.generate(tokens, { ...usual, ...options });
    } finally {
      session.dispose();
    }
  };
  /** Everything that must not depend on how it came about. */
  const essence = ({ tokens, text, logprobs, finishReason }: Generation) => ({
    ...{ tokens, text, logprobs, finishReason },
  });
  const guesses = ({ draft: { steps, drafted, accepted } }: Generation) => ({
    ...{ steps, drafted, accepted },
  });
  const same = (found: Generation, expected: Generation): void => {
    assert.deepEqual(essence(found), essence(expected));
    assert.deepEqual(guesses(found), guesses(expected), 'as many guesses, and as many right');
  };
  const using = async (body: (session: Session) => Promise<void>): Promise<void> => {
    const session = o.model().createSession();
    try {
      await body(session);
    } finally {
      session.dispose();
    }
  };

  check('the text of plain decoding, with guesses right and wrong', async (draft) => {
    for (const settings of [
      {},
      { temperature: 0 },
      { repetitionPenalty: 1.3, presencePenalty: 0.4, frequencyPenalty: 0.2, penaltyWindow: 9 },
      { topK: 3, topP: 0.9, minP: 0.02, seed: 8 },
      { logitBias: {}, seed: 5 },
    ]) {
      const plain = await fresh(prompt, { ...settings, draft: 'none' });
      const drafted = await fresh(prompt, { ...settings, draft });
      assert.deepEqual(essence(drafted), essence(plain), JSON.stringify(settings));
      assert.equal(plain.draft.drafted, 0);
    }
    const { draft: used } = await fresh(prompt, { draft });
    assert.ok(used.accepted > 4 && used.accepted < used.drafted, JSON.stringify(used));
  });

  check('a second request is as the first', (draft) =>
    using(async (session) => {
      await session.generate(other, { ...usual, draft });
      same(await session.generate(prompt, { ...usual, draft }), await fresh(prompt, { draft }));
      same(await session.generate(other, { ...usual, draft }), await fresh(other, { draft }));
    }),
  );

  check('truncated, it goes on as if the rest had never been', (draft) =>
    using(async (session) => {
      const expected = await fresh(prompt, { draft });
      await session.generate([...prompt, ...other], { ...usual, draft });
      for (const length of [prompt.length + 2, prompt.length, 5, 0]) {
        session.truncate(Math.min(length, session.tokens.length));
        same(await session.generate(prompt, { ...usual, draft }), expected);
      }
    }),
  );

  check('a fork and its origin both go on', (draft) =>
    using(async (session) => {
      const first = await session.generate(prompt, { ...usual, draft, maxTokens: short });
      const fork = session.fork();
      const [longer, elsewhere] = [first.tokens, other].map((more) => [...prompt, ...more]) as [
        number[],
        number[],
      ];
      const [a, b] = await Promise.all([
        session.generate(longer, { ...usual, draft }),
        fork.generate(elsewhere, { ...usual, draft }),
      ]);
      same(a, await fresh(longer, { draft }));
      same(b, await fresh(elsewhere, { draft }));
      // State that cannot go back has a checkpoint before the prompt's last token.
      assert.ok(a.cachedTokens > prompt.length && b.cachedTokens >= prompt.length - 1);
      fork.dispose();
    }),
  );

  check('a prefix that is kept keeps its guesses', (draft) =>
    using(async (session) => {
      let text = prompt;
      for (let turn = 0; turn < 3; turn++) {
        const options = { draft, maxTokens: short };
        const found = await session.generate(text, { ...usual, ...options });
        same(found, await fresh(text, options));
        assert.ok(turn === 0 || found.cachedTokens > text.length - 20);
        text = [...text, ...found.tokens, ...symbols(4, turn)];
      }
    }),
  );

  check('the token limit ends the text inside a draft', async (draft) => {
    const long = await fresh(prompt, { draft: 'none' });
    for (let maxTokens = 1; maxTokens <= 12; maxTokens++) {
      const found = await fresh(prompt, { draft, maxTokens });
      assert.deepEqual(found.tokens, long.tokens.slice(0, maxTokens));
      assert.equal(found.finishReason, 'length');
    }
  });

  check('a stop string ends the text inside a draft', async (draft) => {
    const { text } = await fresh(prompt, { draft: 'none' });
    const expected = await fresh(prompt, { draft });
    let inside = 0;
    for (let at = 2; at < 24; at += 2) {
      const stop = text.slice(at, at + 3);
      const plain = await fresh(prompt, { draft: 'none', stop });
      const session = o.model().createSession();
      let last: boolean | undefined;
      for await (const event of session.stream(prompt, { ...usual, draft, stop })) {
        if (event.type === 'text') last = event.drafted.at(-1) ?? last;
        else assert.deepEqual(essence(event.generation), essence(plain));
      }
      if (last) inside++;
      // What came after the stop string in the same pass is gone.
      same(await session.generate(prompt, { ...usual, draft }), expected);
      session.dispose();
    }
    assert.ok(inside > 0, 'some drafted token ended a text');
  });

  check(
    'aborted in the middle of a guess, the session goes on as if nothing had been',
    async (draft) => {
      const model = o.model();
      const expected = await fresh(prompt, { draft });
      for (const delay of ['at once', 'after a turn', 'after some turns'] as const) {
        for (const [step, proposals] of [1, 3].entries()) {
          const stop = new AbortController();
          const drafterSources = model.runtime.drafterSources.map((source) => ({
            ...source,
            open: () => interrupted(source.open(), proposals, delay, () => stop.abort()),
          }));
          const session = new Session(model.runtime, model.runtime.createText({ drafterSources }));
          const cut = await session.generate(prompt, { ...usual, draft, signal: stop.signal });
          assert.equal(cut.finishReason, 'abort', `${delay}, ${step}`);
          assert.deepEqual(cut.tokens, expected.tokens.slice(0, cut.tokens.length));
          // First what comes next is read at once, then from the beginning again.
          const further = [...prompt, ...cut.tokens, ...symbols(5, step)];
          const next = await session.generate(further, { ...usual, draft });
          same(next, await fresh(further, { draft }));
          assert.ok(next.cachedTokens > prompt.length - 2);
          same(await session.generate(prompt, { ...usual, draft }), expected);
          session.dispose();
        }
      }
    },
  );
}

/** The drafter, whose n-th proposal calls `abort` while it is made. */
function interrupted(
  drafter: Drafter,
  n: number,
  delay: 'at once' | 'after a turn' | 'after some turns',
  abort: () => void,
): Drafter {
  let asked = 0;
  return new Proxy(drafter, {
    get(object, key) {
      if (key !== 'propose') {
        const value: unknown = Reflect.get(object, key, object);
        return typeof value === 'function' ? value.bind(object) : value;
      }
      return (context: Parameters<Drafter['propose']>[0]) => {
        const answer = object.propose(context);
        if (++asked !== n) return answer;
        if (delay === 'at once') abort();
        else if (delay === 'after a turn') setImmediate(abort);
        else setImmediate(() => setImmediate(() => setImmediate(abort)));
        return answer;
      };
    },
  });
}

/** Several sessions at a time, each with a drafter and a length of its own. */
export function sharedPassConformance(
  name: string,
  { model, kinds, alphabet }: DraftingConformanceOptions,
): void {
  it(`${name}: sessions in one pass with different drafters and lengths do not notice`, async () => {
    const ways = [...kinds, 'ngram', 'none', 'auto', ...kinds] as const;
    const options = (index: number, draft: DraftKind): GenerateOptions => ({
      ...{ temperature: 6, topK: 0, topP: 1, minP: 0, seed: index, maxTokens: 10 + index * 9 },
      ...{ draft, logprobs: 1, draftMax: 1 + (index % 5) },
      logitBias: Object.fromEntries(alphabet.map((token) => [token, 200])),
    });
    const prompts = ways.map((_, index) =>
      Array.from({ length: 4 + index * 3 }, (__, at) => alphabet[(at * at + index) % 4] ?? 0),
    );
    const run = async (index: number, draft: DraftKind): Promise<Generation> => {
      const session = model().createSession();
      try {
        return await session.generate(prompts[index] ?? [], options(index, draft));
      } finally {
        session.dispose();
      }
    };
    const together = await Promise.all(ways.map((draft, index) => run(index, draft)));
    let accepted = 0;
    for (const [index, draft] of ways.entries()) {
      const found = together[index] as Generation;
      const plain = await run(index, 'none');
      assert.deepEqual(found.tokens, plain.tokens, `${draft} of ${index}`);
      assert.deepEqual(found.logprobs, plain.logprobs, `${draft} of ${index}`);
      accepted += found.draft.accepted;
      if (draft === 'auto') continue;
      const { draft: alone } = await run(index, draft);
      assert.equal(found.draft.drafted, alone.drafted);
      assert.equal(found.draft.accepted, alone.accepted);
    }
    assert.ok(accepted > 10);
  });
}
