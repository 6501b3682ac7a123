/**
 * IBM's Granite, dense and with experts (`granitemoe`, which may have a network beside them that every
 * row goes through): Llama with factors on embeddings, scores, residuals and logits (muP).
 */
import { type Decoder, decoder } from './decoder.js';
import { type Llama, type LlamaBlock, llamaParts } from './llama.js';

interface Granite extends Llama {
  readonly embeddingScale: number;
  /** Logits are divided by it. */
  readonly logitScale: number;
}

export const granite: Decoder = decoder<Granite, LlamaBlock>({
  ...llamaParts,
  hyperparameters(m, common): Granite {
    const rotates = m.flag('rope.scaling.finetuned', true) || m.architecture === 'granitemoe';
    const attentionScale = m.notNegative('attention.scale', 0);
    return {
      ...llamaParts.hyperparameters(m, common),
      sharedInner: m.count('expert_shared_feed_forward_length', 0, 0),
      rotates: common.attention.map(() => rotates),
      attentionScale: attentionScale === 0 ? undefined : attentionScale,
      residualScale: m.notNegative('residual_scale', 0) || 1,
      embeddingScale: m.notNegative('embedding_scale', 0) || 1,
      logitScale: m.positive('logit_scale'),
    };
  },
  embed: (graph, h, x) => (h.embeddingScale === 1 ? x : graph.scale(x, h.embeddingScale)),
  logits: (graph, h, z) => graph.scale(z, 1 / h.logitScale),
});
