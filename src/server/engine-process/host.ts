/**
 * Runs internal requests on the engine and says what happens as internal events. It is the whole
 * engine side of a server; that it usually lives in a process of its own is not its business.
 */
import { PacelineError } from '../../base/errors.js';
import { randomSeed } from '../../decode/settings.js';
import type { DraftKind, Generation, TokenLogprob } from '../../engine/types.js';
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

  /** One text: generate, tell thought from answer, and go on after a thought that was cut short. */
  async #choice(
    slot: Slot,
    prompt: readonly number[],
    choice: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { emit } = this.#options;
    const { tokenizer } = this.#loaded.model;
    const marks = this.#marks();
    const thinking = marks && this.#splitter(prompt, marks);
    const show = (text: string): void => {
      if (thinking === undefined) {
        if (text !== '') emit({ type: 'text', choice, text });
        return;
      }
      for (const piece of thinking.push(text)) emit({ ...piece, choice });
    };
    const budget = marks === undefined ? undefined : this.#request.reasoningBudget;
    const { seed = randomSeed(), maxTokens } = this.#request.settings;
    const said: number[] = [];
    let reasoningTokens = 0;
    let forced = 0;
    let generation: Generation | undefined;
    for (;;) {
      let cut = false;
      const limit = maxTokens === undefined ? undefined : Math.max(0, maxTokens - said.length);
      const stop = new AbortController();
      generation = await this.#generate(
        slot,
        [...prompt, ...said],
        choice,
        AbortSignal.any([signal, stop.signal]),
        { limit, seed: seed + choice },
        (text, tokens) => {
          if (cut) return;
          said.push(...tokens);
          if (thinking?.inThought) reasoningTokens += tokens.length;
          show(text);
          if (budget === undefined || !thinking?.inThought || reasoningTokens < budget) return;
          cut = true;
          stop.abort();
        },
      );
      if (!cut || signal.aborted) break;
      for (const piece of thinking?.close() ?? []) emit({ ...piece, choice });
      const close = tokenizer.encode(`${marks?.close}\n\n`, {
        addSpecial: false,
        parseSpecial: true,
      });
      forced += close.length;
      said.push(...close);
    }
    if (generation.finishReason === 'abort') throw new PacelineError('aborted', 'Given up');
    for (const piece of thinking?.flush() ?? []) emit({ ...piece, choice });
    if (generation.logprobs !== undefined) {
      const logprobs = generation.logprobs.map((entry) => probability(entry, tokenizer));
      emit({ type: 'text', choice, text: '', logprobs });
    }
    emit(this.#end(choice, generation, said.length, reasoningTokens + forced));
  }

  async #generate(
    slot: Slot,
    prompt: readonly number[],
    choice: number,
    signal: AbortSignal,
    settings: { readonly limit: number | undefined; readonly seed?: number },
    onText?: (text: string, tokens: readonly number[]) => void,
  ): Promise<Generation> {
    const { emit } = this.#options;
    const { limit, seed } = settings;
    const options = {
      ...this.#request.settings,
      ...(limit === undefined ? {} : { maxTokens: limit }),
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
    const stopText = this.#stopText(generation);
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

  /** The stop string that ended the text: it is what the tokens say after the text. */
  #stopText({ finishReason, tokens, text }: Generation): string | undefined {
    const { stop = [] } = this.#request.settings;
    if (finishReason !== 'stop' || stop.length === 0) return undefined;
    const whole = this.#loaded.model.tokenizer.decode(tokens);
    if (!whole.startsWith(text)) return undefined;
    const rest = whole.slice(text.length);
    return [...stop].sort((a, b) => a.length - b.length).find((one) => rest.startsWith(one));
  }

  #marks(): ReasoningMarks | undefined {
    if (this.#request.input.type !== 'chat') return undefined;
    return reasoningMarks(this.#loaded.model.runtime.chatTemplate.source(false));
  }

  #splitter(prompt: readonly number[], marks: ReasoningMarks): ReasoningSplitter {
    const tail = this.#loaded.model.tokenizer.decode(prompt.slice(-promptTail), {
      unparseSpecial: true,
    });
    return new ReasoningSplitter(marks, { opened: opensReasoning(tail, marks) });
  }
}

function probability(entry: TokenLogprob, tokenizer: Tokenizer): TokenProbability {
  const one = (token: number, logprob: number) => {
    const bytes = tokenizer.tokenBytes(token);
    return { text: new TextDecoder().decode(bytes), bytes: [...bytes], logprob };
  };
  return {
    ...one(entry.token, entry.logprob),
    top: entry.top.map(({ token, logprob }) => one(token, logprob)),
  };
}
