/** Models that other engines serve, as entries of the catalog: what is not known of them is said so. */
import { createHash } from 'node:crypto';
import type { BackendModel } from '../backends/engine.js';
import type { CatalogEntry, ModelFacts } from './catalog.js';

const startedAt = Date.now();

/** @param header what the model's file says, where that is on this machine */
export function backendEntry(model: BackendModel, header?: ModelFacts): CatalogEntry {
  const { id, backend, contextLength, state, pinned, users, capabilities } = model;
  return {
    ...(header ?? toldFacts(model)),
    id,
    ...(capabilities === undefined ? {} : { capabilities }),
    state,
    pinned,
    users,
    contextLength,
    expiresAt: undefined,
    slots: [],
    info: undefined,
    memory: undefined,
    progress: undefined,
    experts: undefined,
    backend,
  };
}

/** What the engine says. */
function toldFacts({ id, backend, contextLength, facts }: BackendModel): ModelFacts {
  return {
    id,
    createdAt: startedAt,
    bytes: facts?.bytes ?? 0,
    // Where nothing of its file is known, it is equal for equal names.
    digest: facts?.digest || createHash('sha256').update(`${backend}/${id}`).digest('hex'),
    architecture: facts?.architecture ?? 'unknown',
    parameters: facts?.parameters ?? 0,
    quantization: facts?.quantization ?? 'unknown',
    trainedContextLength: contextLength,
    licence: '',
    // What it says is not known; that it takes conversations is.
    template: '{# applied by the backend #}',
    isBaseModel: false,
    expertBytes: 0,
    capabilities: ['completion'],
    metadata: {},
  };
}
