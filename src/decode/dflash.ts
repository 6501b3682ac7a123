/**
 * Drafts with a DFlash model: the target's tapped rows are only noted while a text is read; when a
 * guess is asked for, those not yet injected become keys and values of the draft layers, and one pass
 * over [last token, mask, ...] guesses the whole block. Rows of the block itself are never kept.
 *
 * The cache holds context rows of the positions [base, base + length): a prompt's beginning, which
 * was never shown or has left the window, is not in it, and costs guesses but never a wrong token.
 */
import { throwIfAborted } from '../base/errors.js';
import { takeTop } from '../ggml/top-rows.js';
import type { DflashModel } from '../models/dflash.js';
import { usualWindow } from './draft-window.js';
import type { DraftContext, Drafter, DrafterSource, Observation, Proposal } from './drafter.js';
import { type DraftDevice, RowDrafter } from './row-drafter.js';
import { type Logits, probabilityOf, readTopRows } from './top-row.js';

export interface DflashOptions extends DraftDevice {
  readonly model: DflashModel;
  /** Positions of the target's context. */
  readonly contextLength: number;
  /** Positions that a block looks back on. */
  readonly window?: number | undefined;
}

/** The source of the drafters of one model; owns the draft model's weights. */
export function dflashSource(options: DflashOptions): DrafterSource & Disposable {
  const { model, window = usualWindow } = options;
  return {
    name: 'dflash',
    needs: { taps: model.targetLayers, window },
    maxDrafts: model.blockSize - 1,
    open: () => new DflashDrafter(options),
    [Symbol.dispose]: () => model.dispose(),
  };
}

class DflashDrafter extends RowDrafter implements Drafter {
  readonly name = 'dflash';
  readonly needs;
  readonly maxDrafts: number;
  readonly #options: DflashOptions;

  constructor(options: DflashOptions) {
    const { model, window = usualWindow } = options;
    super({
      ...options,
      window,
      parts: model.targetLayers.length,
      guesses: model.blockSize,
      layout: model.rows,
      width: model.embeddingLength * model.targetLayers.length,
    });
    this.#options = options;
    this.needs = { taps: model.targetLayers, window };
    this.maxDrafts = model.blockSize - 1;
  }

  observe(observation: Observation): void {
    this.note(observation, observation.taps);
  }

  async propose({ chooser, limit, signal }: DraftContext): Promise<Proposal> {
    throwIfAborted(signal);
    const { tokens } = chooser;
    const last = tokens.length - 1;
    const most = Math.min(limit, this.maxDrafts);
    if (most <= 0 || last !== this.length || this.rows.first >= last) return { tokens: [] };
    const { vocabulary, targetVocabulary } = this.#options.model;
    const top = this.topOf(chooser, vocabulary?.length ?? targetVocabulary);
    const rows = await this.#guess(tokens[last] ?? 0, last, top, signal);
    const ahead = chooser.fork();
    const drafts: number[] = [];
    const confidence: number[] = [];
    for (const logits of rows.slice(0, most)) {
      const token = ahead.guess(logits);
      if (token === undefined) break;
      drafts.push(token);
      confidence.push(probabilityOf(logits, token));
      ahead.accept(token);
    }
    return { tokens: drafts, confidence };
  }

  /** Injects what is missing and guesses what follows `token` at position `last`: logits, or the `top` largest. */
  async #guess(
    token: number,
    last: number,
    top: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Logits[]> {
    const { model } = this.#options;
    const missing = this.#missing(last);
    const block = model.blockSize;
    this.makeRoom(last, missing + block);
    const graph = this.workspace.begin();
    const past = this.cache.length;
    if (missing > 0) {
      const known = range(last - missing, missing);
      const features = this.rows.feed(graph, missing);
      features.set(known);
      model.inject(graph, {
        features: features.tensor,
        positions: graph.indices('context positions', known),
        slice: { state: this.cache, start: 0, count: missing, past },
      });
    }
    const logits = graph.output(
      model.guess(graph, {
        tokens: graph.indices('block', [token, ...Array(block - 1).fill(model.maskToken)]),
        positions: graph.indices('block positions', range(last, block)),
        slice: { state: this.cache, start: 0, count: block, past: past + missing },
        outputs: graph.indices('guesses', range(1, block - 1)),
        window: this.window,
      }),
    );
    const taken = top === undefined ? top : takeTop(graph, logits, top, { probabilities: true });
    await graph.compute({ signal, wide: missing >= 64 });
    this.cache.append(missing);
    if (taken !== undefined) {
      return readTopRows(graph, { top: taken, logits, vocabulary: this.#spreading() }, [
        0,
        block - 1,
      ]);
    }
    const size = logits.shape[0];
    const flat = graph.read(logits);
    return range(0, block - 1).map((row) => {
      const known = flat.subarray(row * size, (row + 1) * size);
      return model.vocabulary === undefined ? known : this.#spread(known, model.vocabulary);
    });
  }

  #spreading() {
    const { vocabulary } = this.#options.model;
    return vocabulary === undefined
      ? undefined
      : {
          token: (entry: number) => vocabulary[entry] as number,
          spread: (row: Float32Array) => this.#spread(row, vocabulary),
        };
  }

  /** Logits by the target's tokens, from those by the draft model's. */
  #spread(logits: Float32Array, vocabulary: Int32Array): Float32Array {
    const all = new Float32Array(this.#options.model.targetVocabulary).fill(-Infinity);
    for (const [index, token] of vocabulary.entries()) all[token] = logits[index] ?? -Infinity;
    return all;
  }

  /** How many context rows before `last` are to be injected; starts over where a gap lies between. */
  #missing(last: number): number {
    const next = this.base + this.cache.length;
    if (this.cache.length === 0 || next < this.rows.first || next > last) {
      this.base = this.rows.first;
      this.cache.truncate(0);
    }
    return last - this.base - this.cache.length;
  }

  fork(): DflashDrafter {
    return this.copied(new DflashDrafter(this.#options));
  }
}

/** `count` numbers from `first` on. */
function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => first + at);
}
