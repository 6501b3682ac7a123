/**
 * The models that a server knows, by name: what their files say, read once from the headers, joined
 * with what the engine says of them now. Requests name models of this list only, so that no request
 * ever names a file; those of the disk are added by `library.ts`.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { reasoningMarks } from '../chat/reasoning.js';
import { resolveModelPath } from '../engine/model-path.js';
import { type GgufFile, readGguf } from '../gguf/reader.js';
import { summarize } from '../gguf/summary.js';
import type { EngineStatus } from './engine-process/messages.js';
import type { ModelSpec, ModelState } from './engine-process/models.js';

/** What the file of a model says. */
export interface ModelFacts {
  readonly id: string;
  /** When the file was last changed, in milliseconds since 1970. */
  readonly createdAt: number;
  readonly bytes: number;
  /** SHA-256 of the header's facts and the size: equal files have equal digests. */
  readonly digest: string;
  readonly architecture: string;
  readonly parameters: number;
  /** The type of most of the weights. */
  readonly quantization: string;
  readonly trainedContextLength: number | undefined;
  readonly licence: string;
  readonly template: string;
  /** Whether the file says that the model continues text. */
  readonly isBaseModel: boolean;
  /** Bytes of weights of experts; 0 for models without. */
  readonly expertBytes: number;
  readonly capabilities: readonly string[];
  /** Numbers and short texts of the header. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface CatalogEntry extends ModelFacts {
  readonly state: ModelState['state'];
  readonly pinned: boolean;
  readonly users: number;
  /** The context of its sessions while it is loaded. */
  readonly contextLength: number | undefined;
  readonly expiresAt: number | undefined;
  readonly slots: NonNullable<ModelState['slots']>;
  /** While it is loaded. */
  readonly info: ModelState['info'];
  readonly memory: ModelState['memory'];
  readonly experts: ModelState['experts'];
  /** While it is loading. */
  readonly progress: ModelState['progress'];
  /** The backend that serves it, where it is not this engine. */
  readonly backend?: string;
}

interface Known {
  readonly spec: ModelSpec;
  readonly facts: ModelFacts;
}

/** A model that another engine serves: its entry is made when somebody asks for it. */
export interface OtherModel {
  readonly id: string;
  readonly entry: () => CatalogEntry;
}

export class Catalog {
  readonly #models: Map<string, Known>;
  readonly #status: () => EngineStatus;
  readonly #others: () => readonly OtherModel[];

  /** Use `readCatalog`. @param others models that other engines serve now */
  constructor(
    models: readonly Known[],
    status: () => EngineStatus,
    others: () => readonly OtherModel[] = () => [],
  ) {
    this.#models = new Map(models.map((known) => [known.spec.id, known]));
    this.#status = status;
    this.#others = others;
  }

  list(): readonly CatalogEntry[] {
    const states = new Map(this.#status().models.map((state) => [state.id, state]));
    const own = [...this.#models.values()].map(({ facts }) =>
      withState(facts, states.get(facts.id)),
    );
    const others = this.#others().filter(({ id }) => !this.#models.has(id));
    return [...own, ...others.map(({ entry }) => entry())];
  }

  /** Whether this engine has a model of this name. */
  isOwn(id: string): boolean {
    return this.#models.has(id);
  }

  /** What the model of this file is called here; undefined for a file that is not served. */
  nameOf(path: string): string | undefined {
    return this.#ofFile(path)?.id;
  }

  #ofFile(path: string): ModelSpec | undefined {
    return [...this.#models.values()].find(({ spec }) => resolveModelPath(spec.source) === path)
      ?.spec;
  }

  /**
   * Adds a model, under its name or that with a number where it is taken; a file that is here keeps the
   * name that it has. @throws {PacelineError} as `readGguf`
   */
  async add(model: Exclude<ServedModel, string>): Promise<ModelSpec> {
    const facts = await readFacts({ id: model.id, source: model.path });
    const present = this.#ofFile(resolveModelPath(model.path));
    if (present !== undefined) return present;
    const spec = specOf(model, freeName(model.id, this.#models));
    this.#models.set(spec.id, { spec, facts: { ...facts, id: spec.id } });
    return spec;
  }

  /** The model of this name, with or without the tag `:latest`. @throws `model-not-found` */
  get(name: string): CatalogEntry {
    const id = this.#models.has(name) ? name : name.replace(/:latest$/, '');
    const facts = this.#models.get(id)?.facts;
    if (facts === undefined) {
      const others = this.#others();
      const other =
        others.find((model) => model.id === name) ?? others.find((model) => model.id === id);
      if (other !== undefined) return other.entry();
      const names = [...this.#models.keys(), ...others.map((entry) => entry.id)];
      throw new PacelineError('model-not-found', `There is no model ${JSON.stringify(name)}`, {
        hint:
          names.length === 0 ? 'No model is there yet.' : `This server has: ${names.join(', ')}.`,
        details: { param: 'model' },
      });
    }
    return withState(
      facts,
      this.#status().models.find((state) => state.id === id),
    );
  }
}

function withState(facts: ModelFacts, state: ModelState | undefined): CatalogEntry {
  return {
    ...facts,
    state: state?.state ?? 'unloaded',
    pinned: state?.pinned ?? false,
    users: state?.users ?? 0,
    contextLength: state?.info?.contextLength,
    expiresAt: state?.expiresAt,
    slots: state?.slots ?? [],
    info: state?.info,
    memory: state?.memory,
    experts: state?.experts,
    progress: state?.progress,
  };
}

/** A model that a server is given: a path or `default`, or a name of its own for one. */
export type ServedModel =
  | string
  | { readonly id: string; readonly path: string; readonly draftModels?: readonly string[] };

/** What requests call a model that was given as a path: its file's name. */
export function modelId(source: string): string {
  return source === 'default' ? source : basename(source).replace(/\.gguf$/i, '');
}

/** What requests call a model by the name that somebody gave it: paths lose their folders. */
export function servedName(name: string): string {
  return /\.gguf$/i.test(name) ? modelId(name) : name;
}

/**
 * The specs of the models that a server was given; the first is pinned. Names that collide get a
 * number.
 */
export function modelSpecs(models: readonly ServedModel[]): readonly ModelSpec[] {
  const taken = new Set<string>();
  return models.map((model, index) => {
    const given = typeof model === 'string' ? { id: modelId(model), path: model } : model;
    const id = freeName(given.id, taken);
    taken.add(id);
    return { ...specOf(given, id), pinned: index === 0 };
  });
}

function specOf({ path, draftModels }: Exclude<ServedModel, string>, id: string): ModelSpec {
  return { id, source: path, ...(draftModels === undefined ? {} : { draftModels }) };
}

function freeName(wanted: string, taken: { has(name: string): boolean }): string {
  let name = wanted;
  for (let number = 2; taken.has(name); number++) name = `${wanted}-${number}`;
  return name;
}

/** Reads the headers. @throws {PacelineError} as `readGguf` */
export async function readCatalog(
  specs: readonly ModelSpec[],
  status: () => EngineStatus,
  others?: () => readonly OtherModel[],
): Promise<Catalog> {
  const known = specs.map(async (spec) => ({ spec, facts: await readFacts(spec) }));
  return new Catalog(await Promise.all(known), status, others);
}

/** What the file of a model says. @throws {PacelineError} as `readGguf` */
export async function readFacts({ id, source }: ModelSpec): Promise<ModelFacts> {
  const path = resolveModelPath(source);
  await using file = await readGguf(path);
  const summary = summarize(file);
  const { mtimeMs } = await stat(path);
  const template = file.optionalString('tokenizer.chat_template') ?? '';
  const metadata = shortMetadata(file);
  const tensors = [...file.tensors.values()].map(({ name, type, shape }) => [name, type, shape]);
  let expertBytes = 0;
  for (const [name, { bytes }] of file.tensors) if (/_exps\./.test(name)) expertBytes += bytes;
  const digest = createHash('sha256')
    .update(JSON.stringify([metadata, tensors, summary.fileBytes]))
    .digest('hex');
  return {
    id,
    createdAt: Math.round(mtimeMs),
    bytes: summary.fileBytes,
    digest,
    architecture: summary.architecture ?? 'unknown',
    parameters: summary.parameters,
    quantization: (summary.types[0]?.type ?? 'unknown').toUpperCase(),
    trainedContextLength: summary.contextLength,
    licence: summary.license ?? '',
    template,
    // The embedded model's file does not say it of itself.
    isBaseModel: source === 'default' || file.optionalString('general.finetune') === 'base',
    expertBytes,
    capabilities: ['completion', ...(reasoningMarks(template) ? ['thinking'] : [])],
    metadata,
  };
}

/** Lists and long texts (vocabularies, templates) are left out. */
function shortMetadata(file: GgufFile): Record<string, unknown> {
  const entries = [...file.metadata].flatMap(([key, { value }]) => {
    if (typeof value === 'bigint') return [[key, Number(value)] as const];
    const short =
      typeof value === 'number' ||
      typeof value === 'boolean' ||
      (typeof value === 'string' && value.length <= 200);
    return short ? [[key, value] as const] : [];
  });
  return Object.fromEntries(entries);
}
