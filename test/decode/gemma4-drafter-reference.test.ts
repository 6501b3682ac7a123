/**
 * What Gemma 4's drafter guesses, against a reference in double precision that computes the target too:
 * several rounds by the engine's own loop with partial acceptance, on small random models of every form.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assistantSource } from '../../src/decode/assistant.js';
import { readGguf } from '../../src/gguf/reader.js';
import { loadModel } from '../../src/index.js';
import { loadAssistantModel } from '../../src/models/gemma4-assistant.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { type RandomAssistantOptions, randomAssistant } from '../support/random-drafters.js';
import { forcedRun } from './forced-run.js';
import { assistantLogits, type Gemma4Sizes, gemma4Rows } from './gemma4-reference.js';
import { accept, check, noting, prompt, written } from './neural-support.js';
import { Tensors } from './reference.js';

const common = { embedding: 64, heads: 4, inner: 96, vocab: 331 } as const;
/** What target and drafter share. */
const forms = {
  'E2B: layers that share keys and values, embeddings for each': {
    target: {
      ...{ ...common, kvHeads: 1, headDim: 48, layers: 6, window: [9, 3] },
      gemma4: { windowHeadDim: 32, perLayer: 16, shared: 3 },
    },
    sizes: {
      ...{ full: [48, 1], windowed: [32, 1], window: 9, pattern: 3 },
      ...{ shared: 3, perLayer: 16 },
    },
  },
  '26B-A4B: experts, no matrix for values, fewer heads where all is seen': {
    target: {
      ...{ ...common, kvHeads: 2, headDim: 48, layers: 4, window: [7, 2], experts: [5, 2] },
      gemma4: {
        ...{ windowHeadDim: 32, perLayer: 0, rawValues: true, fullKvHeads: 1 },
        ...{ expertInner: 40, together: true },
      },
    },
    sizes: {
      ...{ full: [48, 1], windowed: [32, 2], window: 7, pattern: 2 },
      expertsUsed: 2,
    },
  },
} as const satisfies Record<
  string,
  {
    target: Omit<RandomModelOptions, 'architecture'>;
    sizes: Omit<Gemma4Sizes, 'layers' | 'embedding' | 'heads'>;
  }
>;

interface Case extends Partial<RandomAssistantOptions> {
  readonly form: keyof typeof forms;
  readonly layers?: number;
  readonly prefillChunk?: number;
  /** The drafter's own window, where it is not the target's. */
  readonly ownWindow?: number;
}

async function assistantCase({ form, prefillChunk, ownWindow, ...rest }: Case): Promise<void> {
  const { target, sizes } = forms[form];
  const { embedding: width } = target;
  const window = ownWindow ?? sizes.window;
  const own = { embedding: 40, heads: 4, inner: 72, layers: 4, seed: 3, ...rest };
  const { headDim, kvHeads, vocab, gemma4 } = target;
  const drafts = randomAssistant({
    ...{ headDim, kvHeads, vocab, gemma4, ...own, width },
    window: [window, own.layers],
  });
  const base = randomModel({ ...target, architecture: 'gemma4' });
  const path = await written(base);
  const options = { threads: 1, contextLength: 128, kvType: 'f32' } as const;
  await using model = await loadModel(path, options);
  const { backend } = model.runtime;
  await using gguf = await readGguf(await written(drafts));
  const assistant = await loadAssistantModel(gguf, model.runtime.model, { backend });
  const logits: Float32Array[] = [];
  using source = assistantSource({
    backend,
    model: {
      ...assistant,
      forward(graph, input) {
        const made = assistant.forward(graph, input);
        noting(graph, made.logits, logits, 1);
        return made;
      },
    },
  });
  const run = { model, source, logits, prompt, accept };
  const rounds = await forcedRun(prefillChunk === undefined ? run : { ...run, prefillChunk });
  assert.equal(rounds.length, accept.length);
  const tensors = { target: new Tensors(base), draft: new Tensors(drafts) };
  const { heads, layers } = target;
  for (const round of rounds) {
    const rows = gemma4Rows(
      tensors.target,
      { ...sizes, heads, layers, embedding: width },
      round.tokens.slice(0, -1),
    );
    const { full, windowed } = sizes;
    const drafter = {
      layers: own.layers,
      embedding: own.embedding,
      heads: own.heads,
      full,
      windowed,
    };
    const inputs = {
      ...{ ...tensors, width, rows, tokens: round.tokens },
      sizes: { ...drafter, window, pattern: own.layers },
    };
    check(round, assistantLogits(inputs, round.guesses), round.logits);
  }
  const longest = Math.max(...rounds.map(({ guesses }) => guesses.length));
  assert.ok(longest >= 3, `guesses go on from guesses: ${longest}`);
  assert.ok(rounds.some(({ guesses, accepted }) => accepted > 0 && accepted < guesses.length));
}

for (const form of Object.keys(forms) as (keyof typeof forms)[]) {
  describe(`Gemma 4’s drafter against the reference, ${form}`, () => {
    it('with windows that the text leaves behind', () => assistantCase({ form }));
    it('after a prompt that was read in pieces', () => assistantCase({ form, prefillChunk: 4 }));
    it('with a window of its own', () => assistantCase({ form, ownWindow: 3 }));
    it('with other heads than the target, and fewer layers', () =>
      assistantCase({ form, heads: 2, layers: 2, seed: 5 }));
  });
}
