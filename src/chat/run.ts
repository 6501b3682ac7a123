/**
 * Runs one request on a loaded model and says what happens as events: the prompt, what the text is
 * held to, thought and its budget, calls of tools, several choices of one prompt. Texts do not depend
 * on drafts, neighbours or caches. Knows nothing of who asked, or of how models are kept.
 */
import { PacelineError } from '../base/errors.js';
import { randomSeed } from '../decode/settings.js';
import type { Model } from '../engine/model.js';
import type {
  GenerateOptions,
  Generation,
  LikelyToken,
  StreamEvent,
  TokenLogprob,
} from '../engine/types.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import {
  activeTools,
  type Enforcement,
  enforcement,
  type ThoughtSection,
  toolFormatOf,
} from './constraint.js';
import type { ChoiceEnd, PrefixMiss, TextEvent, TokenProbability } from './events.js';
import { OriginTracker } from './origins.js';
import { OutputReader } from './output.js';
import { encodePrompt } from './prompt.js';
import { opensReasoning, reasoningMarks } from './reasoning.js';
import { contextOverflow } from './refusals.js';
import { type ReplayMemory, TurnRecorder } from './replay.js';
import type { TextRequest } from './request.js';
import type { Acquired, Slot, SlotPool } from './slots.js';

/** A model and the sessions in which requests run on it. */
export interface TextRunner {
  readonly model: Model;
  readonly slots: SlotPool;
  /** What its texts said in calls of tools. */
  readonly replay: ReplayMemory;
}

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly emit: (event: TextEvent) => void;
}

/** So many tokens at the end of a prompt are looked at for an open thought. */
const promptTail = 8;

/**
 * Runs a request to its end and emits its events. The request's name of a model is not looked at.
 * @throws {PacelineError} `context-overflow`, `usage`, `busy`, `aborted`, and what the engine throws.
 */
export function runText(
  runner: TextRunner,
  request: TextRequest,
  options: RunOptions,
): Promise<void> {
  return new RequestRun(runner, request, options).run();
}

/** One request on its way. */
class RequestRun {
  readonly #runner: TextRunner;
  readonly #request: TextRequest;
  readonly #options: RunOptions;
  #started = false;
  #missed: PrefixMiss | undefined;
  /** Tokens of the prompt that the slot had. */
  #inMemory = 0;

  constructor(runner: TextRunner, request: TextRequest, options: RunOptions) {
    this.#runner = runner;
    this.#request = request;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { model, slots, replay } = this.#runner;
    const { signal } = this.#options;
    const prompt = encodePrompt(model, this.#request, replay);
    const { contextLength } = model.info;
    if (prompt.length > contextLength) throw contextOverflow(prompt.length, contextLength);
    const thought = this.#thoughtSection(prompt);
    const enforced = await enforcement(model, this.#request, thought, signal);
    const count = this.#request.choices ?? 1;
    const first = slots.acquire(prompt, this.#request.affinity);
    const lent: Slot[] = [first.slot];
    // One choice that fails takes the others with it.
    const group = new AbortController();
    const together = AbortSignal.any([signal, group.signal]);
    try {
      const { missed } = first;
      this.#inMemory = first.cached;
      this.#missed = missed && describeMiss(model, prompt, missed);
      if (count > 1) {
        // The prompt is computed once, and its cache copied.
        await this.#generate(first.slot, prompt, 0, together, { limit: 0 });
        while (lent.length < count) lent.push(slots.fork(first.slot));
      }
      const running = lent.map((slot, choice) =>
        this.#choice({ slot, prompt, choice, signal: together, thought, enforced }).catch(
          (error: unknown) => {
            group.abort();
            throw error;
          },
        ),
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
   * One text: generate, read, and go on after a thought that was cut short. The cut is made by the
   * limit of tokens, so that drafts can't move it; what follows is what would have followed, as
   * noise is keyed by position.
   */
  async #choice(options: ChoiceOptions): Promise<void> {
    const { slot, prompt, choice, signal, thought, enforced } = options;
    const { emit } = this.#options;
    const { model, replay } = this.#runner;
    const { tokenizer } = model;
    const { seed = randomSeed(), maxTokens = Number.POSITIVE_INFINITY } = this.#request.settings;
    const recorder = new TurnRecorder();
    /** Of tokens whose text has not been shown yet. */
    const unsent: TokenProbability[] = [];
    /** Where the answer begins among the tokens that were said. */
    let answer = thought === undefined ? 0 : undefined;
    const format = enforced?.toolFormat ?? this.#channels();
    const origins = this.#request.details === true ? new OriginTracker() : undefined;
    /** Of the token that is being read. */
    let source: ReturnType<typeof sourceOf> = {};
    const reader = new OutputReader({
      tokenizer,
      choice,
      stop: this.#request.settings.stop ?? [],
      thought: format === 'harmony' ? undefined : thought,
      format,
      tools: activeTools(this.#request)?.definitions ?? [],
      onToken: origins && ((text) => origins.push(text, source)),
      emit: (event) => {
        recorder.add(event);
        if (event.type !== 'text' && event.type !== 'reasoning') return emit(event);
        const logprobs = event.type === 'text' ? unsent.splice(0) : [];
        emit({
          ...event,
          ...(logprobs.length > 0 ? { logprobs } : {}),
          ...(origins === undefined ? {} : { origins: origins.take(event.text) }),
        });
      },
    });
    let budget = thought && this.#reasoningBudget(prompt.length, enforced !== undefined);
    let demands = enforced && demanded(enforced, true, 0);
    const said: number[] = [];
    const generations: Generation[] = [];
    for (;;) {
      const room = budget === undefined ? undefined : Math.max(0, budget - said.length);
      const before = said.length;
      const generation = await this.#generate(slot, [...prompt, ...said], choice, signal, {
        limit: Math.min(maxTokens - said.length, room ?? Number.POSITIVE_INFINITY),
        seed: seed + choice,
        ...(demands === undefined ? {} : { demands }),
        onTokens: (step) => {
          for (const [index, token] of step.tokens.entries()) {
            said.push(token);
            const logprob = step.logprobs?.[index];
            if (origins !== undefined) source = sourceOf(step, index, tokenizer);
            if (logprob !== undefined) unsent.push(probability(logprob));
            reader.push([token]);
            // Thought is no content, and has no place for them.
            if (!reader.answers) unsent.length = 0;
            if (answer === undefined && reader.answers) answer = said.length - 1;
          }
        },
      });
      generations.push(generation);
      const cut = generation.finishReason === 'length' && said.length - before === room;
      if (!cut || said.length >= maxTokens) break;
      budget = undefined;
      if (thought === undefined || reader.answers) {
        demands = enforced && demanded(enforced, true, said.length);
        continue;
      }
      const { close } = thought.marks;
      const forced = tokenizer.encode(`${close}\n\n`, { addSpecial: false, parseSpecial: true });
      said.push(...forced);
      reader.closeThought(forced.length);
      demands = enforced && demanded(enforced, false, 0);
      if (said.length >= maxTokens) break;
    }
    const whole = joined(generations);
    if (whole.finishReason === 'abort') throw new PacelineError('aborted', 'Given up');
    reader.finish();
    if (reader.completeCalls > 0 && format !== 'harmony' && answer !== undefined) {
      replay.remember(recorder.turn(said.slice(answer)));
    }
    if (unsent.length > 0 && reader.completeCalls === 0) {
      emit({ type: 'text', choice, text: '', logprobs: unsent });
    }
    emit(endOf(choice, whole, said.length, reader));
  }

  async #generate(
    slot: Slot,
    prompt: readonly number[],
    choice: number,
    signal: AbortSignal,
    segment: SegmentOptions,
  ): Promise<Generation> {
    const { emit } = this.#options;
    const { limit, seed, demands, onTokens } = segment;
    const options: GenerateOptions = {
      ...this.#request.settings,
      ...(limit === Number.POSITIVE_INFINITY ? {} : { maxTokens: limit }),
      ...(seed === undefined ? {} : { seed }),
      ...demands,
      signal,
      ...(choice === 0
        ? {
            onProgress: ({ done, total = 0 }) => {
              this.#start(prompt, prompt.length - total);
              emit({ type: 'progress', done, total });
            },
          }
        : {}),
    };
    for await (const event of slot.session.stream(prompt, options)) {
      if (event.type === 'end') return event.generation;
      onTokens?.(event);
    }
    throw new PacelineError('internal', 'A stream ended without a result');
  }

  /** What the slot and the disk had of the prompt is known when its prefill begins. */
  #start(prompt: readonly number[], cachedTokens: number): void {
    if (this.#started) return;
    this.#started = true;
    const { model } = this.#runner;
    this.#options.emit({
      type: 'start',
      promptTokens: prompt.length,
      cachedTokens,
      inMemory: Math.min(this.#inMemory, cachedTokens),
      ...(this.#missed === undefined ? {} : { missed: this.#missed }),
      ...(this.#request.details === true
        ? { prefixEnd: endOfPrefix(model, prompt, cachedTokens) }
        : {}),
    });
  }

  /**
   * Tokens of thought. A text that has to keep to a language needs room for that: where nobody said
   * how much it may think, it is half of what there is.
   */
  #reasoningBudget(promptTokens: number, enforced: boolean): number | undefined {
    const { reasoningBudget, settings } = this.#request;
    if (reasoningBudget !== undefined || !enforced) return reasoningBudget;
    const room = this.#runner.model.info.contextLength - promptTokens;
    return Math.floor(Math.min(settings.maxTokens ?? room, room) / 2);
  }

  /** Models that write everything in channels are always read that way. */
  #channels(): 'harmony' | undefined {
    if (this.#request.input.type !== 'chat') return undefined;
    return toolFormatOf(this.#runner.model) === 'harmony' ? 'harmony' : undefined;
  }

  /** Undefined for models that do not think apart, and for texts that are no conversation. */
  #thoughtSection(prompt: readonly number[]): ThoughtSection | undefined {
    if (this.#request.input.type !== 'chat') return undefined;
    const { tokenizer, runtime } = this.#runner.model;
    const marks = reasoningMarks(runtime.chatTemplate.source(false));
    if (marks === undefined) return undefined;
    const tail = tokenizer.decode(prompt.slice(-promptTail), { unparseSpecial: true });
    return { marks, opened: opensReasoning(tail, marks) };
  }
}

interface ChoiceOptions {
  readonly slot: Slot;
  readonly prompt: readonly number[];
  readonly choice: number;
  readonly signal: AbortSignal;
  readonly thought: ThoughtSection | undefined;
  readonly enforced: Enforcement | undefined;
}

type Demands = Pick<GenerateOptions, 'constraint' | 'reasoning' | 'constrainedTokens'>;

/** What a segment of a text is held to, of which `said` tokens are in the prompt already. */
function demanded(enforced: Enforcement, mayThink: boolean, said: number): Demands {
  const { constraint, reasoning } = enforced;
  return { constraint, reasoning: mayThink ? reasoning : undefined, constrainedTokens: said };
}

type TextStep = Extract<StreamEvent, { type: 'text' }>;

interface SegmentOptions {
  /** Most tokens; Infinity: as many as the model likes. */
  readonly limit: number;
  readonly seed?: number;
  readonly demands?: Demands;
  readonly onTokens?: (step: TextStep) => void;
}

/** Which drafter had guessed a token of a step, or what it had guessed in its place. */
function sourceOf({ drafted, proposal }: TextStep, index: number, tokenizer: Tokenizer) {
  if (proposal === undefined) return {};
  const { drafter, tokens } = proposal;
  const guesses = index === 0 ? { guesses: tokens.length } : {};
  if (drafted[index] === true) return { drafter, ...guesses };
  const guess = tokens[index];
  if (guess === undefined) return guesses;
  return { wrong: { drafter, text: tokenizer.tokenText(guess) }, ...guesses };
}

function endOf(
  choice: number,
  generation: Generation,
  tokens: number,
  reader: OutputReader,
): ChoiceEnd {
  const { finishReason, draft, seed, timings, warnings } = generation;
  const { stopText, completeCalls, reasoningTokens } = reader;
  const ended = completeCalls > 0 ? 'tool-calls' : stopText === undefined ? 'stop' : 'stop-text';
  return {
    type: 'end',
    choice,
    reason: finishReason === 'length' ? 'length' : ended,
    ...(stopText === undefined ? {} : { stopText }),
    tokens,
    reasoningTokens,
    seed,
    ...(warnings === undefined ? {} : { warnings }),
    timings,
    draft,
  };
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
    return {
      ...part,
      promptTokens: whole.promptTokens,
      cachedTokens: whole.cachedTokens,
      text: whole.text + part.text,
      tokens,
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

/** Tokens of a prefix that are told. */
const shownPrefix = 12;

/** The last words of a prefix, for people. */
function endOfPrefix({ tokenizer }: Model, prompt: readonly number[], length: number): string {
  const tokens = prompt.slice(Math.max(0, length - shownPrefix), length);
  return tokenizer.decode(tokens, { unparseSpecial: true });
}

/** The first differing bytes, for people. */
function describeMiss(
  { tokenizer }: Model,
  prompt: readonly number[],
  { at, had }: NonNullable<Acquired['missed']>,
): PrefixMiss {
  const text = (tokens: readonly number[]) => tokenizer.decode(tokens, { unparseSpecial: true });
  const [old, now] = [text(had), text(prompt.slice(at, at + had.length))];
  let same = 0;
  while (same < old.length && old[same] === now[same]) same++;
  const bytes = Buffer.byteLength(text(prompt.slice(0, at)) + old.slice(0, same));
  return { tokens: at, bytes, had: old.slice(same), got: now.slice(same) };
}

function probability({ top, ...chosen }: TokenLogprob): TokenProbability {
  const plain = ({ text, bytes, logprob }: LikelyToken) => ({ text, bytes: [...bytes], logprob });
  return { ...plain(chosen), top: top.map(plain) };
}
