/** What the command line reads: text on stdin and in files, strictly UTF-8. */
import { readFileSync } from 'node:fs';
import { PacelineError } from '../base/errors.js';

/**
 * UTF-8 bytes as text, a byte order mark included as the character that it is.
 * @throws {PacelineError} `usage` when the bytes are not UTF-8: replacing characters silently
 * would process another text than the one that was given.
 */
export function decodeUtf8(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new PacelineError('usage', `${where} is not valid UTF-8`, {
      hint: 'Convert it first, for example with `iconv -f latin1 -t utf-8`.',
      cause,
    });
  }
}

/** All of stdin as text. */
export async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return decodeUtf8(Buffer.concat(chunks), 'The text on stdin');
}

/** Text of a prompt from stdin: one line break at its end belongs to the shell, not to the text. */
export async function readPrompt(): Promise<string> {
  return (await readStdin()).replace(/\r?\n$/, '');
}

/**
 * The text of a file that a flag names, exactly as it is.
 * @param kind what it is, for the hint
 * @throws {PacelineError} `usage` when there is no such file or it is not UTF-8, `io`.
 */
export function readTextFile(path: string, kind = 'a text file'): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const missing = ['ENOENT', 'ENOTDIR', 'EISDIR'].includes(code ?? '');
    throw new PacelineError(missing ? 'usage' : 'io', `Cannot read ${path}: ${message}`, {
      hint: `Give the path of ${kind}.`,
      details: { file: path },
      cause,
    });
  }
  return decodeUtf8(bytes, path);
}
