/**
 * Bytes that no expression tells apart, so that work is done once for all of them: a partition that
 * every new set and text refines. Knows nothing of expressions.
 */
import type { ByteSet } from './symbols.js';

export class ByteClasses {
  /** For each byte, one that stands for it. */
  readonly standIn = new Uint8Array(256);
  /** The bytes that stand for themselves. */
  members: readonly number[] = [0];
  private readonly alone = new Uint8Array(256);
  private single = 0;

  /** Tells the bytes of a set from all others. */
  split(set: ByteSet): void {
    const standIns = new Map<number, number>();
    const old = this.standIn.slice();
    for (let byte = 0; byte < 256; byte++) {
      const group = ((old[byte] as number) << 1) | (set.has(byte) ? 1 : 0);
      // The old stand-in goes on standing for its own half.
      const leader = standIns.get(group) ?? this.leader(old, byte, set);
      standIns.set(group, leader);
      this.standIn[byte] = leader;
    }
    this.list();
  }

  private leader(old: Uint8Array, byte: number, set: ByteSet): number {
    const before = old[byte] as number;
    return set.has(before) === set.has(byte) ? before : byte;
  }

  /** Tells every byte of a text from all others. */
  singleOut(bytes: Uint8Array): void {
    if (this.single === 256) return;
    let changed = false;
    for (const byte of bytes) {
      if (this.isAlone(byte)) continue;
      const before = this.standIn[byte] as number;
      if (before === byte) {
        // Another byte of the class takes over.
        const heir = this.standIn.findIndex((leader, other) => leader === byte && other !== byte);
        for (let other = 0; other < 256; other++) {
          if (other !== byte && this.standIn[other] === byte) this.standIn[other] = heir;
        }
      }
      this.standIn[byte] = byte;
      this.alone[byte] = 1;
      this.single++;
      changed = true;
    }
    if (changed) this.list();
  }

  /** Whether a byte stands for itself only. */
  isAlone(byte: number): boolean {
    if (this.alone[byte] === 1) return true;
    for (let other = 0; other < 256; other++) {
      if (other !== byte && this.standIn[other] === this.standIn[byte]) return false;
    }
    this.alone[byte] = 1;
    this.single++;
    return true;
  }

  private list(): void {
    this.members = [...new Set(this.standIn)];
  }
}
