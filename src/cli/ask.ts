/** Questions to the person at the terminal. The question goes to stderr, so that stdout stays clean. */
import { createInterface } from 'node:readline';
import { PacelineError } from '../base/errors.js';

/** Where questions go and answers come from. */
export interface AskStreams {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
}

/** Whether somebody is there to answer. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/**
 * Asks for yes or no. An empty answer is `standard`, the end of the input is no.
 * @throws {PacelineError} `aborted` on Ctrl-C.
 */
export async function askYesNo(
  question: string,
  standard: boolean,
  { input, output }: AskStreams = { input: process.stdin, output: process.stderr },
): Promise<boolean> {
  const lines = createInterface({ input, output });
  try {
    return await new Promise<boolean>((resolve, reject) => {
      lines.on('SIGINT', () => reject(new PacelineError('aborted', 'Stopped')));
      // A line that ends with the input comes before the close.
      lines.on('line', (line) => {
        const word = line.trim().toLowerCase();
        resolve(word === '' ? standard : word === 'y' || word === 'yes');
      });
      lines.on('close', () => resolve(false));
      lines.setPrompt(`${question} ${standard ? '[Y/n]' : '[y/N]'} `);
      lines.prompt();
    });
  } finally {
    lines.close();
  }
}
