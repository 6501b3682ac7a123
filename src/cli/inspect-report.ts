/** What `paceline inspect` prints: a summary of the header, and the memory that contexts need. */

import { typeName } from '../ggml/types.js';
import { type MemoryNeed, memoryNeed } from '../gguf/kv-layout.js';
import type { GgufFile } from '../gguf/reader.js';
import { type GgufSummary, type PerLayer, summarize } from '../gguf/summary.js';
import { type GgufMetadataEntry, GgufValueType, valueTypeName } from '../gguf/types.js';
import { openModelFile } from './model-file.js';
import { bold, print, printJson } from './output.js';
import { bytes, count, printable, table } from './table.js';

export interface InspectFlags {
  readonly ctx?: number;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** Contexts to estimate memory for when none was asked for; those that the model knows. */
const usualContexts = [2048, 8192, 32768, 131072];

/** Runs the command. */
export async function inspectCommand(model: string, flags: InspectFlags): Promise<void> {
  const file = await openModelFile(model);
  try {
    const summary = summarize(file);
    const needs = memoryNeeds(summary, flags.ctx);
    if (flags.json === true) await printJson(inspectJson(file, summary, needs, flags.all === true));
    else await printSummary(file, summary, needs, flags.all === true);
  } finally {
    await file.close();
  }
}

function memoryNeeds(summary: GgufSummary, asked: number | undefined): MemoryNeed[] {
  const { cache, weightBytes, contextLength } = summary;
  if (cache === undefined) return [];
  const trained = contextLength ?? 0;
  const usual = [...usualContexts.filter((length) => length < trained), trained];
  const contexts = asked === undefined ? usual.filter((length) => length > 0) : [asked];
  return contexts.map((length) => memoryNeed(cache, { contextLength: length, weightBytes }));
}

function inspectJson(
  file: GgufFile,
  summary: GgufSummary,
  needs: readonly MemoryNeed[],
  all: boolean,
): Record<string, unknown> {
  const { tokenizer, experts } = summary;
  return {
    architecture: summary.architecture ?? null,
    name: summary.name ?? null,
    license: summary.license ?? null,
    gguf_version: summary.version,
    files: summary.files,
    file_bytes: summary.fileBytes,
    parameters: summary.parameters,
    weight_bytes: summary.weightBytes,
    bits_per_weight: summary.bitsPerWeight,
    tensors: summary.tensors,
    types: summary.types,
    context_length: summary.contextLength ?? null,
    embedding_length: summary.embeddingLength ?? null,
    layers: summary.layers ?? null,
    heads: summary.heads ?? null,
    kv_heads: summary.kvHeads ?? null,
    experts: experts === undefined ? null : { count: experts.count, used: experts.used ?? null },
    tokenizer:
      tokenizer === undefined
        ? null
        : {
            kind: tokenizer.kind,
            pre_tokenizer: tokenizer.preTokenizer ?? null,
            vocabulary_size: tokenizer.vocabularySize ?? null,
            has_chat_template: tokenizer.hasChatTemplate,
          },
    memory: needs.map((need) => ({
      context: need.contextLength,
      weight_bytes: need.weightBytes,
      cache_bytes: need.wholeCacheBytes,
      windowed_cache_bytes: need.cacheBytes,
      total_bytes: need.totalBytes,
    })),
    ...(all ? { metadata: metadataJson(file), tensor_list: tensorsJson(file) } : {}),
  };
}

/** Arrays as their type and length: vocabularies have hundreds of thousands of entries. */
function metadataJson(file: GgufFile): Record<string, unknown> {
  return Object.fromEntries(
    [...file.metadata].map(([key, entry]) => [
      key,
      entry.type === GgufValueType.ARRAY
        ? { type: arrayType(entry), length: entry.value.length }
        : entry.value,
    ]),
  );
}

function tensorsJson(file: GgufFile): Record<string, unknown>[] {
  return [...file.tensors.values()].map(
    ({ name, type, shape, bytes: size, file: part, offset }) => ({
      name,
      type: typeName(type),
      shape,
      bytes: size,
      file: part,
      offset,
    }),
  );
}

function arrayType(entry: GgufMetadataEntry): string {
  const item = entry.type === GgufValueType.ARRAY ? `${valueTypeName(entry.itemType)}[]` : '';
  return item === '' ? valueTypeName(entry.type) : item;
}

function perLayerText(value: PerLayer | undefined): string | undefined {
  if (value === undefined || typeof value === 'number') return value?.toString();
  const distinct = [...new Set(value)];
  return distinct.length === 1 ? String(distinct[0]) : `${distinct.join(', ')} (by layer)`;
}

function facts(summary: GgufSummary): [string, string][] {
  const { tokenizer, experts } = summary;
  const attention = [
    summary.layers === undefined ? undefined : `${summary.layers} layers`,
    summary.embeddingLength === undefined ? undefined : `width ${summary.embeddingLength}`,
    summary.heads === undefined ? undefined : `${perLayerText(summary.heads)} heads`,
    summary.kvHeads === undefined ? undefined : `${perLayerText(summary.kvHeads)} for keys`,
    experts === undefined ? undefined : `${experts.used ?? '?'} of ${experts.count} experts`,
  ];
  const rows: [string, string | undefined][] = [
    ['name', summary.name],
    ['architecture', summary.architecture],
    ['shape', attention.filter((part) => part !== undefined).join(', ') || undefined],
    ['parameters', summary.tensors === 0 ? undefined : count(summary.parameters)],
    [
      'weights',
      summary.tensors === 0
        ? 'none'
        : `${bytes(summary.weightBytes)}, ${summary.bitsPerWeight.toFixed(2)} bits each`,
    ],
    [
      'context',
      summary.contextLength === undefined ? undefined : `${summary.contextLength} tokens`,
    ],
    [
      'tokenizer',
      tokenizer === undefined
        ? undefined
        : [tokenizer.kind, tokenizer.preTokenizer, `${tokenizer.vocabularySize ?? '?'} tokens`]
            .filter((part) => part !== undefined)
            .join(', '),
    ],
    [
      'chat template',
      tokenizer === undefined ? undefined : tokenizer.hasChatTemplate ? 'yes' : 'no',
    ],
    ['licence', summary.license],
    [
      'file',
      `GGUF v${summary.version}, ${bytes(summary.fileBytes)}` +
        (summary.files.length > 1 ? `, ${summary.files.length} parts` : ''),
    ],
  ];
  return rows.flatMap(([key, value]) => (value === undefined ? [] : [[key, printable(value)]]));
}

async function printSummary(
  file: GgufFile,
  summary: GgufSummary,
  needs: readonly MemoryNeed[],
  all: boolean,
): Promise<void> {
  await print(table(facts(summary)));
  if (summary.types.length > 0) {
    const rows = summary.types.map((share) => [
      share.type,
      String(share.tensors),
      count(share.elements),
      bytes(share.bytes),
      `${(share.share * 100).toFixed(1)}%`,
    ]);
    await print(`\n${bold('Types')}\n`);
    await print(table(rows, ['type', 'tensors', 'parameters', 'size', 'share']));
  }
  if (needs.length > 0) {
    const rows = needs.map((need) => [
      String(need.contextLength),
      bytes(need.weightBytes),
      bytes(need.wholeCacheBytes),
      bytes(need.totalBytes),
    ]);
    await print(`\n${bold('Memory')} (with an f16 cache; buffers for computing come on top)\n`);
    await print(table(rows, ['context', 'weights', 'cache', 'together']));
  }
  if (!all) return;
  await print(`\n${bold('Metadata')}\n`);
  await print(
    table(
      [...file.metadata].map(([key, entry]) => [
        printable(key),
        arrayType(entry),
        printable(valueText(entry)),
      ]),
    ),
  );
  await print(`\n${bold('Tensors')}\n`);
  await print(
    table(
      [...file.tensors.values()].map((tensor) => [
        printable(tensor.name),
        typeName(tensor.type),
        tensor.shape.join(' × '),
        bytes(tensor.bytes),
      ]),
    ),
  );
}

/** A value on one line; long ones end in an ellipsis. */
function valueText(entry: GgufMetadataEntry): string {
  if (entry.type !== GgufValueType.ARRAY) return shorten(String(entry.value));
  if (entry.itemType === GgufValueType.ARRAY) return `${entry.value.length} arrays`;
  const first = [...entry.value.slice(0, 6)].map((item) => String(item));
  const more = entry.value.length > first.length ? ', …' : '';
  return shorten(`${entry.value.length}: ${first.join(', ')}${more}`);
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
}
