/**
 * A model that a provider has: loaded when it is first asked for, with sessions whose caches outlive
 * the calls, and a queue for the calls beyond them. Knows nothing of the AI SDK.
 */
import { PacelineError } from '../base/errors.js';
import { Admission } from '../chat/admission.js';
import { ReplayMemory } from '../chat/replay.js';
import type { TextRequest } from '../chat/request.js';
import { type RunOptions, runText, type TextRunner } from '../chat/run.js';
import { SlotPool } from '../chat/slots.js';
import { loadModel } from '../engine/load.js';
import type { Model } from '../engine/model.js';
import type { Checked } from '../engine/options.js';
import type { Embeddings, EmbedOptions, LoadOptions } from '../engine/types.js';
import { hubEnvironment } from '../hub/environment.js';
import { locateModel } from '../hub/locate.js';
import { readSettings } from '../hub/settings.js';

/** Calls that may wait for one model; one more is refused. */
const queueLimit = 1024;

export interface HeldModelOptions {
  /** A name to load, or a model that its owner disposes of. */
  readonly source: string | Model;
  readonly load: LoadOptions;
  /** Calls at once. */
  readonly slots: number;
}

export class HeldModel {
  readonly #options: HeldModelOptions;
  readonly #admission: Admission;
  #loading: Promise<TextRunner> | undefined;

  constructor(options: HeldModelOptions) {
    this.#options = options;
    this.#admission = new Admission({ slots: options.slots, queueLimit });
  }

  /**
   * Runs a request, after loading and after those that came before it.
   * @throws as `loadModel` and `runText`; `busy` when too many wait.
   */
  async run(request: TextRequest, options: RunOptions): Promise<void> {
    const release = await this.#enter(options.signal, request.affinity);
    try {
      await runText(await unlessAborted(this.#load(), options.signal), request, options);
    } finally {
      release();
    }
  }

  /**
   * Vectors of texts, after loading and after the calls that came before.
   * @throws as `loadModel` and `Model.embed`; `busy` when too many wait.
   */
  async embed(
    texts: readonly string[],
    options: Checked<EmbedOptions> & { readonly signal: AbortSignal },
  ): Promise<Embeddings> {
    const { signal } = options;
    const release = await this.#enter(signal);
    try {
      const { model } = await unlessAborted(this.#load(), signal);
      return await model.embed(texts, options);
    } finally {
      release();
    }
  }

  /** Ends what runs and frees the memory, but for a model that was given. Nothing may run afterwards. */
  async dispose(): Promise<void> {
    const runner = await this.#loading?.catch(() => undefined);
    runner?.slots.dispose();
    if (typeof this.#options.source === 'string') await runner?.model.dispose();
  }

  #enter(signal: AbortSignal, client = ''): Promise<() => void> {
    return this.#admission.enter({ model: '', slots: 1, client }, signal);
  }

  #load(): Promise<TextRunner> {
    this.#loading ??= this.#loadNow().catch((error: unknown) => {
      // A later call may find the file, or the memory, that was missing.
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  async #loadNow(): Promise<TextRunner> {
    const { source, load, slots } = this.#options;
    const model = typeof source === 'string' ? await loadByName(source, load) : source;
    const pool = new SlotPool({ limit: slots, create: () => model.createSession() });
    return { model, slots: pool, replay: new ReplayMemory() };
  }
}

/** Loads a model by any of the names that the command line takes; nothing is downloaded. */
async function loadByName(name: string, options: LoadOptions): Promise<Model> {
  const settings = await readSettings();
  const found = await locateModel(name, { environment: hubEnvironment(), settings });
  if (!('path' in found)) {
    throw new PacelineError('model-not-found', `${found.text} is not on this machine`, {
      hint: `Get it with \`paceline pull ${found.text}\`.`,
      details: { model: found.text },
    });
  }
  const { path, drafters } = found;
  const draftModels = options.draftModels ?? (drafters.length > 0 ? drafters : undefined);
  return loadModel(path, { ...options, draftModels });
}

/** The result, unless the signal comes first. What was begun goes on for others. */
async function unlessAborted<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new PacelineError('aborted', 'The call was given up'));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
