/** Values as codes in MXFP4 with a scale for 32 of them, as checkpoints have them. */

/** Values of the codes: S EE M, bias 1 (OCP Microscaling Formats 1.0). */
const values = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

/**
 * Codes and scales of rows, and the values that they stand for.
 * @param place where element `i` of a row is among those given.
 */
export function toMxfp4(
  given: Float32Array,
  rows: number,
  columns: number,
  place: (row: number, i: number) => number = (row, i) => row * columns + i,
) {
  const perRow = columns / 32;
  const codes = new Uint8Array((rows * columns) / 2);
  const scales = new Uint8Array(rows * perRow);
  const decoded = new Float32Array(given.length);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < perRow; block++) {
      let most = 0;
      for (let i = 0; i < 32; i++) {
        most = Math.max(most, Math.abs(given[place(row, 32 * block + i)] as number));
      }
      const exponent = Math.floor(Math.log2(most / 4));
      scales[row * perRow + block] = exponent + 127;
      for (let i = 0; i < 32; i++) {
        const at = place(row, 32 * block + i);
        const wanted = (given[at] as number) / 2 ** exponent;
        const code = values.reduce(
          (best, value, c) =>
            Math.abs(value - wanted) < Math.abs((values[best] as number) - wanted) ? c : best,
          0,
        );
        decoded[at] = (values[code] as number) * 2 ** exponent;
        // The first of two neighbours is the low half of a byte.
        const byte = (row * perRow + block) * 16 + (i >> 1);
        codes[byte] = (codes[byte] as number) | (code << (i % 2 === 0 ? 0 : 4));
      }
    }
  }
  return { codes, scales, values: decoded };
}
