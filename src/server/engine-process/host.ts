/**
 * Runs internal requests on the engine and says what happens as internal events. It is the whole
 * engine side of a server; that it usually lives in a process of its own is not its business.
 */
import { PacelineError } from '../../base/errors.js';
import { randomSeed } from '../../decode/settings.js';
import type { DraftKind, Generation, LikelyToken, TokenLogprob } from '../../engine/types.js';
import { StreamingDetokenizer } from '../../tokenizer/detokenizer.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import type { ChoiceEnd, TextEvent, TokenProbability } from '../internal/events.js';
import { contextOverflow } from '../internal/failure.js';
import type { TextRequest } from '../internal/request.js';
import { checkEnforceable } from './constraint.js';
import type { EngineConfig, EngineStatus } from './messages.js';
import { type LoadedModel, ModelPool, type ModelPoolOptions } from './models.js';
import { encodePrompt } from './prompt.js';
import {
  opensReasoning,
  type ReasoningMarks,
  ReasoningSplitter,
  reasoningMarks,
} from './reasoning.js';
import type { Slot } from './slots.js';

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly emit: (event: TextEvent) => void;
}

/** So many tokens at the end of a prompt are looked at for an open thought. */
const promptTail = 8;

export class EngineHost {
  readonly #models: ModelPool;
  readonly #draft: DraftKind | undefined;

  constructor(options: EngineConfig & Pick<ModelPoolOptions, 'onChange' | 'onProgress'>) {
    this.#models = new ModelPool(options);
    this.#draft = options.draft;
  }

  /** Loads the pinned models. @throws as `loadModel` */
  start(): Promise<void> {
    return this.#models.loadPinned();
  }

  get status(): EngineStatus {
    return { models: this.#models.states, memoryBytes: process.memoryUsage.rss() };
  }

  /**
   * Runs a request to its end and emits its events.
   * @throws {PacelineError} `context-overflow`, `usage`, `model-not-found`, `busy`, `aborted`, and
   *   what the engine throws.
   */
  run(request: TextRequest, options: RunOptions): Promise<void> {
    const { draft = this.#draft } = request.settings;
    const settings = { ...request.settings, ...(draft === undefined ? {} : { draft }) };
    return this.#models.use(
      request.model,
      (loaded) => new RequestRun(loaded, { ...request, settings }, options).run(),
      options.signal,
    );
  }

  /** Tokens of the request's prompt. @throws as `run`, but a prompt that is too long is counted. */
  count(request: TextRequest): Promise<number> {
    return this.#models.use(
      request.model,
      async ({ model }) => encodePrompt(model, request).length,
    );
  }

  /** Unloads a model. @throws {PacelineError} `busy` while it is used */
  unload(model: string): Promise<void> {
    return this.#models.unload(model);
  }

  close(): Promise<void> {
    return this.#models.close();
  }
}

/** One request on its way. */
class RequestRun {
  readonly #loaded: LoadedModel;
  readonly #request: TextRequest;
  readonly #options: RunOptions;

  constructor(loaded: LoadedModel, request: TextRequest, options: RunOptions) {
    this.#loaded = loaded;
    this.#request = request;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { model, slots } = this.#loaded;
    const { emit, signal } = this.#options;
    checkEnforceable(this.#request);
    const prompt = encodePrompt(model, this.#request);
    const { contextLength } = model.info;
    if (prompt.length > contextLength) throw contextOverflow(prompt.length, contextLength);
    const count = this.#request.choices ?? 1;
    const first = slots.acquire(prompt, this.#request.affinity);
    const lent: Slot[] = [first.slot];
    // One choice that fails takes the others with it.
    const group = new AbortController();
    const together = AbortSignal.any([signal, group.signal]);
    try {
      emit({ type: 'start', promptTokens: prompt.length, cachedTokens: first.cached });
      if (count > 1) {
        // The prompt is computed once, and its cache copied.
        await this.#generate(first.slot, prompt, 0, together, { limit: 0 });
        while (lent.length < count) lent.push(slots.fork(first.slot));
      }
      const running = lent.map((slot, choice) =>
        this.#choice(slot, prompt, choice, together).catch((error: unknown) => {
          group.abort();
          throw error;
        }),
      );
      const settled = await Promise.allSettled(running);
      if (signal.aborted) throw new PacelineError('aborted', 'The request was given up');
      // The first failure in time aborted the others, whose failures say only that.
      const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
      const cause = failures.find(
        (error) => !(PacelineError.is(error) && error.code === 'aborted'),
      );
      if (failures.length > 0) throw cause ?? failures[0];
    } finally {
      for (const slot of lent) slots.release(slot);
    }
  }

  /**
   * One text: generate, tell thought from answer, and go on after a thought that was cut short. The
   * cut is made by the limit of tokens, so that drafts can't move it; what follows is what would
   * have followed, as noise is keyed by position.
   */
  async #choice(
    slot: Slot,
    prompt: readonly number[],
    choice: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { emit } = this.#options;
    const { tokenizer } = this.#loaded.model;
    const thinking = this.#thinking(prompt);
    const show = (text: string): void => {
      const pieces = thinking?.shown.push(text) ?? [{ type: 'text' as const, text }];
      for (const piece of pieces) if (piece.text !== '') emit({ ...piece, choice });
    };
    const { seed = randomSeed(), maxTokens = Number.POSITIVE_INFINITY } = this.#request.settings;
    let budget = thinking && this.#request.reasoningBudget;
    const said: number[] = [];
    const generations: Generation[] = [];
    for (;;) {
      const thought = budget === undefined ? undefined : Math.max(0, budget - said.length);
      const limit = Math.min(maxTokens - said.length, thought ?? Number.POSITIVE_INFINITY);
      const before = said.length;
      const generation = await this.#generate(
        slot,
        [...prompt, ...said],
        choice,
        signal,
        { limit, seed: seed + choice },
        (text, tokens) => {
          said.push(...tokens);
          thinking?.count(tokens);
          show(text);
        },
      );
      generations.push(generation);
      const cut = generation.finishReason === 'length' && said.length - before === thought;
      if (!cut || said.length >= maxTokens) break;
      budget = undefined;
      if (thinking === undefined || thinking.shown.answers) continue;
      for (const piece of thinking.close()) emit({ ...piece, choice });
      const { close } = thinking.marks;
      const forced = tokenizer.encode(`${close}\n\n`, { addSpecial: false, parseSpecial: true });
      said.push(...forced);
      thinking.tokens += forced.length;
      if (said.length >= maxTokens) break;
    }
    const whole = joined(generations);
    if (whole.finishReason === 'abort') throw new PacelineError('aborted', 'Given up');
    for (const piece of thinking?.shown.flush() ?? []) emit({ ...piece, choice });
    if (whole.logprobs !== undefined) {
      const logprobs = whole.logprobs.map(probability);
      emit({ type: 'text', choice, text: '', logprobs });
    }
    emit(this.#end(choice, whole, said.length, thinking?.tokens ?? 0));
  }

  async #generate(
    slot: Slot,
    prompt: readonly number[],
    choice: number,
    signal: AbortSignal,
    settings: { readonly limit: number; readonly seed?: number },
    onText?: (text: string, tokens: readonly number[]) => void,
  ): Promise<Generation> {
    const { emit } = this.#options;
    const { limit, seed } = settings;
    const options = {
      ...this.#request.settings,
      ...(limit === Number.POSITIVE_INFINITY ? {} : { maxTokens: limit }),
      ...(seed === undefined ? {} : { seed }),
      signal,
      ...(choice === 0
        ? {
            onProgress: ({ done, total }: { done: number; total?: number | undefined }) =>
              emit({ type: 'progress', done, total: total ?? 0 }),
          }
        : {}),
    };
    for await (const event of slot.session.stream(prompt, options)) {
      if (event.type === 'end') return event.generation;
      onText?.(event.text, event.tokens);
    }
    throw new PacelineError('internal', 'A stream ended without a result');
  }

  #end(choice: number, generation: Generation, tokens: number, reasoning: number): ChoiceEnd {
    const { kind, steps, drafted, accepted, byDrafter } = generation.draft;
    const stopText = typeof generation.stop === 'string' ? generation.stop : undefined;
    return {
      type: 'end',
      choice,
      reason: generation.finishReason === 'length' ? 'length' : stopText ? 'stop-text' : 'stop',
      ...(stopText === undefined ? {} : { stopText }),
      tokens,
      reasoningTokens: reasoning,
      seed: generation.seed,
      timings: generation.timings,
      draft: { kind, steps, drafted, accepted, byDrafter },
    };
  }

  /** Undefined for models that do not think apart, and for texts that are no conversation. */
  #thinking(prompt: readonly number[]): Thinking | undefined {
    if (this.#request.input.type !== 'chat') return undefined;
    const { tokenizer, runtime } = this.#loaded.model;
    const marks = reasoningMarks(runtime.chatTemplate.source(false));
    if (marks === undefined) return undefined;
    const tail = tokenizer.decode(prompt.slice(-promptTail), { unparseSpecial: true });
    return new Thinking(tokenizer, marks, opensReasoning(tail, marks));
  }
}

/** What is thought of a text: shown piece by piece, and counted token by token. */
class Thinking {
  readonly shown: ReasoningSplitter;
  readonly #counted: ReasoningSplitter;
  readonly #detokenizer: StreamingDetokenizer;
  /** Tokens that were thought, the marks included. */
  tokens = 0;

  constructor(
    tokenizer: Tokenizer,
    readonly marks: ReasoningMarks,
    opened: boolean,
  ) {
    this.shown = new ReasoningSplitter(marks, { opened });
    this.#counted = new ReasoningSplitter(marks, { opened });
    this.#detokenizer = new StreamingDetokenizer(tokenizer);
  }

  /** Several tokens may come at once: which of them are thought must not depend on that. */
  count(tokens: readonly number[]): void {
    for (const token of tokens) {
      if (this.#counted.answers) return;
      this.#counted.push(this.#detokenizer.push(token));
      if (!this.#counted.answers) this.tokens += 1;
    }
  }

  close(): ReturnType<ReasoningSplitter['close']> {
    this.#counted.close();
    return this.shown.close();
  }
}

/** Generations that continue each other as one. */
function joined(parts: readonly Generation[]): Generation {
  const [first, ...rest] = parts;
  if (first === undefined) throw new PacelineError('internal', 'A text without a generation');
  return rest.reduce((whole, part) => {
    const decodeMs = whole.timings.decodeMs + part.timings.decodeMs + part.timings.prefillMs;
    const tokens = [...whole.tokens, ...part.tokens];
    const byDrafter = { ...whole.draft.byDrafter };
    for (const [name, { drafted, accepted }] of Object.entries(part.draft.byDrafter)) {
      const sum = byDrafter[name] ?? { drafted: 0, accepted: 0 };
      byDrafter[name] = { drafted: sum.drafted + drafted, accepted: sum.accepted + accepted };
    }
    const logprobs = [...(whole.logprobs ?? []), ...(part.logprobs ?? [])];
    return {
      ...part,
      promptTokens: whole.promptTokens,
      cachedTokens: whole.cachedTokens,
      text: whole.text + part.text,
      tokens,
      ...(part.logprobs === undefined ? {} : { logprobs }),
      timings: {
        ...whole.timings,
        decodeMs,
        decodeTokensPerSecond: decodeMs > 0 ? (1000 * tokens.length) / decodeMs : 0,
      },
      draft: {
        ...part.draft,
        steps: whole.draft.steps + part.draft.steps,
        drafted: whole.draft.drafted + part.draft.drafted,
        accepted: whole.draft.accepted + part.draft.accepted,
        byDrafter,
      },
    };
  }, first);
}

function probability({ top, ...chosen }: TokenLogprob): TokenProbability {
  const plain = ({ text, bytes, logprob }: LikelyToken) => ({ text, bytes: [...bytes], logprob });
  return { ...plain(chosen), top: top.map(plain) };
}
