/** Sampling settings: what can be set, and the fields of a request that say so. */

export interface Settings {
  readonly temperature?: number;
  readonly top_p?: number;
  readonly top_k?: number;
  readonly min_p?: number;
  readonly repetition_penalty?: number;
  readonly max_tokens?: number;
  readonly seed?: number;
  readonly draft?: string;
  readonly thinking?: 'off';
}

export interface NumberField {
  readonly key: Exclude<keyof Settings, 'draft' | 'thinking'>;
  readonly title: string;
  readonly help: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  /** The server's, where neither the request nor the model's file says. */
  readonly usual: string;
  /** How `sampling` of a model's status calls it. */
  readonly recommended?: string;
}

export const numberFields: readonly NumberField[] = [
  {
    key: 'temperature',
    title: 'Temperature',
    help: '0 always takes the likeliest token',
    min: 0,
    max: 2,
    step: 0.05,
    usual: '0.8',
    recommended: 'temperature',
  },
  {
    key: 'top_p',
    title: 'Top p',
    help: 'the likeliest tokens that together reach this share',
    min: 0,
    max: 1,
    step: 0.01,
    usual: '0.95',
    recommended: 'topP',
  },
  {
    key: 'top_k',
    title: 'Top k',
    help: 'only so many of the likeliest tokens; 0 is off',
    min: 0,
    max: 1000,
    step: 1,
    usual: '40',
    recommended: 'topK',
  },
  {
    key: 'min_p',
    title: 'Min p',
    help: 'drops tokens below this share of the likeliest',
    min: 0,
    max: 1,
    step: 0.01,
    usual: '0.05',
    recommended: 'minP',
  },
  {
    key: 'repetition_penalty',
    title: 'Repetition penalty',
    help: 'above 1 makes words of before less likely',
    min: 0.1,
    max: 3,
    step: 0.05,
    usual: '1',
    recommended: 'repetitionPenalty',
  },
  {
    key: 'max_tokens',
    title: 'Most tokens',
    help: 'empty: until the model ends',
    min: 1,
    max: 1_000_000,
    step: 1,
    usual: 'no limit',
  },
  {
    key: 'seed',
    title: 'Seed',
    help: 'the same seed gives the same text; empty: a new one each time',
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    step: 1,
    usual: 'random',
  },
];

/** The number that a person typed, inside of what the field allows; undefined: the usual. */
export function readNumber(text: string, { min, max, step }: NumberField): number | undefined {
  const value = Number(text.trim().replace(',', '.'));
  if (text.trim() === '' || !Number.isFinite(value)) return undefined;
  const whole = step >= 1 ? Math.round(value) : value;
  return Math.min(max, Math.max(min, whole));
}

/** Fields of a request. */
export function requestFields({ thinking, draft, ...numbers }: Settings): Record<string, unknown> {
  const given = Object.entries(numbers).filter(([, value]) => value !== undefined);
  return {
    ...Object.fromEntries(given),
    ...(draft === undefined || draft === 'auto' ? {} : { draft }),
    ...(thinking === 'off' ? { reasoning_effort: 'none' } : {}),
  };
}
