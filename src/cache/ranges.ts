/** Sets of positions as ranges: in order, not empty, with gaps between them. */
export interface Range {
  readonly from: number;
  /** Behind the last one. */
  readonly end: number;
}

/** The positions that are in any of the ranges, which may overlap. */
export function union(ranges: readonly Range[]): Range[] {
  const found: { from: number; end: number }[] = [];
  for (const { from, end } of [...ranges].sort((a, b) => a.from - b.from)) {
    if (from >= end) continue;
    const last = found.at(-1);
    if (last !== undefined && from <= last.end) last.end = Math.max(last.end, end);
    else found.push({ from, end });
  }
  return found;
}

/** The positions that are in both sets. */
export function intersection(one: readonly Range[], other: readonly Range[]): Range[] {
  return union(
    one.flatMap((a) =>
      other.map((b) => ({ from: Math.max(a.from, b.from), end: Math.min(a.end, b.end) })),
    ),
  );
}

/** The positions of `ranges` that are not in `holes`. */
export function difference(ranges: readonly Range[], holes: readonly Range[]): Range[] {
  const edges = [Number.NEGATIVE_INFINITY, ...holes.flatMap(({ from, end }) => [from, end])];
  const gaps: Range[] = [];
  for (let at = 0; at < edges.length; at += 2) {
    gaps.push({ from: edges[at] as number, end: edges[at + 1] ?? Number.POSITIVE_INFINITY });
  }
  return intersection(ranges, gaps);
}

/** Whether all positions [from, end) are there. */
export function covers(ranges: readonly Range[], from: number, end: number): boolean {
  return from >= end || ranges.some((range) => range.from <= from && range.end >= end);
}

/** How many positions there are. */
export function count(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { from, end }) => sum + end - from, 0);
}
