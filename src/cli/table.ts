/** Plain tables and numbers for people. */

const controls = /[\p{Cc}\p{Bidi_Control}]/gu;

/** Text from a file made safe for a terminal: control characters become visible escapes. */
export function printable(text: string): string {
  return text.replace(controls, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A number, with or without a unit. */
const quantity = /^[+-]?[\d.,]*( ?(%|[KMBT]|([KMGT]i)?B))?$/;

/**
 * Columns aligned by their widest cell, two spaces between them, one line a row. Columns whose
 * cells all look like numbers are aligned to the right.
 */
export function table(rows: readonly (readonly string[])[], header?: readonly string[]): string {
  const all = header === undefined ? rows : [header, ...rows];
  const columns = Math.max(0, ...all.map((row) => row.length));
  const widths: number[] = [];
  const right: boolean[] = [];
  for (let column = 0; column < columns; column++) {
    widths.push(Math.max(...all.map((row) => row[column]?.length ?? 0)));
    right.push(rows.length > 0 && rows.every((row) => quantity.test(row[column] ?? '')));
  }
  const line = (row: readonly string[]): string =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? '';
        return right[column] === true ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return all.map((row) => `${line(row)}\n`).join('');
}

/** Bytes as people read them: `512 B`, `12.3 MiB`. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

/** A count as people read it: `751 M`, `4.02 B`. */
export function count(value: number): string {
  const units = ['', ' K', ' M', ' B', ' T'];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1000 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  const digits = unit === 0 ? 0 : scaled < 10 ? 2 : scaled < 100 ? 1 : 0;
  return `${scaled.toFixed(digits)}${units[unit]}`;
}

/** A rate with as many digits as mean something. */
export function rate(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0);
}
