/**
 * Texts on one model of every kind of state, longer than several windows: the tokens and
 * log-probabilities are those of a text whose state keeps every row, whatever the session has been
 * through, and what is computed again is what its kind cannot bring back.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LayeredState } from '../../src/cache/layered-state.js';
import type { Range } from '../../src/cache/ranges.js';
import type { RowMemory } from '../../src/cache/row-memory.js';
import type { GenerateOptions, LoadOptions } from '../../src/engine/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { type Generation, loadModel, type Model, type Progress, Session } from '../../src/index.js';
import type { LayerState } from '../../src/models/layer-state.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

const shape = {
  ...{ layers: 4, embedding: 64, heads: 2, kvHeads: 1, headDim: 64, inner: 64 },
  ...{ vocab: 331, context: 4096 },
} as const;

export type StateKind = RandomModelOptions & { readonly kvType?: LoadOptions['kvType'] };

const options = {
  ...{ temperature: 0.8, seed: 5, maxTokens: 24, logprobs: 1, draft: 'none' },
} as const satisfies GenerateOptions;

/** The beginning of every message. */
const control = 1;
const message = (length: number, salt: number): number[] => [
  control,
  ...Array.from({ length: length - 1 }, (_, at) => 262 + ((at * at * 7 + at * 3 + salt) % 60)),
];
const messages = [300, 420, 150, 500, 90].map((length, salt) => message(length, salt));
const conversation = messages.flat();
const ends = messages.map((_, at) => messages.slice(0, at + 1).flat().length);

/** Lost rows may keep their bytes for a while: here they do not. */
function spoil(memory: RowMemory, { from, end }: Range): void {
  memory.write(from, end, new Uint8Array(memory.bytesOf(from, end)).fill(0xff));
}

export function stateKindSuite(name: string, { kvType, ...target }: StateKind): void {
  describe(`texts with a state of ${name}`, () => {
    const file = temporaryFile(`kinds-${name}.gguf`);
    let model: Model;
    let plain: Model;
    const load = (more: LoadOptions = {}) =>
      loadModel(file, {
        ...{ threads: 1, contextLength: 3000, prefillChunk: 96 },
        ...(kvType ? { kvType } : {}),
        ...more,
      });
    before(async () => {
      await writeGguf(file, randomModel({ ...shape, ...target }));
      model = await load();
      plain = await load({ prefillChunk: 512 });
    });
    after(() => Promise.all([model.dispose(), plain.dispose()]));

    /** What a state is made of, and of how many bytes' type. */
    const open = (own: Model, change: (layer: LayerState) => LayerState = (layer) => layer) => {
      using sample = own.runtime.createState();
      const state = new LayeredState({
        ...{
          backend: own.runtime.backend,
          capacity: sample.capacity,
          identity: sample.fingerprint,
        },
        layers: own.runtime.model.layerStates().map(change),
        type: sample.layer(own.runtime.model.layerStates().findIndex(keepsRows)).k.type,
        onLost: spoil,
      });
      return new Session(own.runtime, own.runtime.createText({ state }));
    };
    const session = () => open(model);
    const known = new Map<string, Generation>();
    /** The text as a state of all rows gives it, in one go. */
    const expected = async (prompt: readonly number[], more: GenerateOptions = {}) => {
      const key = JSON.stringify([prompt, more]);
      const found = known.get(key);
      if (found !== undefined) return found;
      using whole = open(plain, (layer) =>
        layer.kind === 'rows' ? { ...layer, window: undefined } : layer,
      );
      const generation = await whole.generate(prompt, { ...options, ...more });
      known.set(key, generation);
      return generation;
    };
    const essence = ({ tokens, text, logprobs, finishReason }: Generation) => ({
      ...{ tokens, text, logprobs, finishReason },
    });
    /** Generates, compares, and says how many tokens of the prompt were computed again. */
    const check = async (own: Session, prompt: readonly number[], more: GenerateOptions = {}) => {
      const found = await own.generate(prompt, { ...options, ...more });
      const { draft: _, ...settings } = more;
      assert.deepEqual(essence(found), essence(await expected(prompt, settings)));
      return { ...found, computed: found.promptTokens - found.cachedTokens };
    };

    it('are those of a state that keeps everything', async () => {
      using own = session();
      await check(own, conversation);
      await check(own, conversation.slice(0, 200));
      await check(own, conversation, { maxTokens: 100, temperature: 0 });
    });

    it('are the same with drafts, right and wrong', async () => {
      using own = session();
      const { draft } = await check(own, conversation, {
        ...{ draft: 'ngram', maxTokens: 200, temperature: 6, topK: 0, topP: 1, minP: 0 },
        logitBias: Object.fromEntries([262, 263, 264].map((token) => [token, 200])),
      });
      assert.ok(draft.drafted > 0 && draft.accepted < draft.drafted, JSON.stringify(draft));
    });

    it('are the same in passes that others share', async () => {
      const sessions = [session(), session(), session()];
      const prompts = [conversation, conversation.slice(300), message(700, 9)];
      await Promise.all(prompts.map((prompt, at) => check(sessions[at] as Session, prompt)));
      for (const own of sessions) own.dispose();
    });

    it('come again for the price of the last token, and go on', async () => {
      using own = session();
      const first = await check(own, conversation);
      assert.equal((await check(own, conversation)).computed, 1);
      assert.equal((await check(own, conversation, { stop: first.text.slice(3, 5) })).computed, 1);
      const further = [...conversation, ...first.tokens, ...message(100, 7)];
      assert.ok((await check(own, further)).computed <= 101 + options.maxTokens);
    });

    it('cost the tokens since the last message that was not edited', async () => {
      const own = session();
      await check(own, conversation);
      for (const edited of [4, 3, 2]) {
        const start = ends[edited - 1] as number;
        const prompt = [...conversation.slice(0, start + 5), ...message(60, 20 + edited)];
        using fork = own.fork();
        const { computed } = await check(fork, prompt);
        assert.ok(computed <= 60 + 5 + 300, `${computed} after an edit of message ${edited}`);
      }
      own.dispose();
    });

    it('are independent in forks, and whole after cuts and aborts', async () => {
      using own = session();
      await check(own, conversation);
      using fork = own.fork();
      await check(fork, [...conversation.slice(0, 1200), ...message(400, 3)]);
      await check(own, [...conversation, ...message(200, 4)]);
      own.truncate(own.tokens.length - 30);
      await check(own, own.tokens.concat(message(20, 5)));
      const stop = new AbortController();
      setTimeout(() => stop.abort(), 30);
      await own.generate(message(1500, 6), { ...options, signal: stop.signal });
      await check(own, message(1500, 6));
      await check(fork, conversation);
    });

    it('are found in the store by another process, to the last token', async () => {
      const folder = temporaryFile(`kinds-store-${name}`);
      const edited = [...conversation.slice(0, (ends[2] as number) + 9), ...message(80, 30)];
      {
        await using first = await load({ cache: { folder } });
        using own = open(first);
        const { cachedTokens } = await check(own, conversation);
        assert.equal(cachedTokens, 0);
      }
      {
        await using second = await load({ cache: { folder } });
        using own = open(second);
        assert.equal((await check(own, conversation)).computed, 1);
        using other = open(second);
        assert.equal((await check(other, conversation)).computed, 1, 'from memory');
      }
      await using third = await load({ cache: { folder } });
      using own = open(third);
      const { computed } = await check(own, edited);
      assert.ok(computed <= 80 + 9, `${computed} after an edit`);
      const first = await expected(conversation);
      using other = open(third);
      const further = [...conversation, ...first.tokens, ...message(50, 31)];
      assert.ok((await check(other, further)).computed <= 51);
    });

    it('keep what an aborted prompt has computed, and use nothing that is damaged', async () => {
      const folder = temporaryFile(`kinds-broken-${name}`);
      const warnings: string[] = [];
      const cache = { folder, onWarning: (warning: string) => warnings.push(warning) };
      const prompt = message(2600, 40);
      {
        await using first = await load({ cache });
        using own = open(first);
        const stop = new AbortController();
        const onProgress = ({ done }: Progress) => {
          if (done >= 1500) stop.abort();
        };
        await own.generate(prompt, { ...options, signal: stop.signal, onProgress });
        assert.ok(own.tokens.length >= 1500 && own.tokens.length < prompt.length);
        using other = open(first);
        assert.ok((await check(other, prompt)).computed <= prompt.length - 1500, 'from memory');
      }
      const [key = ''] = await readdir(join(folder, 'v1'));
      const files = await readdir(join(folder, 'v1', key));
      for (const file of files.filter((found) => /\.(rows|state)$/.test(found))) {
        const path = join(folder, 'v1', key, file);
        const bytes = await readFile(path);
        const at = bytes.length - 700;
        bytes[at] = (bytes[at] as number) ^ 4;
        await writeFile(path, bytes);
      }
      await using second = await load({ cache });
      using own = open(second);
      await check(own, prompt);
      assert.ok(warnings.some((warning) => warning.includes('set aside')));
      await check(own, conversation);
      await check(own, prompt);
    });
  });
}

function keepsRows({ kind }: LayerState): boolean {
  return kind === 'rows';
}
