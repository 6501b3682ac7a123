/** The settings of sampling, and those of who asks for none. `settings.ts` checks what callers give. */

/** Complete settings; `defaultSampling` documents the defaults. */
export interface SamplingSettings {
  /** Divides the logits; 0 takes the largest logit, the lowest id at ties. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Keep the smallest set of most likely tokens whose probability reaches this; 1 keeps all. */
  readonly topP: number;
  /** Keep tokens at least this fraction as likely as the most likely one; 0 keeps all. */
  readonly minP: number;
  /** Positive logits of tokens in the window are divided by this, others multiplied; 1 is off. */
  readonly repetitionPenalty: number;
  /** Subtracted once from the logit of each token in the window. */
  readonly presencePenalty: number;
  /** Subtracted from a token's logit once for each time it is in the window. */
  readonly frequencyPenalty: number;
  /** The penalties look at this many last tokens of prompt and output; -1 at all, 0 at none. */
  readonly penaltyWindow: number;
  /** Added to the logits before everything else; -Infinity bans a token. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** Key of the noise; same seed, same text. */
  readonly seed: number;
  /** Report the chosen token's log-probability and this many most likely tokens; 0 is off. */
  readonly logprobs: number;
}

/**
 * The defaults that users of llama.cpp and Ollama know: temperature 0.8, top-k 40, top-p 0.95,
 * min-p 0.05, penalties off with a window of 64. Without a seed every text gets a random one,
 * which is part of the result, so that it can be had again.
 */
export const defaultSampling: Readonly<Omit<SamplingSettings, 'seed'>> = Object.freeze({
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  penaltyWindow: 64,
  logitBias: new Map<number, number>(),
  logprobs: 0,
});
