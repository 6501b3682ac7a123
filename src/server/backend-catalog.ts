/** Models that other engines serve, as entries of the catalog: what is not known of them is said so. */
import { createHash } from 'node:crypto';
import type { BackendModel } from '../backends/engine.js';
import type { CatalogEntry } from './catalog.js';

const startedAt = Date.now();

export function backendEntry(model: BackendModel): CatalogEntry {
  const { id, backend, contextLength, state, pinned, users } = model;
  return {
    id,
    createdAt: startedAt,
    bytes: 0,
    // Nothing of its file is known: of equal names they are equal.
    digest: createHash('sha256').update(`${backend}/${id}`).digest('hex'),
    architecture: 'unknown',
    parameters: 0,
    quantization: 'unknown',
    trainedContextLength: contextLength,
    licence: '',
    // What it says is not known; that it takes conversations is.
    template: '{# applied by the backend #}',
    isBaseModel: false,
    expertBytes: 0,
    capabilities: ['completion'],
    metadata: {},
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
