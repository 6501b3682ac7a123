/**
 * Drafts with Gemma 4's assistant, which attends over the target's own keys and values: of a text it
 * keeps the last hidden row and nothing else. One pass over one row gives each guess.
 */
import { throwIfAborted } from '../base/errors.js';
import type { Backend } from '../ggml/backend.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import { Workspace } from '../ggml/workspace.js';
import type { AssistantModel } from '../models/gemma4-assistant.js';
import type { SequenceTensors } from '../models/model.js';
import { mostMtpDrafts as mostDrafts } from './draft-window.js';
import type { DraftContext, Drafter, DrafterSource, Observation, Proposal } from './drafter.js';
import { guessInTurn } from './guess-in-turn.js';
import { HiddenRowDrafter } from './hidden-row-drafter.js';
import { HiddenRows } from './hidden-rows.js';

export interface AssistantOptions {
  readonly model: AssistantModel;
  readonly backend: Backend;
}

/** It goes on from the row before the last token; older ones are never read. */
const needs = { hidden: true, window: 1 } as const;

/** The source of the drafters of one model, which to a user are `mtp`; owns its weights. */
export function assistantSource(options: AssistantOptions): DrafterSource & Disposable {
  return {
    name: 'mtp',
    needs,
    maxDrafts: mostDrafts,
    open: () => new AssistantDrafter(options),
    [Symbol.dispose]: () => options.model.dispose(),
  };
}

interface Pass {
  readonly workspace: Workspace;
  readonly graph: Graph;
  readonly token: Tensor;
  readonly hidden: Tensor;
  readonly position: Tensor;
  readonly sequence: { state: SequenceTensors; past: number };
  readonly logits: Tensor;
  readonly next: Tensor;
}

class AssistantDrafter extends HiddenRowDrafter<HiddenRows> implements Drafter {
  readonly name = 'mtp';
  readonly needs = needs;
  readonly maxDrafts = mostDrafts;
  readonly #options: AssistantOptions;
  /** Made once and computed again. */
  #pass: Pass | undefined;

  constructor(options: AssistantOptions) {
    super(new HiddenRows(options.model.embeddingLength, 1));
    this.#options = options;
  }

  observe(observation: Observation): void {
    this.note(observation, observation.hidden);
  }

  async propose({ chooser, limit, state, signal }: DraftContext): Promise<Proposal> {
    throwIfAborted(signal);
    const { tokens } = chooser;
    const last = tokens.length - 1;
    const most = Math.min(limit, mostDrafts);
    if (most <= 0 || state === undefined) return { tokens: [] };
    if (last !== this.length || this.rows.first >= last) return { tokens: [] };
    let hidden = new Float32Array(this.rows.width);
    this.rows.copy(last - 1, hidden, 0);
    const run = async (token: number): Promise<Float32Array> => {
      const made = await this.#run(state, token, hidden, last, signal);
      hidden = made.next;
      return made.logits;
    };
    const logits = await run(tokens[last] ?? 0);
    return guessInTurn({ chooser, most, logits, next: run });
  }

  /** What follows `token`; `last` is the position of the text's last token for every guess. */
  async #run(
    state: SequenceTensors,
    token: number,
    hidden: Float32Array,
    last: number,
    signal: AbortSignal | undefined,
  ): Promise<{ logits: Float32Array; next: Float32Array<ArrayBuffer> }> {
    // Positions up to the one before the last token's are stored.
    const past = last - 1;
    this.#pass ??= this.#build(state, past);
    const { graph, sequence } = this.#pass;
    graph.write(this.#pass.token, Int32Array.of(token));
    graph.write(this.#pass.hidden, hidden);
    graph.write(this.#pass.position, Int32Array.of(last));
    Object.assign(sequence, { state, past });
    try {
      await graph.compute({ signal });
      const result = {
        logits: graph.read(this.#pass.logits),
        next: new Float32Array(graph.read(this.#pass.next)),
      };
      if (!graph.repeatable) this.#drop();
      return result;
    } catch (error) {
      this.#drop();
      throw error;
    }
  }

  #build(state: SequenceTensors, past: number): Pass {
    const { model, backend } = this.#options;
    const workspace = new Workspace(backend);
    const graph = workspace.begin();
    const token = graph.input('draft token', GgmlType.I32, [1]);
    const hidden = graph.input('draft hidden', GgmlType.F32, [model.embeddingLength, 1]);
    const position = graph.input('draft position', GgmlType.I32, [1]);
    const sequence = { state, start: 0, count: 1, past };
    const made = model.forward(graph, { token, hidden, position, sequence });
    return {
      ...{ workspace, graph, token, hidden, position, sequence },
      logits: graph.output(made.logits),
      next: graph.output(made.hidden),
    };
  }

  #drop(): void {
    this.#pass?.workspace.dispose();
    this.#pass = undefined;
  }

  fork(): AssistantDrafter {
    const copy = new AssistantDrafter(this.#options);
    copy.restore(this.snapshot());
    return copy;
  }

  dispose(): void {
    this.#drop();
  }
}
