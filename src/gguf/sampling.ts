/**
 * The sampling that a model's makers recommend, as llama.cpp's converters write it from a model's
 * `generation_config.json`: the keys `general.sampling.*`. A value that makes no sense is left out
 * with a warning, since a recommendation is no reason to refuse a model. Knows nothing of how tokens
 * are chosen.
 */
import { shown } from './cursor.js';
import type { GgufMetadata } from './metadata.js';

/** Defaults under what a caller asks for; absent: nothing is recommended. */
export interface RecommendedSampling {
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  /** -1: all tokens. */
  readonly penaltyWindow?: number;
}

export interface SamplingAdvice {
  readonly settings: RecommendedSampling;
  /** Sentences about values that are left out; usually none. */
  readonly warnings: readonly string[];
}

type Setting = keyof RecommendedSampling;

interface Rule {
  readonly setting: Setting;
  readonly least: number;
  readonly most: number;
  readonly integer?: boolean;
  /** The name in `general.sampling.sequence` of the step that reads it, and what turns it off. */
  readonly step?: string;
  readonly off?: number;
}

const large = 1e6;
const integers = 2 ** 31 - 1;

/** By the key behind `general.sampling.`. */
const rules: Readonly<Record<string, Rule>> = {
  temp: { setting: 'temperature', least: 0, most: large, step: 'temperature', off: 1 },
  top_k: {
    setting: 'topK',
    least: -integers,
    most: integers,
    integer: true,
    step: 'top_k',
    off: 0,
  },
  top_p: { setting: 'topP', least: 0, most: 1, step: 'top_p', off: 1 },
  min_p: { setting: 'minP', least: 0, most: 1, step: 'min_p', off: 0 },
  penalty_repeat: {
    setting: 'repetitionPenalty',
    least: 1e-6,
    most: large,
    step: 'penalties',
    off: 1,
  },
  penalty_last_n: { setting: 'penaltyWindow', least: -1, most: integers, integer: true },
};

/** Steps that other engines have; none of them does anything unless asked for by another key. */
const foreignSteps = new Set(['dry', 'top_n_sigma', 'typ_p', 'xtc', 'infill', 'adaptive_p']);
const otherNames: Readonly<Record<string, string>> = {
  temp: 'temperature',
  nucleus: 'top_p',
  typ: 'typ_p',
};
/** The order in which the filters are applied here. */
const order = ['penalties', 'top_k', 'top_p', 'min_p'];

/** Reads what the file recommends. Never throws. */
export function recommendedSampling(file: Pick<GgufMetadata, 'metadata'>): SamplingAdvice {
  const settings: Partial<Record<Setting, number>> = {};
  const warnings: string[] = [];
  const entryOf = (key: string) => file.metadata.get(`general.sampling.${key}`);
  for (const [key, rule] of Object.entries(rules)) {
    const entry = entryOf(key);
    if (entry === undefined) continue;
    const value = entry.value;
    if (typeof value !== 'number' || !fits(value, rule)) {
      const found = typeof value === 'string' ? JSON.stringify(shown(value)) : shownValue(value);
      warnings.push(
        `The file recommends general.sampling.${key} = ${found}, which makes no sense; it is left out.`,
      );
      continue;
    }
    settings[rule.setting] = rule.setting === 'topK' ? Math.max(0, value) : shortest(value);
  }
  const number = (key: string) => {
    const value = entryOf(key)?.value;
    return typeof value === 'number' && Number.isFinite(value) ? value : 0;
  };
  if (
    number('xtc_probability') > 0 &&
    (entryOf('xtc_threshold') === undefined || number('xtc_threshold') <= 0.5)
  ) {
    warnings.push('The file recommends XTC sampling, which does not exist here; it is left out.');
  }
  if (number('mirostat') !== 0) {
    warnings.push('The file recommends Mirostat, which does not exist here; it is left out.');
  }
  const sequence = entryOf('sequence')?.value;
  if (typeof sequence === 'string' && sequence.trim() !== '') {
    applySequence(sequence, settings, warnings);
  }
  return { settings, warnings };
}

function fits(value: number, { least, most, integer }: Rule): boolean {
  return value >= least && value <= most && (!integer || Number.isInteger(value));
}

/** A step that the sequence leaves out is off. */
function applySequence(
  sequence: string,
  settings: Partial<Record<Setting, number>>,
  warnings: string[],
): void {
  const steps = sequence.slice(0, 1000).split(';').map(canonical);
  const known = new Set(Object.values(rules).map(({ step }) => step));
  const unknown = steps.filter((step) => !known.has(step) && !foreignSteps.has(step));
  if (unknown.length > 0) {
    warnings.push(
      `The file recommends the sampling steps ${shown(unknown.join(', '))}, which do not exist here; ` +
        'they are left out.',
    );
  }
  if (!steps.some((step) => known.has(step))) return;
  for (const { setting, step, off } of Object.values(rules)) {
    if (step !== undefined && off !== undefined && !steps.includes(step)) settings[setting] = off;
  }
  const used = steps.filter((step) => order.includes(step));
  if (used.join() !== order.filter((step) => used.includes(step)).join()) {
    warnings.push(
      `The file recommends the sampling order ${used.join(', ')}; here it is ${order.join(', ')}.`,
    );
  }
}

/** `top-k`, `topk` and `top_k` are one name. */
function canonical(name: string): string {
  const plain = name.trim().toLowerCase().replaceAll('-', '_');
  const joined = [...Object.values(rules).map(({ step }) => step ?? ''), ...foreignSteps].find(
    (step) => step.replaceAll('_', '') === plain.replaceAll('_', ''),
  );
  return otherNames[plain] ?? joined ?? plain;
}

/** The shortest decimal that is the same F32: files hold 0.7 as 0.699999988079071. */
function shortest(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

function shownValue(value: unknown): string {
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? String(value)
    : 'a list';
}
