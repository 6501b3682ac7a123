/**
 * Names and keys of models that are split over several files: `NAME-00001-of-00003.gguf`. Pure
 * functions over strings.
 */
import { PacelineError } from '../base/errors.js';

/** Metadata of each part: its number from 0, the number of parts, the tensors in all parts. */
export const splitNumberKey = 'split.no';
export const splitCountKey = 'split.count';
export const splitTensorsKey = 'split.tensors.count';

/** The path of part `number` (from 0) of `count`, given the path without `-00001-of-00003.gguf`. */
export function partPath(prefix: string, number: number, count: number): string {
  return `${prefix}-${fiveDigits(number + 1)}-of-${fiveDigits(count)}.gguf`;
}

/**
 * Paths of all `count` parts, from that of part `number`.
 * @throws {PacelineError} `broken-file` when the name does not say what the metadata says.
 */
export function partPaths(path: string, count: number, number: number): string[] {
  const suffix = partPath('', number, count);
  if (number >= count || !path.endsWith(suffix)) {
    throw new PacelineError(
      'broken-file',
      `${path} is part ${number + 1} of ${count} of a split model, but is not named so`,
      {
        hint: `Name the parts NAME${partPath('', 0, count)} and so on, in one folder.`,
        details: { file: path, part: number + 1, count },
      },
    );
  }
  const prefix = path.slice(0, -suffix.length);
  return Array.from({ length: count }, (_, index) => partPath(prefix, index, count));
}

function fiveDigits(value: number): string {
  return String(value).padStart(5, '0');
}
