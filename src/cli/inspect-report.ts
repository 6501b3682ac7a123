/** What `paceline inspect` prints: a summary of the header, and the memory that contexts need. */
import { resolve } from 'node:path';
import type { KvType } from '../cache/kv-names.js';
import { cacheType, chooseKvType } from '../cache/kv-type.js';
import { type DraftMemory, draftMemory } from '../engine/draft-memory.js';
import { draftFilesOf } from '../engine/model-path.js';
import { nativeKernels } from '../ggml/native/library.js';
import { typeName } from '../ggml/types.js';
import { type HeaderLayer, layerKinds, type MemoryNeed, memoryNeed } from '../gguf/kv-layout.js';
import { type GgufFile, readGguf } from '../gguf/reader.js';
import { type GgufSummary, type PerLayer, summarize } from '../gguf/summary.js';
import { type GgufMetadataEntry, GgufValueType, valueTypeName } from '../gguf/types.js';
import { dflashFormText, isDraftOnly } from '../models/draft-kind.js';
import { openModelFile } from './model-file.js';
import { resolveModel } from './model-names.js';
import { bold, print, printJson } from './output.js';
import { bytes, count, printable, table } from './table.js';

export interface InspectFlags {
  readonly ctx?: number;
  readonly draftModel?: readonly string[];
  readonly draftWindow?: number;
  readonly kv?: KvType;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** Contexts to estimate memory for when none was asked for; those that the model knows. */
const usualContexts = [2048, 8192, 32768, 131072];

/** Runs the command. */
export async function inspectCommand(model: string, flags: InspectFlags): Promise<void> {
  const { path, drafters } = await resolveModel(model, { touch: false });
  const file = await readGguf(path);
  try {
    const summary = summarize(file);
    const needs = await memoryNeeds(
      file,
      summary,
      drafters.length > 0 ? { draftModel: drafters, ...flags } : flags,
    );
    if (flags.json === true) await printJson(inspectJson(file, summary, needs, flags.all === true));
    else await printSummary(file, summary, needs, flags.all === true);
  } finally {
    await file.close();
  }
}

/** What a context needs, with the drafters that are loaded with the model. */
interface Need extends MemoryNeed {
  /** What the cache was asked to be, or would be. */
  readonly kvType: KvType;
  readonly drafters: readonly DraftMemory[];
  /** Weights of drafters in files of their own, and the state that drafters keep of one sequence. */
  readonly draftBytes: number;
}

async function memoryNeeds(
  file: GgufFile,
  summary: GgufSummary,
  flags: InspectFlags,
): Promise<Need[]> {
  const { weightBytes, contextLength } = summary;
  // A draft model alone has no cache but the drafter's own.
  const cache = isDraftOnly(file) ? [] : summary.cache;
  if (cache === undefined) return [];
  const kvType = chooseKvType(flags.kv, cache, nativeKernels().kernels?.path);
  const trained = contextLength ?? 0;
  const usual = [...usualContexts.filter((length) => length < trained), trained];
  const contexts = flags.ctx === undefined ? usual.filter((length) => length > 0) : [flags.ctx];
  const drafts: GgufFile[] = [];
  try {
    for (const path of draftFilesOf(resolve(file.files[0] ?? ''), flags.draftModel)) {
      drafts.push(await openModelFile(path));
    }
    return contexts.map((length) => {
      const need = memoryNeed(cache, {
        contextLength: length,
        weightBytes,
        kvType: cacheType(kvType),
      });
      const options = { contextLength: length, window: flags.draftWindow };
      const own = draftMemory(file, options);
      const others = drafts.map((draft) => draftMemory(draft, options));
      const drafters = [own, ...others].filter((drafter) => drafter !== undefined);
      // The weights of a block in the model's own file are among the model's.
      const draftBytes = drafters.reduce(
        (sum, drafter) => sum + drafter.stateBytes + (drafter === own ? 0 : drafter.weightBytes),
        0,
      );
      return { ...need, kvType, drafters, draftBytes, totalBytes: need.totalBytes + draftBytes };
    });
  } finally {
    for (const draft of drafts) await draft.close();
  }
}

function inspectJson(
  file: GgufFile,
  summary: GgufSummary,
  needs: readonly Need[],
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
    layer_kinds: summary.cache === undefined ? null : layerKinds(summary.cache),
    tokenizer:
      tokenizer === undefined
        ? null
        : {
            kind: tokenizer.kind,
            pre_tokenizer: tokenizer.preTokenizer ?? null,
            vocabulary_size: tokenizer.vocabularySize ?? null,
            has_chat_template: tokenizer.hasChatTemplate,
          },
    drafters: (needs.at(-1)?.drafters ?? []).map(({ name, form, weightBytes, stateBytes }) => ({
      name,
      ...(form === undefined ? {} : { variant: form.variant, guesses: form.guesses }),
      weight_bytes: weightBytes,
      state_bytes: stateBytes,
    })),
    memory: needs.map((need) => ({
      context: need.contextLength,
      weight_bytes: need.weightBytes,
      kv_type: need.kvType,
      cache_bytes: need.cacheBytes,
      whole_cache_bytes: need.wholeCacheBytes,
      draft_bytes: need.draftBytes,
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

/** What layers keep that have rows of blocks. */
function compressedText(layers: readonly HeaderLayer[]): string {
  const ratios = [...new Set(layers.flatMap(({ blocks }) => blocks?.ratio ?? []))];
  const windows = [...new Set(layers.flatMap(({ blocks, window }) => (blocks && window) ?? []))];
  return `${windows.join(' or ')} positions and a row for every ${ratios.join(' or ')}`;
}

/** What the layers keep of a text, or undefined where all keep every position. */
function kindsText(layers: readonly HeaderLayer[]): string | undefined {
  const kinds = layerKinds(layers);
  if (kinds.full === layers.length) return undefined;
  const windows = [...new Set(layers.flatMap(({ window }) => window ?? []))];
  const parts: readonly [number, string][] = [
    [kinds.full, 'all positions'],
    [kinds.window, `${windows.join(' or ')} positions`],
    [kinds.latent, 'latent rows'],
    [kinds.recurrent, 'a state that does not grow'],
    [kinds.compressed, compressedText(layers)],
    [kinds.shared, "another layer's rows"],
  ];
  const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${what} in ${count}`);
  const text = `${said.join(', ')} of ${layers.length} layers`;
  if (kinds.recurrent === 0) return text;
  const growing = layers.flatMap(({ stateBytes = 0 }, layer) => (stateBytes > 0 ? [] : [layer]));
  return `${text} (hybrid; attention in ${growing.join(', ')}, counted from 0)`;
}

function facts(summary: GgufSummary): [string, string][] {
  const { tokenizer, experts } = summary;
  const attention = [
    summary.layers === undefined ? undefined : `${summary.layers} layers`,
    summary.embeddingLength === undefined ? undefined : `width ${summary.embeddingLength}`,
    summary.heads === undefined ? undefined : `${perLayerText(summary.heads)} heads`,
    summary.kvHeads === undefined ? undefined : `${perLayerText(summary.kvHeads)} for keys`,
    experts === undefined
      ? 'dense'
      : `${experts.used === undefined ? '?' : perLayerText(experts.used)} of ${perLayerText(experts.count)} experts`,
  ];
  const rows: [string, string | undefined][] = [
    ['name', summary.name],
    ['architecture', summary.architecture],
    ['shape', attention.filter((part) => part !== undefined).join(', ') || undefined],
    ['attention', summary.cache && kindsText(summary.cache)],
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
  needs: readonly Need[],
  all: boolean,
): Promise<void> {
  const drafters = (needs.at(-1)?.drafters ?? []).flatMap(({ form }) =>
    form === undefined ? [] : [['drafter', printable(dflashFormText(form))]],
  );
  await print(table([...facts(summary), ...drafters]));
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
    const drafting = needs.some(({ draftBytes }) => draftBytes > 0);
    const rows = needs.map((need) => [
      String(need.contextLength),
      bytes(need.weightBytes),
      bytes(need.cacheBytes),
      ...(drafting ? [bytes(need.draftBytes)] : []),
      bytes(need.totalBytes),
    ]);
    const columns = ['context', 'weights', 'cache', ...(drafting ? ['drafters'] : []), 'together'];
    const cached = `with a cache of ${needs[0]?.kvType}`;
    await print(`\n${bold('Memory')} (${cached}; buffers for computing come on top)\n`);
    await print(table(rows, columns));
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
