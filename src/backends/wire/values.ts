/** Looks into JSON that a stranger sent: what has not the wanted type is as if it were missing. */
import { isRecord } from '../../base/records.js';

export type JsonRecord = Readonly<Record<string, unknown>>;

export function fieldOf(value: unknown, name: string): unknown {
  return isRecord(value) ? value[name] : undefined;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** A whole number from 0 up to two thousand million; undefined for everything else. */
export function countOf(value: unknown): number | undefined {
  const isCount = typeof value === 'number' && Number.isInteger(value);
  return isCount && value >= 0 && value < 2 ** 31 ? value : undefined;
}
