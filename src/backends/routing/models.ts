/**
 * What an upstream says of its models: their names by OpenAI's list, and where it has Ollama's routes
 * also what they are and which of them are in memory. All of it is a stranger's, and bounded.
 */
import { isRecord } from '../../base/records.js';
import type { BackendDescriptor } from '../descriptor.js';
import type { UpstreamClient } from '../wire/http.js';
import { countOf, fieldOf, type JsonRecord, listOf, textOf } from '../wire/values.js';

/** What a model is. */
export interface UpstreamModelFacts {
  readonly architecture: string;
  readonly parameters: number;
  readonly quantization: string;
  readonly bytes: number;
  readonly digest: string;
}

/** A model that an upstream says it has. */
export interface UpstreamModel {
  readonly id: string;
  readonly contextLength: number | undefined;
  /** What clients may ask of it, in Ollama's words; undefined where the upstream does not tell. */
  readonly capabilities: readonly string[] | undefined;
  readonly facts: UpstreamModelFacts | undefined;
  /** Whether it is in memory; undefined where the upstream does not tell. */
  readonly isLoaded: boolean | undefined;
}

const mostModels = 1000;
const mostNameCharacters = 200;

/** @throws {PacelineError} `network`, or what the upstream answers; `aborted` */
export async function listModels(
  client: UpstreamClient,
  { ollamaRoutes }: Pick<BackendDescriptor, 'ollamaRoutes'>,
  options: { readonly signal: AbortSignal; readonly headTimeoutMs: number },
): Promise<readonly UpstreamModel[]> {
  const get = (path: string): Promise<unknown> => client.json('GET', path, undefined, options);
  const more = ollamaRoutes ? ['/api/tags', '/api/ps'] : [];
  const [listed, tags, running] = await Promise.all([
    get('/v1/models'),
    // Behind a proxy that passes OpenAI's routes only, less is known.
    ...more.map((path) => get(path).catch(() => undefined)),
  ]);
  const facts = byName(tags, factsOf);
  const loaded = byName(running, () => true);
  return listOf(fieldOf(listed, 'data'))
    .slice(0, mostModels)
    .flatMap((entry) => {
      if (!isRecord(entry)) return [];
      const id = textOf(entry.id);
      if (id === '' || id.length > mostNameCharacters) return [];
      const name = tagged(id);
      const { meta, capabilities } = entry;
      const contextLength =
        countOf(entry.max_model_len) ??
        countOf(entry.context_length) ??
        countOf(fieldOf(meta, 'n_ctx')) ??
        countOf(fieldOf(meta, 'n_ctx_train'));
      return {
        id,
        contextLength,
        capabilities: Array.isArray(capabilities)
          ? capabilities.map(textOf).slice(0, 16)
          : undefined,
        facts: facts.get(name),
        isLoaded: running === undefined ? undefined : loaded.has(name),
      };
    });
}

/**
 * The `owned_by` of an upstream's first model, which tells most engines; undefined: it says nothing.
 * @throws as `listModels`
 */
export async function ownerOfModels(
  client: UpstreamClient,
  options: { readonly signal: AbortSignal; readonly headTimeoutMs: number },
): Promise<string | undefined> {
  const answer = await client.json('GET', '/v1/models', undefined, options);
  const [first] = listOf(fieldOf(answer, 'data'));
  return textOf(fieldOf(first, 'owned_by')) || undefined;
}

/** Names in Ollama's dialect have a tag. */
function tagged(id: string): string {
  return id.includes(':') ? id : `${id}:latest`;
}

/** The entries of one of Ollama's lists by their names. */
function byName<T>(answer: unknown, read: (entry: JsonRecord) => T): ReadonlyMap<string, T> {
  return new Map(
    listOf(fieldOf(answer, 'models'))
      .slice(0, mostModels)
      .flatMap((entry) =>
        isRecord(entry) ? [[tagged(textOf(entry.name)), read(entry)] as const] : [],
      ),
  );
}

function factsOf({ size, digest, details }: JsonRecord): UpstreamModelFacts {
  const text = (name: string): string => shortText(fieldOf(details, name)) || 'unknown';
  return {
    architecture: text('family'),
    parameters: parametersOf(textOf(fieldOf(details, 'parameter_size'))),
    quantization: text('quantization_level'),
    bytes: typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : 0,
    digest: shortText(digest),
  };
}

function shortText(value: unknown): string {
  return textOf(value).slice(0, mostNameCharacters);
}

/** `7.1M` as a number; 0 for what is none. */
function parametersOf(text: string): number {
  const [, count, unit = ''] = /^([\d.]+)([KMBT]?)$/i.exec(text) ?? [];
  const scale = { K: 1e3, M: 1e6, B: 1e9, T: 1e12 }[unit.toUpperCase()] ?? 1;
  const parameters = Math.round(Number(count) * scale);
  return Number.isSafeInteger(parameters) ? parameters : 0;
}
