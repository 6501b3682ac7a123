/**
 * Drafts with a multi-token prediction block. The target's hidden rows are only noted while a text
 * is read; the block runs over them, and over the last token, when the first guess is asked for, and
 * then once for each further guess, each time from its own hidden row.
 *
 * The cache holds rows of the positions [base, base + length): a prompt's beginning, which was never
 * shown or has left the window, is not in it, and costs guesses but never a wrong token.
 */
import { throwIfAborted } from '../base/errors.js';
import type { Accelerator } from '../ggml/accelerator.js';
import type { Backend } from '../ggml/backend.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
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
import { RowDrafter } from './row-drafter.js';

export interface MtpOptions {
  readonly model: MtpModel;
  readonly backend: Backend;
  /** The card that keeps its rows; default: the host. */
  readonly place?: Accelerator | undefined;
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
  readonly hidden: Tensor;
  readonly positions: Tensor;
  readonly slice: { past: number };
  readonly logits: Tensor;
  readonly next: Tensor;
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
    const { backend, place, model, contextLength, window = usualWindow } = options;
    super({
      backend,
      place,
      contextLength,
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
      let state = await this.#run(this.#knownRows(tokens, first, last), first, signal);
      const next = async (token: number, position: number) => {
        state = await this.#run({ tokens: [token], hidden: state.next }, position, signal);
        return state.logits;
      };
      proposal = await guessInTurn({ chooser, most, logits: state.logits, next });
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

  #knownRows(tokens: ArrayLike<number>, first: number, last: number) {
    const count = last - first + 1;
    const hidden = new Float32Array(count * this.rows.width);
    const ids: number[] = [];
    for (let at = 0; at < count; at++) {
      ids.push(tokens[first + at] ?? 0);
      const before = first + at - 1;
      if (before >= 0) this.rows.copy(before, hidden, at * this.rows.width);
    }
    return { tokens: ids, hidden };
  }

  /** Runs rows from `position` on, and returns what the last one gives. */
  async #run(
    rows: { readonly tokens: readonly number[]; readonly hidden: Float32Array },
    position: number,
    signal: AbortSignal | undefined,
  ): Promise<{ logits: Float32Array; next: Float32Array }> {
    const count = rows.tokens.length;
    this.cache.reserve(count); // before the graph writes them
    const ids = Int32Array.from(rows.tokens);
    const positions = Int32Array.from({ length: count }, (_, at) => position + at);
    let pass = count === 1 ? this.#single : undefined;
    if (pass === undefined) {
      pass = count === 1 ? this.#buildSingle() : this.#build(this.workspace, count);
      if (count === 1) this.#single = pass;
    }
    const { graph } = pass;
    graph.write(pass.tokens, ids);
    graph.write(pass.hidden, rows.hidden);
    graph.write(pass.positions, positions);
    pass.slice.past = this.cache.length;
    try {
      await graph.compute({ signal, wide: count >= 64 });
    } catch (error) {
      if (pass === this.#single) this.#single = undefined;
      throw error;
    }
    this.cache.append(count);
    const result = { logits: graph.read(pass.logits), next: graph.read(pass.next) };
    if (pass === this.#single && !graph.repeatable) this.#single = undefined;
    return result;
  }

  /** The pass of one row, which is repeated, in memory of its own. */
  #buildSingle(): BlockPass {
    this.#ofSingle ??= new Workspace(this.#options.backend);
    return this.#build(this.#ofSingle, 1);
  }

  #build(workspace: Workspace, count: number): BlockPass {
    const { model } = this.#options;
    const graph = workspace.begin();
    const tokens = graph.input('draft tokens', GgmlType.I32, [count]);
    const hidden = graph.input('draft hidden', GgmlType.F32, [model.hiddenLength, count]);
    const positions = graph.input('draft positions', GgmlType.I32, [count]);
    const slice = { state: this.cache, start: 0, count, past: this.cache.length };
    const outputs = count === 1 ? undefined : graph.indices('draft outputs', [count - 1]);
    const { window } = this;
    const batch = { tokens, hidden, positions, sequence: slice, outputs, window };
    const made = model.forward(graph, batch);
    const logits = graph.output(made.logits);
    return {
      graph,
      tokens,
      hidden,
      positions,
      slice,
      logits,
      next: graph.output(made.hidden),
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
