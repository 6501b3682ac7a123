/** Ollama's `GET /api/tags`, `GET /api/ps` and `POST /api/show`. */
import type { CatalogEntry } from '../../catalog.js';

/** Names in this dialect have a tag. */
function taggedName(id: string): string {
  return id.includes(':') ? id : `${id}:latest`;
}

function details(entry: CatalogEntry) {
  return {
    parent_model: '',
    format: 'gguf',
    family: entry.architecture,
    families: [entry.architecture],
    parameter_size: shortCount(entry.parameters),
    quantization_level: entry.quantization,
  };
}

/** `7.1M`, as the dialect writes counts of parameters. */
function shortCount(count: number): string {
  const [size, unit] = count >= 1e9 ? [count / 1e9, 'B'] : [count / 1e6, 'M'];
  return `${size.toFixed(1)}${unit}`;
}

export function ollamaTags(entries: readonly CatalogEntry[]) {
  return {
    models: entries.map((entry) => ({
      name: taggedName(entry.id),
      model: taggedName(entry.id),
      modified_at: new Date(entry.createdAt).toISOString(),
      size: entry.bytes,
      digest: entry.digest,
      details: details(entry),
    })),
  };
}

/** Only what is in memory. */
export function ollamaProcesses(entries: readonly CatalogEntry[]) {
  return {
    models: entries
      .filter(({ state }) => state === 'ready')
      .map((entry) => ({
        name: taggedName(entry.id),
        model: taggedName(entry.id),
        size: entry.bytes,
        digest: entry.digest,
        details: details(entry),
        // A pinned model never expires: the dialect says so with a time far away.
        expires_at: new Date(entry.expiresAt ?? Date.UTC(9999, 0)).toISOString(),
        size_vram: 0,
        context_length: entry.contextLength,
      })),
  };
}

export function ollamaShow(entry: CatalogEntry) {
  return {
    modelfile: '',
    parameters: '',
    template: entry.template,
    license: entry.licence,
    details: details(entry),
    model_info: entry.metadata,
    capabilities: entry.capabilities,
    modified_at: new Date(entry.createdAt).toISOString(),
  };
}
