/** BERT in double precision, from a checkpoint's own tensors, with the exact GELU. */

export interface BertSizes {
  readonly layers: number;
  readonly heads: number;
  readonly embedding: number;
  readonly epsilon: number;
  /** The row of the table of positions that the first token has. Default 0. */
  readonly offset?: number;
}

/** A tensor of the checkpoint by its name, rows one behind the other. */
export type TensorOf = (name: string) => ArrayLike<number>;

/** Abramowitz and Stegun 7.1.5: the series is exact to 1e-9 up to 4, behind which erf is 1. */
function erf(x: number): number {
  if (Math.abs(x) > 4) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; n < 80; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const gelu = (x: number) => (x / 2) * (1 + erf(x / Math.SQRT2));

/** The last rows of a text's tokens. */
export function bertRows(tensorOf: TensorOf, o: BertSizes, tokens: readonly number[]): number[][] {
  const at = (values: ArrayLike<number>, index: number) => values[index] as number;
  const linear = (name: string, rows: readonly number[][]) => {
    const [weight, bias] = [tensorOf(`${name}.weight`), tensorOf(`${name}.bias`)];
    return rows.map((row) =>
      Array.from({ length: bias.length }, (_, out) =>
        row.reduce((sum, x, i) => sum + x * at(weight, out * row.length + i), at(bias, out)),
      ),
    );
  };
  const norm = (name: string, rows: readonly number[][]) => {
    const [weight, bias] = [tensorOf(`${name}.weight`), tensorOf(`${name}.bias`)];
    return rows.map((row) => {
      const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
      const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
      const scale = 1 / Math.sqrt(variance + o.epsilon);
      return row.map((x, i) => (x - mean) * scale * at(weight, i) + at(bias, i));
    });
  };
  const sum = (a: readonly number[][], b: readonly number[][]) =>
    a.map((row, r) => row.map((x, i) => x + (b[r]?.[i] as number)));

  const { offset = 0 } = o;
  const table = (name: string) => tensorOf(`embeddings.${name}_embeddings.weight`);
  const [words, places, types] = [table('word'), table('position'), table('token_type')];
  let x = tokens.map((token, position) =>
    Array.from(
      { length: o.embedding },
      (_, i) =>
        at(words, token * o.embedding + i) +
        at(places, (position + offset) * o.embedding + i) +
        at(types, i),
    ),
  );
  x = norm('embeddings.LayerNorm', x);
  const width = o.embedding / o.heads;
  for (let layer = 0; layer < o.layers; layer++) {
    const name = `encoder.layer.${layer}`;
    const [q, k, v] = ['query', 'key', 'value'].map((part) =>
      linear(`${name}.attention.self.${part}`, x),
    ) as [number[][], number[][], number[][]];
    const seen = q.map((query) => {
      const result = new Array<number>(o.embedding).fill(0);
      for (let head = 0; head < o.heads; head++) {
        const first = head * width;
        const scores = k.map((key) => {
          let dot = 0;
          for (let i = first; i < first + width; i++) dot += at(query, i) * at(key, i);
          return Math.exp(dot / Math.sqrt(width));
        });
        const total = scores.reduce((all, score) => all + score, 0);
        for (const [row, score] of scores.entries()) {
          for (let i = first; i < first + width; i++) {
            result[i] = at(result, i) + (score / total) * at(v[row] as number[], i);
          }
        }
      }
      return result;
    });
    const attended = linear(`${name}.attention.output.dense`, seen);
    x = norm(`${name}.attention.output.LayerNorm`, sum(attended, x));
    const inner = linear(`${name}.intermediate.dense`, x).map((row) => row.map(gelu));
    x = norm(`${name}.output.LayerNorm`, sum(linear(`${name}.output.dense`, inner), x));
  }
  return x;
}

/** The mean of a text's rows, of length 1. */
export function bertVector(tensorOf: TensorOf, o: BertSizes, tokens: readonly number[]): number[] {
  const rows = bertRows(tensorOf, o, tokens);
  const pooled = Array.from({ length: o.embedding }, (_, i) =>
    rows.reduce((all, row) => all + (row[i] as number), 0),
  );
  return unit(pooled);
}

/** A vector of the same direction, of length 1. */
export function unit(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

/** What a head of two layers says of a row: a tanh between them. */
export function classScore(
  tensorOf: TensorOf,
  [dense, output]: readonly [string, string],
  row: readonly number[],
): number {
  const inner = Array.from(tensorOf(`${dense}.bias`), (bias, out) =>
    Math.tanh(row.reduce((sum, x, i) => sum + x * at(tensorOf, `${dense}.weight`, out, i), bias)),
  );
  const [bias = 0] = Array.from(tensorOf(`${output}.bias`));
  return inner.reduce((sum, x, i) => sum + x * at(tensorOf, `${output}.weight`, 0, i), bias);

  function at(tensors: TensorOf, name: string, out: number, i: number): number {
    return tensors(name)[out * row.length + i] as number;
  }
}
