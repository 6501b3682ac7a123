/**
 * Finds the tokens that a text continues with at some place, shortest first: a binary search in the
 * sorted vocabulary that narrows with each character, so its time is bounded by what matches and not by
 * the longest token, and it needs no more memory than a list of ids. Knows nothing of scores.
 */
export class TokenSearch {
  private readonly ids: Int32Array;

  /** @param texts of all tokens. @param ids those to be found, each with another text. */
  constructor(
    private readonly texts: readonly string[],
    ids: Iterable<number>,
  ) {
    const text = (id: number) => texts[id] as string;
    // In order of UTF-16 units: a token that another begins with comes before it.
    this.ids = Int32Array.from(
      [...ids].sort((a, b) => (text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0)),
    );
  }

  /** Calls `found` for each token that the text has at `start`, with where it ends. */
  matches(text: string, start: number, found: (id: number, end: number) => void): void {
    let [low, high] = [0, this.ids.length];
    for (let end = start; end < text.length; end++) {
      const unit = text.charCodeAt(end);
      low = this.firstAt(low, high, end - start, unit);
      high = this.firstAt(low, high, end - start, unit + 1);
      if (low === high) return;
      const id = this.ids[low] as number;
      if ((this.texts[id] as string).length === end - start + 1) found(id, end + 1);
    }
  }

  /** The first of the tokens [low, high), alike before `depth`, whose unit there is at least this. */
  private firstAt(low: number, high: number, depth: number, unit: number): number {
    let [left, right] = [low, high];
    while (left < right) {
      const middle = (left + right) >>> 1;
      const text = this.texts[this.ids[middle] as number] as string;
      if (depth < text.length && text.charCodeAt(depth) >= unit) right = middle;
      else left = middle + 1;
    }
    return left;
  }
}
