/**
 * Drafts with a DFlash model: the target's tapped rows are only noted while a text is read; when a
 * guess is asked for, those not yet injected become keys and values of the draft layers, and one pass
 * over [last token, mask, ...] guesses the whole block. Rows of the block itself are never kept. Where a
 * model links its guesses (DSpark, DFlash2), a small pass between two guesses tells the next what the
 * one before it became.
 *
 * The cache holds context rows of the positions [base, base + length): a prompt's beginning, which
 * was never shown or has left the window, is not in it, and costs guesses but never a wrong token.
 */
import { throwIfAborted } from '../base/errors.js';
import { takeTop } from '../ggml/top-rows.js';
import type { DflashModel } from '../models/dflash-model.js';
import { usualWindow } from './draft-window.js';
import type { DraftContext, Drafter, DrafterSource, Observation, Proposal } from './drafter.js';
import { largest, linked, placed } from './linked-guess.js';
import { type DraftDevice, RowDrafter } from './row-drafter.js';
import { type Logits, probabilityOf, readTopRows, TopRow, wholeRow } from './top-row.js';

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
    maxDrafts: guessCount(model),
    open: () => new DflashDrafter(options),
    [Symbol.dispose]: () => model.dispose(),
  };
}

function guessCount({ blockSize, firstGuess }: DflashModel): number {
  return blockSize - firstGuess;
}

/** What the rows of a block said, one for each guess. */
interface BlockRows {
  /** Whole rows are by the draft model's tokens, their largest by the target's. */
  readonly logits: readonly Logits[];
  /** Of models that link their guesses. */
  readonly hidden: readonly Float32Array[];
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
    this.maxDrafts = guessCount(model);
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
    const { vocabulary, targetVocabulary, link } = this.#options.model;
    // A link goes on from all logits of a row.
    const top = link ? undefined : this.topOf(chooser, vocabulary?.length ?? targetVocabulary);
    let before = tokens[last] ?? 0;
    const rows = await this.#guess(before, last, top, signal);
    const ahead = chooser.fork();
    const drafts: number[] = [];
    const confidence: number[] = [];
    for (let at = 0; at < most; at++) {
      const { logits, sure } = await this.#rate(rows, at, before, signal);
      const token = ahead.guess(logits);
      if (token === undefined) break;
      drafts.push(token);
      confidence.push(sure ?? probabilityOf(logits, token));
      ahead.accept(token);
      before = token;
    }
    return { tokens: drafts, confidence };
  }

  /** Guess `at` behind the token `before`, by the target's tokens. */
  async #rate(
    rows: BlockRows,
    at: number,
    before: number,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly logits: Logits; readonly sure?: number | undefined }> {
    const own = rows.logits[at] as Logits;
    const { link } = this.#options.model;
    if (link === undefined) return { logits: own instanceof TopRow ? own : this.#spread(own) };
    const asked = { before, hidden: rows.hidden[at] as Float32Array, signal };
    const graph = this.workspace.begin();
    if (link.candidates === undefined) {
      const { logits, sure } = await linked(graph, link, { ...asked, logits: wholeRow(own) });
      return { logits: this.#spread(logits), sure };
    }
    const known = this.#spread(wholeRow(own));
    const candidates = largest(known, link.candidates);
    const few = Float32Array.from(candidates, (token) => known[token] ?? 0);
    const { logits } = await linked(graph, link, { ...asked, logits: few, candidates });
    return { logits: placed(logits, candidates, known.length) };
  }

  /** Injects what is missing and guesses what follows `token` at position `last`: logits, or the `top` largest. */
  async #guess(
    token: number,
    last: number,
    top: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<BlockRows> {
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
    const count = guessCount(model);
    const { logits, hidden } = model.guess(graph, {
      tokens: graph.indices('block', [token, ...Array(block - 1).fill(model.maskToken)]),
      positions: graph.indices('block positions', range(last, block)),
      slice: { state: this.cache, start: 0, count: block, past: past + missing },
      outputs: graph.indices('guesses', range(model.firstGuess, count)),
      window: this.window,
    });
    graph.output(logits);
    if (model.link !== undefined) graph.output(hidden);
    const taken = top === undefined ? top : takeTop(graph, logits, top, { probabilities: true });
    await graph.compute({ signal, wide: missing >= 64 });
    this.cache.append(missing);
    if (taken !== undefined) {
      const rows = { top: taken, logits, vocabulary: this.#spreading() };
      return { logits: readTopRows(graph, rows, [0, count]), hidden: [] };
    }
    const split = (flat: Float32Array) =>
      range(0, count).map((row) =>
        flat.subarray((row * flat.length) / count, ((row + 1) * flat.length) / count),
      );
    return {
      logits: split(graph.read(logits)),
      hidden: model.link === undefined ? [] : split(graph.read(hidden)),
    };
  }

  #spreading() {
    const { vocabulary } = this.#options.model;
    return vocabulary === undefined
      ? undefined
      : {
          token: (entry: number) => vocabulary[entry] as number,
          spread: (row: Float32Array) => this.#spread(row),
        };
  }

  /** Logits by the target's tokens, from those by the draft model's. */
  #spread(logits: Float32Array): Float32Array {
    const { vocabulary, targetVocabulary } = this.#options.model;
    return vocabulary === undefined ? logits : placed(logits, vocabulary, targetVocabulary);
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
