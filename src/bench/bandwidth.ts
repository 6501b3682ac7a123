/** How fast decode reads weights and cache, beside what the memory can give at the same time. */
import type { Model } from '../engine/model.js';
import { readGguf } from '../gguf/reader.js';
import type { RunTimes } from './measure.js';
import { median } from './statistics.js';

/** Rates are in gigabytes (10^9 bytes) a second. */
export interface BandwidthReport {
  /** Bytes of weights that one token reads, as the file has them. */
  readonly weight_bytes: number;
  /** Bytes of keys and values that one token reads, on average over the run. */
  readonly cache_bytes: number;
  /** Weights read in decode. */
  readonly decode_gb_s: number;
  /** Plain reads of a large piece of memory by as many threads, between the runs of decode. */
  readonly memory_gb_s: number | null;
  /** Median over runs: weights read in decode, of what memory gave right after it. */
  readonly share: number | null;
  /** The same with keys and values. */
  readonly share_with_cache: number | null;
}

/**
 * @param runs decode runs, each followed by the read of memory at the same place in `reads`;
 *   `reads` is empty where memory could not be measured.
 * @param prompt tokens before the generated ones.
 */
export async function bandwidthReport(
  path: string,
  model: Model,
  prompt: number,
  runs: readonly RunTimes[],
  reads: readonly number[],
): Promise<BandwidthReport> {
  const weights = await weightBytes(path);
  const cache = model.info.kvBytesPerToken * (prompt + (runs[0]?.tokens ?? 0) / 2);
  const rates = runs.map((run) => (weights * run.tokens) / run.decodeMs / 1e6);
  const shares = rates.flatMap((rate, index) => (reads[index] ? [rate / reads[index]] : []));
  const share = shares.length === 0 ? null : median(shares);
  return {
    weight_bytes: weights,
    cache_bytes: cache,
    decode_gb_s: median(rates),
    memory_gb_s: reads.length === 0 ? null : median(reads),
    share,
    share_with_cache: share === null ? null : (share * (weights + cache)) / weights,
  };
}

/** Tables that are read a row at a time; that of tokens is the head, too, where there is no other. */
const tables: readonly string[] = ['per_layer_token_embd.weight', 'position_embd.weight'];

/** Of tables a token reads a row, which is next to nothing, and of experts only the chosen ones. */
async function weightBytes(path: string): Promise<number> {
  await using file = await readGguf(path);
  const architecture = file.optionalString('general.architecture');
  const experts = file.optionalInteger(`${architecture}.expert_count`) ?? 0;
  const used = file.optionalInteger(`${architecture}.expert_used_count`) ?? 0;
  const untied = file.tensors.has('output.weight');
  let sum = 0;
  for (const { name, bytes } of file.tensors.values()) {
    if (tables.includes(name) || (untied && name === 'token_embd.weight')) continue;
    sum += experts > 0 && name.includes('_exps.') ? (bytes * used) / experts : bytes;
  }
  return sum;
}
