/**
 * Gemma 2 (arXiv 2408.00118): Gemma 3 without norms of queries and keys, but with soft caps on scores
 * and logits; every other layer has a sliding window, and all rotate alike. The head is always the
 * embedding table.
 */
import { type Decoder, decoder } from './decoder.js';
import { type Gemma3, gemmaParts } from './gemma3.js';
import { type Metadata, readWindows } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { readRope } from './rope.js';

function hyperparameters(m: Metadata, common: Hyperparameters): Gemma3 {
  const { layerCount, embeddingLength, attention } = common;
  const { heads, keyLength } = attention[0] as AttentionShape;
  const rope = readRope(m, common, 'halves');
  // The 27B model, known by its depth, scales by the width per head instead of the head size.
  const scaleLength = layerCount === 46 ? Math.floor(embeddingLength / heads) : keyLength;
  return {
    ...common,
    rope,
    windowRope: { ...rope, base: m.positive('rope.freq_base_swa', rope.base) },
    windows: readWindows(m, layerCount, { period: 2, window: 4096 }),
    inner: m.countPerLayer('feed_forward_length', layerCount),
    attentionScale: 1 / Math.sqrt(scaleLength),
    scoreSoftcap: m.notNegative('attn_logit_softcapping', 50),
    logitSoftcap: m.notNegative('final_logit_softcapping', 30),
    headNorms: false,
  };
}

export const gemma2: Decoder = decoder({ ...gemmaParts, hyperparameters });
