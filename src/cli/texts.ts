/** Texts that a command reads and does not continue: arguments, files, or the lines of stdin. */
import type { Command } from 'commander';
import { PacelineError } from '../base/errors.js';
import { readStdin, readTextFile } from './input.js';
import { collect } from './numbers.js';

/** Values of the flags of `addTextFlags`. */
export interface TextFlags {
  readonly file?: readonly string[];
  readonly lines?: readonly string[];
}

export interface NamedText {
  readonly text: string;
  /** The file that it is in, with the line where each is a text; undefined for arguments and stdin. */
  readonly source: string | undefined;
}

/** Adds the flags that name files. `what` is what each text is: `text`, `document`. */
export function addTextFlags(command: Command, what: string): Command {
  return command
    .option('--file <file>', `a file that is one ${what}; may be repeated`, collect)
    .option('--lines <file>', `a file whose lines are ${what}s; may be repeated`, collect);
}

/**
 * The texts in the order arguments, files, lines of files; where there are none of these, each line of
 * stdin is one.
 * @throws {PacelineError} `usage` when there are none at all, or a file can't be read as text; `io`
 */
export async function readTexts(
  given: readonly string[],
  { file = [], lines = [] }: TextFlags,
  what: string,
): Promise<readonly NamedText[]> {
  const texts: NamedText[] = [
    ...given.map((text) => ({ text, source: undefined })),
    ...file.map((path) => ({ text: readTextFile(path), source: path })),
    ...lines.flatMap((path) =>
      linesOf(readTextFile(path)).map((text, index) => ({ text, source: `${path}:${index + 1}` })),
    ),
  ];
  if (texts.length === 0 && file.length === 0 && lines.length === 0 && !process.stdin.isTTY) {
    texts.push(...linesOf(await readStdin()).map((text) => ({ text, source: undefined })));
  }
  if (texts.length > 0) return texts;
  throw new PacelineError('usage', `There is no ${what}`, {
    hint: `Give ${what}s as arguments, with --file or --lines, or one a line on stdin.`,
  });
}

/** The lines of a text; what follows the last line break is one only where it is not empty. */
function linesOf(text: string): readonly string[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}
