/**
 * An embedding model of the AI SDK (interfaces v4 and v3) that computes in this process. A vector
 * depends on its text alone, not on the others of a call.
 */
import type { EmbeddingModelV3CallOptions, EmbeddingModelV4CallOptions } from '@ai-sdk/provider';
import { checkOptions } from '../base/options.js';
import { type Checked, embedSchema } from '../engine/options.js';
import type { Embeddings, EmbedOptions } from '../engine/types.js';
import { reasonOf } from './abort.js';
import type { SpecificationVersion } from './language-model.js';
import type { PacelineEmbeddingMetadata } from './options.js';

/** A call of either interface. Only v4 says how many dimensions there shall be. */
type CallOptions =
  | (EmbeddingModelV3CallOptions & { readonly dimensions?: never })
  | EmbeddingModelV4CallOptions;

const ownSchema = embedSchema.pick({ pooling: true, dimensions: true });

export interface EmbeddingModelOptions<Version extends SpecificationVersion> {
  readonly version: Version;
  readonly modelId: string;
  readonly embed: (
    texts: readonly string[],
    options: Checked<EmbedOptions> & { readonly signal: AbortSignal },
  ) => Promise<Embeddings>;
}

export class PacelineEmbeddingModel<Version extends SpecificationVersion> {
  readonly specificationVersion: Version;
  readonly provider = 'paceline';
  readonly modelId: string;
  /** Texts are computed one after the other: there is nothing to be cut into calls. */
  readonly maxEmbeddingsPerCall = Number.POSITIVE_INFINITY;
  readonly supportsParallelCalls = true;
  readonly #embed: EmbeddingModelOptions<Version>['embed'];

  constructor({ version, modelId, embed }: EmbeddingModelOptions<Version>) {
    this.specificationVersion = version;
    this.modelId = modelId;
    this.#embed = embed;
  }

  /**
   * Vectors of length 1, one a text, in their order.
   * @throws {PacelineError} `usage`, `context-overflow`, `platform`, `model-not-found`, ...; the
   *   signal's reason.
   */
  async doEmbed({ values, dimensions, abortSignal, providerOptions }: CallOptions) {
    const own = checkOptions(ownSchema, providerOptions?.paceline, 'providerOptions.paceline');
    const signal = abortSignal ?? new AbortController().signal;
    try {
      const { vectors, tokens, pooling } = await this.#embed(values, {
        pooling: own.pooling,
        dimensions: dimensions ?? own.dimensions,
        signal,
      });
      return {
        embeddings: vectors.map((vector) => [...vector]),
        usage: { tokens },
        providerMetadata: { paceline: { pooling } satisfies PacelineEmbeddingMetadata },
        warnings: [],
      };
    } catch (error) {
      throw reasonOf(error, signal);
    }
  }
}
