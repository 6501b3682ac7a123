/**
 * Where the command line writes: results to stdout, everything else to stderr. A reader that goes
 * away (`| head`) ends the program quietly, a full disk with an error.
 */
import { writeSync } from 'node:fs';
import { errorCodes } from '../base/errors.js';

function readerHasGone({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
}

/**
 * Ends the process when its output cannot be written: without a word when the reader has gone, with
 * an error when there is no room. What cannot be said on stderr is not said.
 */
export function endOnBrokenOutput(): void {
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (readerHasGone(error)) process.exit(0);
  });
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (readerHasGone(error)) process.exit(0);
    try {
      // Streams would write after the exit.
      writeSync(
        2,
        `error: Cannot write the output: ${error.message}\n` +
          'hint: Free some space, or write to another place.\n',
      );
    } catch {}
    process.exit(errorCodes.io.exit);
  });
}

/** Writes to stdout and waits while the reader is slower than the model. */
export async function print(text: string | Uint8Array): Promise<void> {
  if (text.length === 0 || process.stdout.write(text)) return;
  await new Promise<void>((resolve) => process.stdout.once('drain', resolve));
}

/** One JSON object on one line of stdout; integers beyond 2^53 become strings. */
export async function printJson(value: unknown): Promise<void> {
  await print(`${toJson(value)}\n`);
}

/** JSON text of plain data; integers beyond 2^53 become strings, since JSON readers round them. */
function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== 'bigint') return item;
    return Number.isSafeInteger(Number(item)) ? Number(item) : item.toString();
  });
}

/** A line for the person at the terminal, on stderr. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Resolves when everything written to both streams has been handed to the system. */
export async function flushed(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => {
      stream.write('', () => resolve());
    });
  }
}

/** Whether text for people may use colours: a terminal, and `NO_COLOR` not set. */
export function colours(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}

/** The text dimmed, where the stream shows colours. */
export function dim(text: string, stream: NodeJS.WriteStream = process.stderr): string {
  return colours(stream) ? `\u001b[2m${text}\u001b[22m` : text;
}

/** The text in bold, where the stream shows colours. */
export function bold(text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return colours(stream) ? `\u001b[1m${text}\u001b[22m` : text;
}

/** Plain data with its keys in snake_case, as all JSON of the command line has them. */
export function snakeKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeKeys(item),
    ]),
  );
}
