/**
 * Rotary positions in double precision, as transformers computes them from a config: plain, Llama 3's steps, YaRN
 * (arXiv 2309.00071), LongRoPE (arXiv 2402.13753) and Hunyuan's larger base.
 */

type Config = Readonly<Record<string, unknown>>;

export interface Rotation {
  /** Of each pair of features, in radians a position; the features behind them pass as they are. */
  readonly frequencies: readonly number[];
  /** What the rotated features are multiplied by. */
  readonly magnitude: number;
}

/** @param length tokens of the text, on which LongRoPE depends. */
export function rotationOf(config: Config, base: number, length: number): Rotation {
  const rope = (config.rope_parameters ?? config.rope_scaling ?? {}) as Config;
  const n = (key: string, usual?: number) => (rope[key] ?? config[key] ?? usual) as number;
  const head = n('head_dim');
  const dimensions = Math.floor(head * n('partial_rotary_factor', 1));
  const pairs = Array.from({ length: dimensions / 2 }, (_, pair) => pair);
  const plain = (from: number) => pairs.map((pair) => from ** ((-2 * pair) / dimensions));
  const usual = plain(base);
  const original = n('original_max_position_embeddings');
  switch (rope.rope_type ?? rope.type) {
    case 'llama3':
      return { frequencies: usual.map((one) => one * slowed(one, n, original)), magnitude: 1 };
    case 'dynamic':
      return {
        frequencies: plain(base * n('alpha') ** (dimensions / (dimensions - 2))),
        magnitude: 1,
      };
    case 'yarn': {
      const factor = n('factor');
      const growth = (part: number) => 0.1 * part * Math.log(factor) + 1;
      const turns = (count: number) =>
        (dimensions * Math.log(original / (count * 2 * Math.PI))) / (2 * Math.log(base));
      const low = Math.max(0, Math.floor(turns(n('beta_fast', 32))));
      const high = Math.min(dimensions - 1, Math.ceil(turns(n('beta_slow', 1))));
      const width = high === low ? 0.001 : high - low;
      const frequencies = usual.map((one, pair) => {
        const ramp = Math.min(1, Math.max(0, (pair - low) / width));
        return (one / factor) * ramp + one * (1 - ramp);
      });
      const told = rope.mscale && rope.mscale_all_dim;
      const magnitude = told ? growth(n('mscale')) / growth(n('mscale_all_dim')) : growth(1);
      return { frequencies, magnitude };
    }
    case 'su':
    case 'longrope': {
      const divisors = rope[length > original ? 'long_factor' : 'short_factor'] as number[];
      const ratio = n('max_position_embeddings') / original;
      const magnitude = ratio <= 1 ? 1 : Math.sqrt(1 + Math.log(ratio) / Math.log(original));
      return { frequencies: usual.map((one, pair) => one / (divisors[pair] ?? 0)), magnitude };
    }
    default:
      return { frequencies: usual, magnitude: 1 };
  }
}

/** By how much Llama 3's scaling slows a pair of features down. */
function slowed(
  frequency: number,
  n: (key: string, usual: number) => number,
  original: number,
): number {
  const [factor, low, high] = [
    n('factor', 1),
    n('low_freq_factor', 1),
    n('high_freq_factor', 4),
  ] as const;
  const wave = (2 * Math.PI) / frequency;
  if (wave < original / high) return 1;
  if (wave > original / low) return 1 / factor;
  const smooth = (original / wave - low) / (high - low);
  return (1 - smooth) / factor + smooth;
}
