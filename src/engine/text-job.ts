/**
 * One generation as a job: reads the prompt, then samples, says, drafts and takes rows for the next
 * pass, until an end token, a stop string, the token limit, a full context, or an abort. The course is
 * the same with and without drafts: a pass runs the last token and what a drafter proposed after it,
 * and every row's own sample decides how many of them stand.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { Constraint } from '../constraint/constraint.js';
import { acceptDrafts } from '../decode/accept.js';
import { Chooser } from '../decode/chooser.js';
import type { Draft, Drafting, PassNeighbours } from '../decode/drafting.js';
import { firstRows } from '../decode/feature-rows.js';
import type { SamplingSettings } from '../decode/sampling-settings.js';
import type { Finish } from '../decode/stop.js';
import { type Logits, wholeRow } from '../decode/top-row.js';
import { Boundaries } from './boundaries.js';
import { EventQueue } from './event-queue.js';
import type { Job, JobNeed, PassOutcome } from './job.js';
import type { FeatureRequest, PassRequest, PassRows } from './pass-runner.js';
import type { Rounding } from './rounding.js';
import type { Text } from './text.js';
import type { TextCache } from './text-cache.js';
import { type Spell, TextRecord } from './text-record.js';
import type { TextSaver } from './text-saver.js';
import type { DraftKind, FinishReason, Generation, StreamEvent } from './types.js';

export interface TextJobOptions {
  readonly text: Text;
  /** Where prefixes are found and saved; none: only what the text has is used. */
  readonly cache?: TextCache | undefined;
  /** Prompt tokens, at least one. */
  readonly prompt: readonly number[];
  /** Where its messages end (`messageEnds`). */
  readonly messageEnds?: readonly number[] | undefined;
  readonly settings: SamplingSettings;
  readonly constraint?: Constraint | undefined;
  /** Fresh; it decides when the text ends and which characters may be shown. */
  readonly finish: Finish;
  /** Of the text's drafters. */
  readonly drafting: Drafting;
  /**
   * How far logits are off that are computed beside others: choices within it are made again from a row
   * that is computed alone. Undefined: such rows decide as they are.
   */
  readonly rounding?: Rounding | undefined;
  /** How drafting was asked for, for the result. */
  readonly draftKind: DraftKind;
  /** Most prompt tokens of one pass; never changes the result. */
  readonly prefillChunk: number;
  readonly priority?: number | undefined;
  /** Milliseconds from now in which the first token is wanted. */
  readonly firstTokenMs?: number | undefined;
  /** What tokens stand for, where log-probabilities are reported. */
  readonly spell?: Spell | undefined;
  /** For the result: what was unusual about the prompt, in sentences. */
  readonly warnings?: readonly string[] | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Sees every row of logits that a token is chosen from, before it is, and may change it; for checks. */
  readonly onRow?: ((position: number, logits: Float32Array) => void) | undefined;
}

const noDraft: Draft = { tokens: [], drafter: undefined };

/** Events that a reader may leave unread before the text waits for it. */
const mostUnread = 64;
/** Positions between checkpoints of state that cannot go back. */
const checkpointEvery = 256;

export class TextJob implements Job {
  readonly text: Text;
  readonly priority: number;
  readonly deadline: number;
  readonly #options: TextJobOptions;
  readonly #abort = new AbortController();
  readonly #chooser: Chooser;
  readonly #record: TextRecord;
  readonly #events: EventQueue<StreamEvent>;
  readonly #boundaries: Boundaries;
  readonly #ended: Promise<void>;
  #resolveEnded: () => void = () => {};
  #phase: 'prefill' | 'decode' | 'done' = 'prefill';
  #wake: () => void = () => {};
  /** Tokens of the prompt whose rows were there already. */
  #cachedTokens = 0;
  /** Under way while what is known of the prompt is brought in. */
  #restoring: Promise<void> | undefined;
  #saver: TextSaver | undefined;
  /** The tokens of the pass under way. */
  #rows: readonly number[] = [];
  #draft: Draft = noDraft;
  /** The row that decided nothing, of the token that is computed alone next. */
  #doubted: Float32Array | undefined;
  #rechecked = 0;

  /** Every error of the options is thrown here, before anything runs. */
  constructor(options: TextJobOptions) {
    const { text, prompt, settings, constraint, signal } = options;
    this.text = text;
    this.#options = options;
    this.#boundaries = new Boundaries(prompt.length, options.messageEnds ?? [], checkpointEvery);
    this.priority = options.priority ?? 0;
    this.deadline = performance.now() + (options.firstTokenMs ?? Number.POSITIVE_INFINITY);
    this.#chooser = new Chooser({ settings, tokens: prompt, constraint });
    const { spell = () => ({ text: '', bytes: new Uint8Array() }) } = options;
    this.#record = new TextRecord(settings.logprobs > 0, spell);
    this.#events = new EventQueue({ limit: mostUnread, onRoom: () => this.#wake() });
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    if (signal?.aborted) this.#abort.abort(signal.reason);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => this.#abort.abort(this.#options.signal?.reason);

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Asks the text to end; it does so within a pass, with the reason `abort`. */
  abort(): void {
    this.#abort.abort();
  }

  /** Settles when no pass works for the text any more; never rejects. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** What the text says, in order; undefined after the end. @throws what ended it, but for an abort. */
  next(): Promise<StreamEvent | undefined> {
    return this.#events.next();
  }

  /** Reads what is left, and returns the whole. @throws as `next`. */
  async finish(): Promise<Generation> {
    let generation: Generation | undefined;
    for (let event = await this.next(); event !== undefined; event = await this.next()) {
      if (event.type === 'end') ({ generation } = event);
    }
    if (generation !== undefined) return generation;
    throw new PacelineError('internal', 'A text ended without a result');
  }

  get need(): JobNeed {
    if (this.#phase === 'done') return 'done';
    const { pending } = this.text.state;
    if (pending !== undefined || this.#restoring !== undefined) return 'rest';
    return this.#phase === 'decode' && this.#events.full ? 'rest' : this.#phase;
  }

  get alone(): boolean {
    return this.#doubted !== undefined;
  }

  get promptLeft(): number {
    return this.#options.prompt.length - this.text.tokens.length;
  }

  start(wake: () => void): void {
    const { text, prompt, cache } = this.#options;
    this.#wake = wake;
    this.#record.start();
    const { capacity } = text.state;
    if (prompt.length > capacity) text.state.begin(prompt.length); // throws
    text.keepPrefix(prompt);
    if (cache === undefined) this.#begin();
    else this.#restore(cache);
    void text.state.pending?.then(wake, (error: unknown) => this.fail(error));
  }

  /** Brings in what is known of the prompt, away from the event loop. */
  #restore(cache: TextCache): void {
    const { text, prompt } = this.#options;
    const { pending } = text.state;
    const restoring = (async () => {
      await pending;
      await cache.restore(text, prompt, this.signal);
      this.#restoring = undefined;
      if (this.#phase === 'done') return;
      this.#record.restored();
      this.#begin();
      this.#saver = cache.follow(text, this.#boundaries);
    })();
    this.#restoring = restoring;
    text.state.hold(restoring);
  }

  /** Everything that is known is there. */
  #begin(): void {
    const { text, prompt, drafting } = this.#options;
    const kept = text.tokens.length;
    const refilled = kept - drafting.missing(kept, prompt.length - kept);
    const worth = refilled < kept && text.state.reachable(refilled) === refilled;
    this.#cachedTokens = worth ? text.truncate(refilled) : kept;
    drafting.align(prompt, this.#cachedTokens);
    this.#reportPrefill();
  }

  async draft({ otherRows, otherTokens }: PassNeighbours): Promise<number> {
    const { drafting, finish, text } = this.#options;
    this.#draft = noDraft;
    if (this.alone) return 1;
    const { state } = text;
    const room = state.capacity - this.#chooser.length;
    const limit = Math.min(room, finish.remaining - 1, state.mostProvisional - 1);
    const context = { chooser: this.#chooser, limit, state, signal: this.signal };
    this.#draft = await drafting.next(context, { otherRows, otherTokens });
    return this.#draft.tokens.length + 1;
  }

  take(room: number): Omit<PassRequest, 'state'> {
    if (this.#phase === 'prefill') return this.#takeSlice(room);
    this.#rows = [this.#chooser.last, ...this.#draft.tokens];
    const { features } = this.#features();
    const rows = this.#rows.length;
    return {
      tokens: this.#rows,
      outputs: 'all',
      top: this.#topNeeded,
      features: features && { ...features, rows },
    };
  }

  /** How many of a row's largest logits are asked for; undefined: all, as who sees rows may change them. */
  get #topNeeded(): number | undefined {
    return this.#options.onRow === undefined ? this.#chooser.topNeeded : undefined;
  }

  settle(outcome: PassOutcome): void {
    if (this.#phase === 'prefill') this.#settleSlice(outcome);
    else this.#settleStep(outcome);
  }

  fail(error: unknown): void {
    if (this.#phase === 'done') return;
    if (PacelineError.is(error) && error.code === 'aborted') this.#end('abort');
    else this.#close({ error });
  }

  /** What drafters read of the target's passes; nothing when none reads anything. */
  #features() {
    const { needs } = this.#options.drafting;
    const { hidden, taps, window = Number.POSITIVE_INFINITY, hiddenRows = window } = needs;
    const features =
      hidden || taps
        ? { ...(hidden ? { hidden } : {}), ...(taps ? { taps } : {}), stay: true }
        : undefined;
    return { features, window, hiddenWindow: hiddenRows };
  }

  /** The next tokens of the prompt, `room` at most. */
  #takeSlice(room: number): Omit<PassRequest, 'state'> {
    const { prompt, prefillChunk, text } = this.#options;
    const start = text.tokens.length;
    let end = Math.min(prompt.length, start + Math.min(room, prefillChunk));
    if (text.state.hasFixed) end = Math.min(end, this.#boundaries.next(start));
    this.#rows = prompt.slice(start, end);
    return {
      tokens: this.#rows,
      outputs: 'last',
      top: this.#topNeeded,
      features: this.#sliceFeatures(start, end),
    };
  }

  /** Rows that no drafter will read are not copied, and cost the prefill nothing. */
  #sliceFeatures(start: number, end: number): FeatureRequest | undefined {
    const { features, window, hiddenWindow } = this.#features();
    const { length } = this.#options.prompt;
    const rows = Math.min(end - start, end - (length - window));
    const hiddenRows = Math.min(rows, end - (length - hiddenWindow));
    const hidden = features?.hidden === true && hiddenRows > 0;
    if (rows <= 0 || !(hidden || features?.taps !== undefined)) return undefined;
    return { ...features, hidden, rows, hiddenRows };
  }

  #settleSlice(outcome: PassRows): void {
    const { prompt, text } = this.#options;
    const position = text.tokens.length;
    text.commit(this.#rows);
    this.#checkpoint(position);
    this.#observe(position, this.#rows, outcome);
    this.#reportPrefill();
    this.#saver?.committed(this.#rows.length, { prefill: true });
    const { hasFixed, length } = text.state;
    if (hasFixed ? this.#boundaries.isEnd(length) : length === prompt.length) {
      this.#saver?.boundary();
    }
    if (text.tokens.length < prompt.length) return;
    this.#record.prefilled();
    if (this.#options.finish.remaining === 0) this.#end('length');
    else this.#accept([], outcome);
  }

  #settleStep(outcome: PassOutcome): void {
    const { text, drafting } = this.#options;
    const position = text.tokens.length;
    let accepted: ReturnType<typeof acceptDrafts>;
    try {
      accepted = this.#choose(this.#draft.tokens, outcome, outcome.alone);
    } catch (error) {
      text.commit(this.#rows.slice(0, 1));
      throw error;
    }
    // Rows of the last token and of the right guesses stay; those of wrong guesses go, and that of
    // the token that ended the text, which without drafts is not computed either.
    const stay = this.#rows.slice(0, accepted.tokens.length);
    text.commit(stay);
    drafting.settle(accepted, outcome.passMs, { otherRows: outcome.otherRows });
    if (stay.length === 0) return;
    this.#checkpoint(position);
    this.#observe(position, stay, outcome);
    this.#saver?.committed(stay.length, { prefill: false });
    this.#say(accepted, this.#draft);
  }

  #accept(drafts: readonly number[], outcome: PassRows): void {
    // Rows of a prompt decide as they are, whatever they were computed with.
    this.#say(this.#choose(drafts, outcome, true));
  }

  /** Chooses from the rows of a pass until a guess is wrong or a row decides nothing. */
  #choose(drafts: readonly number[], { logits, top }: PassRows, alone: boolean) {
    const { finish, onRow } = this.#options;
    const rows: readonly Logits[] = top ?? logits;
    const before = this.#chooser.length;
    return acceptDrafts({
      drafts,
      row: (index) => {
        const row = rows[index];
        if (row === undefined) throw new PacelineError('internal', `No logits of row ${index}`);
        if (this.#doubts(row, alone && rows.length === 1)) return undefined;
        onRow?.(before + index, wholeRow(row));
        return row;
      },
      chooser: this.#chooser,
      finish,
    });
  }

  /** Whether a row has to be computed again. One that was computed alone decides. */
  #doubts(row: Logits, alone: boolean): boolean {
    const { rounding } = this.#options;
    if (rounding === undefined) return false;
    if (alone) {
      if (this.#doubted !== undefined) rounding.compare(wholeRow(row), this.#doubted);
      this.#doubted = undefined;
      return false;
    }
    if (this.#chooser.isSure(row, rounding.bound)) return false;
    this.#doubted = Float32Array.from(wholeRow(row));
    this.#rechecked++;
    return true;
  }

  #say({ tokens, finish }: ReturnType<typeof acceptDrafts>, draft?: Draft): void {
    this.#events.push(this.#record.add(tokens, draft));
    if (finish !== undefined) this.#end(finish);
    else if (this.#chooser.length > this.text.state.capacity) this.#end('length');
    else this.#phase = 'decode';
  }

  /** State that cannot go back remembers where it may have to go. */
  #checkpoint(from: number): void {
    const { state } = this.text;
    if (state.canGoBack) return;
    const places = this.#boundaries.between(from, state.length);
    if (!state.hasFixed) for (const at of places) state.checkpoint(at);
    else if (places.length > 0) state.checkpoint(state.length);
  }

  /** Shows drafters the rows of a pass that belong to the text. */
  #observe(position: number, tokens: readonly number[], { hidden, taps }: PassRows): void {
    this.#options.drafting.observe({
      position,
      tokens,
      ...(hidden ? { hidden: firstRows(hidden, tokens.length) } : {}),
      ...(taps ? { taps: firstRows(taps, tokens.length) } : {}),
    });
  }

  #reportPrefill(): void {
    const { onProgress, prompt } = this.#options;
    const total = prompt.length - this.#cachedTokens;
    const done = this.text.tokens.length - this.#cachedTokens;
    onProgress?.({ task: 'prefill', done, total, unit: 'tokens' });
  }

  #end(reason: FinishReason): void {
    const { finish, prompt, settings, drafting, draftKind, warnings = [] } = this.#options;
    const rest = finish.flush();
    if (rest !== '') this.#events.push(this.#record.add([{ text: rest }]));
    const { steps, drafted, accepted, ...details } = drafting.statistics();
    const generation = this.#record.generation({
      finishReason: reason,
      promptTokens: prompt.length,
      cachedTokens: this.#cachedTokens,
      seed: settings.seed,
      ...(warnings.length > 0 ? { warnings } : {}),
      draft: {
        kind: draftKind,
        steps,
        drafted,
        accepted,
        ...details,
        ...(this.#options.rounding === undefined ? {} : { rechecked: this.#rechecked }),
      },
    });
    this.#events.push({ type: 'end', generation });
    this.#close();
  }

  #close(end: { readonly error?: unknown } = {}): void {
    this.#phase = 'done';
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#saver?.ended();
    this.text.state.trim();
    this.#events.close(end);
    // Nobody may use the text while it is being restored.
    if (this.#restoring === undefined) this.#resolveEnded();
    else void this.#restoring.then(this.#resolveEnded, this.#resolveEnded);
  }
}
