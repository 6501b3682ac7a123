/** The log of one engine: a file with an end, whose last lines explain a failure. */
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

const mostBytes = 16 * 2 ** 20;
const mostLine = 8192;
const keptLines = 40;
/** Characters of the last lines that an error holds. */
const mostTail = 600;

export class EngineLog {
  #bytes: number;
  #held = '';
  #kept: string[] = [];
  readonly #decoder = new TextDecoder();

  /** @param path its folder is made; an older log stays as `.1` when this one is full */
  constructor(readonly path: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.#bytes = sizeOf(path);
  }

  /** A line of this server's own. */
  line(text: string): void {
    this.#append(`[paceline ${new Date().toISOString()}] ${text}\n`);
  }

  /** What the engine said; gives its complete lines, cut where they are long. */
  write(piece: Buffer): readonly string[] {
    const text = this.#decoder.decode(piece, { stream: true });
    this.#append(text);
    const lines = (this.#held + text).split(/\r?\n|\r/);
    this.#held = (lines.pop() ?? '').slice(-mostLine);
    const cut = lines.map((line) => line.slice(0, mostLine)).filter((line) => line.trim() !== '');
    this.#kept = [...this.#kept, ...cut].slice(-keptLines);
    return cut;
  }

  /** The last lines, for an error. */
  tail(): string {
    const lines = [...this.#kept, this.#held]
      .map((line) => line.trim())
      .filter((line) => line !== '');
    const telling = lines.filter((line) => /error|exception|fail|fatal|abort/i.test(line));
    const text = (telling.length > 0 ? telling : lines).slice(-3).join(' | ');
    return text.length > mostTail ? `...${text.slice(-mostTail)}` : text;
  }

  #append(text: string): void {
    const size = Buffer.byteLength(text);
    try {
      if (this.#bytes + size > mostBytes) {
        renameSync(this.path, `${this.path}.1`);
        this.#bytes = 0;
      }
      appendFileSync(this.path, text, { mode: 0o600 });
      this.#bytes += size;
    } catch {
      // A full disk must not end the engine.
    }
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}
