/** A progress bar on the last line of a terminal; without a terminal it stays silent. */
import type { OnProgress, Progress } from '../base/progress.js';
import { bytes } from './table.js';

const width = 24;
/** Work that is over sooner shows no bar at all. */
const patienceMs = 200;
const intervalMs = 66;

/** What the bar shows for one report, at most `columns` characters. */
export function renderProgress(progress: Progress, columns: number): string {
  const { task, done, total, unit } = progress;
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  const filled = Math.round(share * width);
  const amount =
    unit === 'bytes' ? `${bytes(done)} of ${bytes(total)}` : `${done} of ${total} ${unit}`;
  const bar = `${'━'.repeat(filled)}${'─'.repeat(width - filled)}`;
  return `${task} ${bar} ${Math.floor(share * 100)}%  ${amount}`.slice(0, columns - 1);
}

/** Draws reports of long work on one line; `clear` wipes it before other output. */
export class ProgressBar {
  readonly #stream: NodeJS.WriteStream;
  readonly #enabled: boolean;
  #task = '';
  #since = 0;
  #last = 0;
  #shown = false;

  constructor(stream: NodeJS.WriteStream = process.stderr, enabled = stream.isTTY === true) {
    this.#stream = stream;
    this.#enabled = enabled && process.env.TERM !== 'dumb';
  }

  /** The callback to hand to the engine. */
  readonly onProgress: OnProgress = (progress) => {
    if (!this.#enabled) return;
    const now = performance.now();
    if (progress.task !== this.#task) {
      this.#task = progress.task;
      this.#since = now;
    }
    if (progress.done >= progress.total) {
      this.clear();
      return;
    }
    if (now - this.#since < patienceMs || now - this.#last < intervalMs) return;
    this.#last = now;
    this.#shown = true;
    this.#stream.write(`\r\u001b[K${renderProgress(progress, this.#stream.columns ?? 80)}`);
  };

  /** Removes the bar from the screen. */
  clear(): void {
    if (!this.#shown) return;
    this.#shown = false;
    this.#stream.write('\r\u001b[K');
  }
}
