/** `GET /v1/models` and `/v1/models/{id}`: what the catalog holds, and what of it is in memory. */
import type { CatalogEntry } from '../../catalog.js';

/** One model in the API's shape, with what else clients ask for. */
export function openaiModel(entry: CatalogEntry): Record<string, unknown> {
  const { id, createdAt, state, contextLength, trainedContextLength, capabilities } = entry;
  return {
    id,
    object: 'model',
    created: Math.floor(createdAt / 1000),
    owned_by: 'paceline',
    state,
    context_length: contextLength ?? trainedContextLength,
    capabilities,
    ...(entry.backend === undefined ? {} : { backend: entry.backend }),
  };
}

export function openaiModelList(entries: readonly CatalogEntry[]): Record<string, unknown> {
  return { object: 'list', data: entries.map(openaiModel) };
}
