/** `GET /paceline/v1/status`, `.../activity` and `.../library`: what only this server can tell. */
import type { UpstreamReport } from '../../../backends/engine.js';
import { hostMemory } from '../../../ggml/host.js';
import type { CatalogEntry } from '../../catalog.js';
import type { ModelActivity } from '../../engine-process/model-report.js';
import type { LibraryEntry } from '../../library.js';

export interface StatusFacts {
  readonly version: string;
  readonly engine: string;
  readonly restarts: number;
  readonly waiting: number;
  /** Resident memory of the engine's process. */
  readonly memoryBytes: number;
  readonly models: readonly CatalogEntry[];
  readonly upstreams: readonly UpstreamReport[];
}

/** The server and its models, with what each holds in memory. */
export function statusBody(facts: StatusFacts) {
  const { total, available } = hostMemory();
  return {
    version: facts.version,
    engine: facts.engine,
    restarts: facts.restarts,
    waiting: facts.waiting,
    memory: { total, available, engine: facts.memoryBytes },
    models: facts.models.map(modelBody),
    upstreams: facts.upstreams,
  };
}

function modelBody(entry: CatalogEntry) {
  const { info, memory } = entry;
  return {
    id: entry.id,
    backend: entry.backend ?? null,
    name: entry.metadata['general.name'] ?? entry.id,
    architecture: entry.architecture,
    parameters: entry.parameters,
    quantization: entry.quantization,
    bytes: entry.bytes,
    expert_bytes: entry.expertBytes,
    state: entry.state,
    pinned: entry.pinned,
    users: entry.users,
    progress: entry.progress ?? null,
    has_chat_template: entry.template !== '',
    is_base_model: entry.isBaseModel,
    thinks: entry.capabilities.includes('thinking'),
    context_length: entry.contextLength ?? null,
    trained_context_length: entry.trainedContextLength ?? null,
    expires_at: entry.expiresAt ?? null,
    slots: entry.slots,
    drafters: info?.drafters.map(({ name }) => name) ?? [],
    kernels: info?.kernels ?? null,
    threads: info?.threads ?? null,
    exact: info?.exact ?? null,
    kv_type: info?.kvType ?? null,
    sampling: info?.recommendedSampling ?? {},
    load_ms: info?.loadMs ?? null,
    memory_plan: info?.memoryPlan ?? null,
    experts: expertsBody(entry),
    memory:
      memory === undefined
        ? null
        : {
            weight_bytes: memory.weightBytes,
            drafters: memory.drafters.map(({ name, weightBytes }) => ({
              name,
              weight_bytes: weightBytes,
            })),
            texts: memory.texts,
            full_text_bytes: memory.fullTextBytes,
          },
  };
}

/** Experts that stay in the file; null where there are none. */
function expertsBody({ info, experts }: CatalogEntry) {
  if (info?.experts === undefined || experts === undefined) return null;
  const { rows, asked, found, bytesRead, waitedMs } = experts;
  return {
    memory_bytes: info.experts.memory,
    whole_bytes: info.experts.whole,
    held: experts.held,
    count: info.experts.count,
    hit_rate: asked === 0 ? null : found / asked,
    bytes_per_token: rows === 0 ? null : bytesRead / rows,
    bytes_read: bytesRead,
    waited_ms: waitedMs,
  };
}

/** Passes of a model since the last that is known, and what passes cost. */
export function activityBody(activity: ModelActivity | undefined) {
  const { passes = [], passMs = {}, promptRowMs } = activity ?? {};
  return {
    now: Date.now(),
    passes: passes.map(({ number, endedAt, ms, parts }) => ({
      number,
      ended_at: endedAt,
      ms,
      parts,
    })),
    pass_ms: passMs,
    prompt_row_ms: promptRowMs ?? null,
  };
}

/** Models on this machine's disk. */
export function libraryBody(listed: readonly LibraryEntry[]) {
  return {
    models: listed.map(({ id, servedAs, name, aliases, bytes, quant, summary, problem }) => ({
      id,
      served_as: servedAs ?? null,
      name: aliases[0] ?? name,
      bytes,
      quantization: quant ?? null,
      architecture: summary?.architecture ?? null,
      parameters: summary?.parameters ?? null,
      problem: problem ?? null,
    })),
  };
}
