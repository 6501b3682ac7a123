/**
 * Remembers the tokens of pieces of text that were merged before. Bounded: two generations of
 * entries, of which the older is dropped when the younger is full. Knows nothing of merging.
 */

/** Longer pieces rarely come again. */
const MAX_LENGTH = 48;
const GENERATION = 1 << 16;

export class PieceCache {
  private young = new Map<string, readonly number[]>();
  private old = new Map<string, readonly number[]>();

  get(piece: string): readonly number[] | undefined {
    const found = this.young.get(piece);
    if (found) return found;
    const older = this.old.get(piece);
    if (older) this.set(piece, older);
    return older;
  }

  set(piece: string, tokens: readonly number[]): void {
    if (piece.length > MAX_LENGTH) return;
    if (this.young.size >= GENERATION) {
      this.old = this.young;
      this.young = new Map();
    }
    this.young.set(piece, tokens);
  }
}
