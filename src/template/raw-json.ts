/**
 * The mark for text that is read as JSON where a template's variables may hold a value; by itself, so that
 * the public types that name it drag nothing along.
 */
import { parseRaw } from './raw-value.js';

/** JSON text that stands for the value in it. */
export class RawJson {
  constructor(readonly text: string) {}

  /**
   * The value as JavaScript's own reader gives it, to look at its shape.
   * @param where the value's name in messages
   * @throws {PacelineError} `usage` when it is no JSON
   */
  plain(where: string): unknown {
    parseRaw(this.text, where);
    return JSON.parse(this.text);
  }
}

/** The value that a JSON text stands for, wherever a template's variables may hold one. */
export const rawJson = (text: string): RawJson => new RawJson(text);
