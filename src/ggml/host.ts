/**
 * What the machine offers this process: cores it may use and memory it can still get, with the
 * limits of containers (cgroup v1 and v2) taken into account.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, freemem, totalmem } from 'node:os';

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function readNumber(path: string): number | undefined {
  const text = readText(path);
  const value = text === undefined || text === 'max' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** Cores by (package, core), so that two threads of one core count once. */
function physicalCores(): number | undefined {
  const text = readText('/proc/cpuinfo');
  if (text === undefined) return undefined;
  const cores = new Set<string>();
  for (const block of text.split('\n\n')) {
    const socket = /^physical id\s*:\s*(\d+)/m.exec(block)?.[1];
    const core = /^core id\s*:\s*(\d+)/m.exec(block)?.[1];
    if (core !== undefined) cores.add(`${socket ?? 0}:${core}`);
  }
  return cores.size > 0 ? cores.size : undefined;
}

/** CPUs' worth of time that the cgroup grants, if it limits them. */
function cpuQuota(): number | undefined {
  const [quota, period] = readText('/sys/fs/cgroup/cpu.max')?.split(' ').map(Number) ?? [];
  if (quota !== undefined && period !== undefined && Number.isFinite(quota)) return quota / period;
  const oldQuota = readNumber('/sys/fs/cgroup/cpu/cpu.cfs_quota_us');
  const oldPeriod = readNumber('/sys/fs/cgroup/cpu/cpu.cfs_period_us');
  return oldQuota !== undefined && oldQuota > 0 && oldPeriod ? oldQuota / oldPeriod : undefined;
}

/** Threads that may compute at once: the most that is of use, and what a wish is cut down to. */
export function maximumThreads(): number {
  return Math.max(1, availableParallelism());
}

/** Threads to compute with when nobody says otherwise: the physical cores of this process. */
export function defaultThreads(): number {
  const limits = [maximumThreads(), physicalCores(), Math.floor(cpuQuota() ?? Infinity)];
  return Math.max(1, Math.min(...limits.map((limit) => limit ?? Infinity)));
}

export interface HostMemory {
  /** Bytes that can still be allocated without swapping, as far as the system tells. */
  readonly available: number;
  readonly total: number;
}

/** Memory of the machine, or of the container where that is less. */
export function hostMemory(): HostMemory {
  const meminfo = readText('/proc/meminfo');
  const kilobytes = /^MemAvailable:\s*(\d+)/m.exec(meminfo ?? '')?.[1];
  let available = kilobytes === undefined ? freemem() : Number(kilobytes) * 1024;
  let total = totalmem();
  const limit =
    readNumber('/sys/fs/cgroup/memory.max') ??
    readNumber('/sys/fs/cgroup/memory/memory.limit_in_bytes');
  const used =
    readNumber('/sys/fs/cgroup/memory.current') ??
    readNumber('/sys/fs/cgroup/memory/memory.usage_in_bytes');
  if (limit !== undefined && used !== undefined && limit < total) {
    total = limit;
    available = Math.min(available, limit - used + reclaimable());
  }
  return { available: Math.max(0, available), total };
}

/** Page cache that the cgroup counts as used but gives back under pressure. */
function reclaimable(): number {
  const stat = readText('/sys/fs/cgroup/memory.stat') ?? '';
  return Number(/^inactive_file (\d+)/m.exec(stat)?.[1] ?? 0);
}
