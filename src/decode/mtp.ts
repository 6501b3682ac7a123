/**
 * Drafts with a multi-token prediction block. The target's hidden rows are only noted while a text
 * is read; the block runs over them, and over the last token, when the first guess is asked for, and
 * then once for each further guess, each time from its own hidden row.
 *
 * The cache holds rows of the positions [base, base + length): a prompt's beginning, which was never
 * shown or has left the window, is not in it, and costs guesses but never a wrong token.
 */
import { throwIfAborted } from '../base/errors.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import { type TopTensors, takeTop } from '../ggml/top-rows.js';
import { GgmlType } from '../ggml/types.js';
import { Workspace } from '../ggml/workspace.js';
import type { MtpModel } from '../models/mtp-model.js';
import { mostMtpDrafts as mostDrafts, mtpPromptRows, usualWindow } from './draft-window.js';
import type {
  DraftContext,
  Drafter,
  DrafterNeeds,
  DrafterSource,
  Observation,
  Proposal,
} from './drafter.js';
import { guessInTurn } from './guess-in-turn.js';
import { type DraftDevice, RowDrafter } from './row-drafter.js';
import type { FedRow, RowFeed } from './row-window.js';
import { type Logits, readTopRows } from './top-row.js';

export interface MtpOptions extends DraftDevice {
  readonly model: MtpModel;
  /** Positions of the target's context. */
  readonly contextLength: number;
  /** Positions that the block looks back on. */
  readonly window?: number | undefined;
}

/** The source of the drafters of one model; owns the block's weights. */
export function mtpSource(options: MtpOptions): DrafterSource & Disposable {
  return {
    name: 'mtp',
    needs: needsOf(options),
    maxDrafts: mostDrafts,
    open: () => new MtpDrafter(options),
    [Symbol.dispose]: () => options.model.dispose(),
  };
}

function needsOf({ window = usualWindow }: MtpOptions): DrafterNeeds {
  return { hidden: true, window, hiddenRows: Math.min(window, mtpPromptRows) };
}

interface BlockPass {
  readonly graph: Graph;
  readonly tokens: Tensor;
  readonly hidden: RowFeed;
  readonly positions: Tensor;
  readonly slice: { past: number };
  readonly logits: Tensor;
  /** The largest of these, where they are taken. */
  readonly top: TopTensors | undefined;
  readonly keepNext: () => void;
}

/** Rows that the block runs over. */
interface BlockRows {
  readonly tokens: readonly number[];
  /** The hidden row before each. */
  readonly hidden: readonly FedRow[];
  /** Position of the first. */
  readonly position: number;
}

class MtpDrafter extends RowDrafter implements Drafter {
  readonly name = 'mtp';
  readonly needs;
  readonly maxDrafts = mostDrafts;
  readonly #options: MtpOptions;
  /** The pass over a single row is made once and computed again. */
  #single: BlockPass | undefined;
  #ofSingle: Workspace | undefined;
  /** The token of the newest row, which the text has not confirmed when the row is made. */
  #asked = { position: -1, token: -1 };

  constructor(options: MtpOptions) {
    const { model, window = usualWindow } = options;
    super({
      ...options,
      window,
      guesses: mostDrafts,
      layout: model.rows,
      width: model.hiddenLength,
    });
    this.needs = needsOf(options);
    this.#options = options;
  }

  observe(observation: Observation): void {
    this.note(observation, observation.hidden);
  }

  async propose({ chooser, limit, signal }: DraftContext): Promise<Proposal> {
    throwIfAborted(signal);
    const { tokens } = chooser;
    const last = tokens.length - 1;
    const most = Math.min(limit, mostDrafts);
    // The row of the last token needs the hidden row before it.
    if (most <= 0 || last !== this.length || this.rows.first >= last) return { tokens: [] };
    const first = this.#catchUp(tokens, last);
    this.makeRoom(last, last - first + 1 + mostDrafts);
    let proposal: Proposal;
    try {
      const top = this.topOf(chooser, this.#options.model.vocabSize);
      const logits = await this.#run(this.#knownRows(tokens, first, last), top, signal);
      const next = (token: number, position: number) =>
        this.#run({ tokens: [token], hidden: ['next'], position }, top, signal);
      proposal = await guessInTurn({ chooser, most, logits, next });
    } finally {
      // Rows of guesses were made from the block's own rows: only those of true rows stay, also
      // when an abort comes between two guesses.
      this.cache.truncate(Math.min(this.cache.length, last + 1 - this.base));
    }
    this.#asked = { position: last, token: tokens[last] ?? -1 };
    return proposal;
  }

  /** The first position to run so that the cache has everything up to `last`, which runs again. */
  #catchUp(tokens: ArrayLike<number>, last: number): number {
    const { position, token } = this.#asked;
    if (position >= this.base && tokens[position] !== token) {
      // The text went on with another token than the one that was asked about.
      this.cache.truncate(Math.min(this.cache.length, position - this.base));
    }
    const next = this.base + Math.min(this.cache.length, last - this.base);
    if (next >= this.base && next - 1 >= this.rows.first && this.cache.length > 0) {
      this.cache.truncate(next - this.base);
      return next;
    }
    // Row p is made from the hidden row p - 1; that of position 0 counts as zero.
    this.base = this.rows.first === 0 ? 0 : this.rows.first + 1;
    this.cache.truncate(0);
    return this.base;
  }

  #knownRows(tokens: ArrayLike<number>, first: number, last: number): BlockRows {
    const positions = Array.from({ length: last - first + 1 }, (_, at) => first + at);
    return {
      tokens: positions.map((at) => tokens[at] ?? 0),
      hidden: positions.map((at) => (at === 0 ? 'zero' : at - 1)),
      position: first,
    };
  }

  /** Runs rows, and returns the logits of the last one, or the `top` largest of them. */
  async #run(
    { tokens, hidden, position }: BlockRows,
    top: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Logits> {
    const count = tokens.length;
    this.cache.reserve(count); // before the graph writes them
    const known = count === 1 && this.#single?.top?.count === top ? this.#single : undefined;
    const pass = known ?? this.#build(count, top);
    if (count === 1) this.#single = pass;
    const { graph } = pass;
    graph.write(pass.tokens, Int32Array.from(tokens));
    pass.hidden.set(hidden);
    graph.write(
      pass.positions,
      Int32Array.from({ length: count }, (_, at) => position + at),
    );
    pass.slice.past = this.cache.length;
    try {
      await graph.compute({ signal, wide: count >= 64 });
    } catch (error) {
      if (pass === this.#single) this.#single = undefined;
      throw error;
    }
    this.cache.append(count);
    pass.keepNext();
    if (pass === this.#single && !graph.repeatable) this.#single = undefined;
    if (pass.top === undefined) return graph.read(pass.logits);
    return readTopRows(graph, { top: pass.top, logits: pass.logits }, [0, 1])[0] as Logits;
  }

  /** A pass of one row, which is repeated, has memory of its own. */
  #build(count: number, top: number | undefined): BlockPass {
    const { model, backend } = this.#options;
    if (count === 1) this.#ofSingle ??= new Workspace(backend);
    const workspace = count === 1 ? this.#ofSingle : undefined;
    const graph = (workspace ?? this.workspace).begin();
    const tokens = graph.input('draft tokens', GgmlType.I32, [count]);
    const hidden = this.rows.feed(graph, count);
    const positions = graph.input('draft positions', GgmlType.I32, [count]);
    const slice = { state: this.cache, start: 0, count, past: this.cache.length };
    const outputs = count === 1 ? undefined : graph.indices('draft outputs', [count - 1]);
    const { window } = this;
    const given = { tokens, hidden: hidden.tensor, positions };
    const batch = { ...given, sequence: slice, outputs, window };
    const made = model.forward(graph, batch);
    const logits = graph.output(made.logits);
    return {
      graph,
      tokens,
      hidden,
      positions,
      slice,
      logits,
      top: top === undefined ? undefined : takeTop(graph, logits, top, { probabilities: true }),
      keepNext: this.rows.keepNext(graph, made.hidden),
    };
  }

  fork(): MtpDrafter {
    return this.copied(new MtpDrafter(this.#options));
  }

  override dispose(): void {
    this.#ofSingle?.dispose();
    super.dispose();
  }
}
