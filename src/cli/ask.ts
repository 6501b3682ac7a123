/** Questions to the person at the terminal. The question goes to stderr, so that stdout stays clean. */
import { createInterface } from 'node:readline/promises';
import { PacelineError } from '../base/errors.js';

/** Whether somebody is there to answer. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/**
 * Asks for yes or no. An empty answer is `standard`, the end of the input is no.
 * @throws {PacelineError} `aborted` on Ctrl-C.
 */
export async function askYesNo(question: string, standard: boolean): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await new Promise<boolean>((resolve, reject) => {
      lines.on('SIGINT', () => reject(new PacelineError('aborted', 'Stopped')));
      lines.on('close', () => resolve(false));
      lines.question(`${question} ${standard ? '[Y/n]' : '[y/N]'} `).then((answer) => {
        const word = answer.trim().toLowerCase();
        resolve(word === '' ? standard : word === 'y' || word === 'yes');
      }, reject);
    });
  } finally {
    lines.close();
  }
}
