/** Collects what a text has said and how long it took, for the result at its end. */
import type { ChosenToken } from '../decode/accept.js';
import type { Draft } from '../decode/drafting.js';
import type { Generation, LikelyToken, StreamEvent, TokenLogprob } from './types.js';

type TextStep = Extract<StreamEvent, { type: 'text' }>;

/** The text and bytes of a token. */
export type Spell = (token: number) => Pick<LikelyToken, 'text' | 'bytes'>;

export class TextRecord {
  readonly #tokens: number[] = [];
  readonly #logprobs: TokenLogprob[] | undefined;
  readonly #spell: Spell;
  readonly #made = performance.now();
  #text = '';
  #stop: string | number | undefined;
  #began: number | undefined;
  #restored: number | undefined;
  #prefilled: number | undefined;

  constructor(withLogprobs: boolean, spell: Spell) {
    this.#spell = spell;
    this.#logprobs = withLogprobs ? [] : undefined;
  }

  /** The first pass is near. */
  start(): void {
    this.#began = performance.now();
  }

  /** What is known of the prompt is there. */
  restored(): void {
    this.#restored = performance.now();
  }

  /** The prompt has been read. */
  prefilled(): void {
    this.#prefilled = performance.now();
  }

  /** Adds chosen tokens, or text without a token, and returns their event. */
  add(step: readonly (ChosenToken | { readonly text: string })[], draft?: Draft): StreamEvent {
    const kept = step.filter((part): part is ChosenToken => 'token' in part && part.keep);
    const text = step.map((part) => part.text).join('');
    this.#text += text;
    for (const { token } of kept) this.#tokens.push(token);
    const logprobs = this.#logprobs && kept.map((part) => this.#logprobOf(part));
    this.#logprobs?.push(...(logprobs ?? []));
    const last = step.at(-1);
    if (last !== undefined && 'token' in last && last.finish === 'stop') {
      this.#stop = last.stop ?? last.token;
    }
    return {
      type: 'text',
      text,
      tokens: kept.map(({ token }) => token),
      drafted: kept.map(({ drafted }) => drafted),
      ...proposalOf(draft),
      ...(logprobs === undefined ? {} : { logprobs }),
    };
  }

  #logprobOf({ token, logprob = 0, top = [] }: ChosenToken): TokenLogprob {
    return {
      ...this.#likely({ token, logprob }),
      top: top.map((alternative) => this.#likely(alternative)),
    };
  }

  #likely({ token, logprob }: Pick<LikelyToken, 'token' | 'logprob'>): LikelyToken {
    return { token, logprob, ...this.#spell(token) };
  }

  /** The result. */
  generation(rest: Omit<Generation, 'text' | 'tokens' | 'logprobs' | 'timings'>): Generation {
    const now = performance.now();
    const began = this.#began ?? now;
    const restored = this.#restored ?? began;
    const prefilled = this.#prefilled ?? now;
    const prefillMs = prefilled - restored;
    const decodeMs = now - prefilled;
    return {
      text: this.#text,
      tokens: this.#tokens,
      ...(this.#logprobs ? { logprobs: this.#logprobs } : {}),
      ...rest,
      ...(this.#stop === undefined ? {} : { stop: this.#stop }),
      timings: {
        queueMs: began - this.#made,
        restoreMs: restored - began,
        prefillMs,
        prefillTokensPerSecond: perSecond(rest.promptTokens - rest.cachedTokens, prefillMs),
        decodeMs,
        decodeTokensPerSecond: perSecond(this.#tokens.length, decodeMs),
      },
    };
  }
}

function proposalOf(draft: Draft | undefined): Pick<TextStep, 'proposal'> {
  if (draft?.drafter === undefined || draft.tokens.length === 0) return {};
  return { proposal: { drafter: draft.drafter, tokens: draft.tokens } };
}

function perSecond(count: number, milliseconds: number): number {
  return milliseconds > 0 ? (count * 1000) / milliseconds : 0;
}
