/** Files of prompts that `features` and `draft check` take. */
import { basename } from 'node:path';
import { parsePrompts, type TextPrompt } from '../bench/text-prompts.js';
import { readTextFile } from './input.js';

/** The prompts of all files, in order; a plain line is a question. @throws {PacelineError} `usage`, `io`. */
export function readPrompts(files: readonly string[]): TextPrompt[] {
  return files.flatMap((file) => parsePrompts(readTextFile(file), basename(file), true));
}
