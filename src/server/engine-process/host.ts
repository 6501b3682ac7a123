/**
 * The models of a server and the requests that run on them. It is the whole engine side of a server;
 * that it usually lives in a process of its own is not its business.
 */
import { encodePrompt } from '../../chat/prompt.js';
import { contextOverflow } from '../../chat/refusals.js';
import type {
  EmbedRequest,
  EmbedResult,
  RankRequest,
  RankResult,
  TextRequest,
} from '../../chat/request.js';
import { type RunOptions, runText } from '../../chat/run.js';
import type { DraftKind } from '../../engine/types.js';
import { type ProofOptions, proveText } from '../../engine/verify/prove.js';
import type { EngineConfig, EngineStatus } from './messages.js';
import type { ModelActivity } from './model-report.js';
import { ModelPool, type ModelPoolOptions, type ModelSpec } from './models.js';

export class EngineHost {
  readonly #models: ModelPool;
  readonly #draft: DraftKind | undefined;

  constructor(options: EngineConfig & Pick<ModelPoolOptions, 'onChange'>) {
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
      (loaded) => runText(loaded, { ...request, settings }, options),
      options.signal,
    );
  }

  /** Tokens of the request's prompt. @throws as `run`, but a prompt that is too long is counted. */
  count(request: TextRequest): Promise<number> {
    return this.#models.use(
      request.model,
      async ({ model, replay }) => encodePrompt(model, request, replay).length,
    );
  }

  /**
   * Generates a text plainly and with drafts, and tells both and whether they are the same.
   * @throws as `run`
   */
  prove(
    request: TextRequest,
    { signal, onEvent }: Pick<ProofOptions, 'onEvent'> & { readonly signal: AbortSignal },
  ): Promise<void> {
    return this.#models.use(
      request.model,
      async ({ model, replay }) => {
        const prompt = encodePrompt(model, request, replay);
        const { contextLength } = model.info;
        const room = contextLength - prompt.length;
        if (room < 1) throw contextOverflow(prompt.length, contextLength);
        const { settings } = request;
        const maxTokens = Math.min(settings.maxTokens ?? room, room);
        const { draft = this.#draft } = settings;
        await proveText(model, { prompt, settings, maxTokens, draft, signal, onEvent });
      },
      signal,
    );
  }

  /** What a model has computed after the pass of this number; nothing while it is not loaded. */
  activity(model: string, since: number): ModelActivity | undefined {
    return this.#models.activity(model, since);
  }

  /** Adds a model to those that can be asked for. */
  add(spec: ModelSpec): void {
    this.#models.add(spec);
  }

  /** Loads a model that is not in memory. @throws as `loadModel`; `model-not-found`, `busy` */
  load(model: string): Promise<void> {
    return this.#models.use(model, async () => {});
  }

  /** Vectors of texts. @throws as `Model.embed`; `model-not-found`, `busy`. */
  embed({ model: id, texts, dimensions }: EmbedRequest, signal: AbortSignal): Promise<EmbedResult> {
    return this.#models.use(
      id,
      async ({ model }) => {
        const began = performance.now();
        const { vectors, tokens } = await model.embed(texts, { dimensions, signal });
        return { vectors, tokens, milliseconds: performance.now() - began };
      },
      signal,
    );
  }

  /** Documents, the best first. @throws as `Model.rank`; `model-not-found`, `busy`. */
  rank({ model: id, query, documents }: RankRequest, signal: AbortSignal): Promise<RankResult> {
    return this.#models.use(
      id,
      async ({ model }) => {
        const began = performance.now();
        const ranking = await model.rank(query, documents, { signal });
        return { ...ranking, milliseconds: performance.now() - began };
      },
      signal,
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
