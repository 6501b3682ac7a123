/** The lines that were typed into chats, kept for the next one in the user's state folder. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

const most = 500;

function historyFile(): string {
  const state = process.env.XDG_STATE_HOME;
  const base =
    state !== undefined && isAbsolute(state) ? state : join(homedir(), '.local', 'state');
  return join(base, 'paceline', 'history');
}

/** Earlier lines, the latest first, as readline wants them; empty when there are none. */
export function readHistory(file = historyFile()): string[] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n');
    return lines.filter((line) => line !== '').reverse();
  } catch {
    return [];
  }
}

/** Keeps the latest lines (latest first). A history that cannot be written is not worth a failure. */
export function writeHistory(history: readonly string[], file = historyFile()): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const lines = history.slice(0, most).reverse();
    writeFileSync(file, lines.map((line) => `${line}\n`).join(''), { mode: 0o600 });
  } catch {}
}
