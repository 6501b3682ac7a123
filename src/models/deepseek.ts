/**
 * DeepSeekMoE, the first generation (arXiv 2401.06066), and EMO (arXiv 2605.06663), whose checkpoints
 * are converted to it: Llama's attention, and many small experts beside shared ones, which are one
 * network. Router weights are a softmax over all experts and are not normalised for the chosen ones.
 */
import { type Decoder, decoder } from './decoder.js';
import { type Llama, type LlamaBlock, llamaParts } from './llama.js';
import type { Metadata } from './metadata.js';
import type { Hyperparameters } from './model.js';
import { readSparseNetwork } from './sparse-network.js';

function hyperparameters(m: Metadata, common: Hyperparameters): Llama {
  const sparse = readSparseNetwork(m, common, 'softmax');
  const { rating, normalise, groups } = sparse.routing;
  if (rating !== 'softmax') throw m.unsupported('expert_gating_func', `a rating by ${rating}`);
  if (normalise) throw m.unsupported('expert_weights_norm', 'normalised router weights');
  if (groups) throw m.unsupported('expert_group_count', 'groups of experts');
  return { ...llamaParts.hyperparameters(m, common), sparse };
}

export const deepseek: Decoder = decoder<Llama, LlamaBlock>({ ...llamaParts, hyperparameters });
