/**
 * What drafters that read the target's hidden rows have in common: they note the rows of the last
 * positions while a text is read, and whatever they make of them waits for a guess. Only the noted rows
 * are saved. Knows no draft model.
 */
import { PacelineError } from '../base/errors.js';
import type { Observation } from './drafter.js';
import type { FeatureRows } from './feature-rows.js';
import type { RowWindow } from './row-window.js';

export abstract class HiddenRowDrafter<Rows extends RowWindow = RowWindow> {
  abstract readonly name: string;
  protected readonly rows: Rows;

  /** @param rows none yet; owned from now on. */
  constructor(rows: Rows) {
    this.rows = rows;
  }

  get length(): number {
    return this.rows.end;
  }

  get knownRows(): number {
    return this.rows.end - this.rows.first;
  }

  get bytes(): number {
    return this.rows.bytes;
  }

  /** Notes an observation with the rows that this drafter reads of it. */
  protected note({ position, tokens }: Observation, features: FeatureRows | undefined): void {
    if (position !== this.length) {
      throw new PacelineError(
        'internal',
        `${this.name} was shown ${position} after ${this.length} tokens`,
      );
    }
    if (features !== undefined && features.width !== this.rows.width) {
      throw new PacelineError(
        'internal',
        `${this.name} was shown rows of ${features.width} floats`,
      );
    }
    this.rows.append(tokens.length, features);
  }

  truncate(length: number): boolean {
    if (length < 0 || length > this.length) return false;
    this.rows.truncate(length);
    return true;
  }

  reset(): void {
    this.truncate(0);
  }

  snapshot(): Uint8Array {
    return this.rows.snapshot();
  }

  restore(bytes: Uint8Array): void {
    if (this.rows.restore(bytes)) return;
    throw new PacelineError('broken-file', `A snapshot of the ${this.name} drafter is damaged`, {
      hint: 'Discard the snapshot; drafting then starts anew.',
    });
  }
}
