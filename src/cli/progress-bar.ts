/** A progress bar on the last line of a terminal; without a terminal it stays silent. */
import type { OnProgress, Progress } from '../base/progress.js';
import { bytes } from './table.js';

const width = 24;
/** Work that is over sooner shows no bar at all. */
const patienceMs = 200;
const intervalMs = 66;
/** Before that, the pace so far says little about the rest. */
const paceMs = 5000;

/**
 * What the bar shows for one report, at most `columns` characters.
 * @param elapsedMs since the task began, for the speed and the time left.
 * @param from what was done already when it began.
 */
export function renderProgress(
  progress: Progress,
  columns: number,
  elapsedMs = 0,
  from = 0,
): string {
  const { task, done, total, unit } = progress;
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  const filled = Math.round(share * width);
  const amount =
    unit === 'bytes' ? `${bytes(done)} of ${bytes(total)}` : `${done} of ${total} ${unit}`;
  const bar = `${'━'.repeat(filled)}${'─'.repeat(width - filled)}`;
  const pace = elapsedMs >= paceMs ? (done - from) / elapsedMs : 0;
  const speed = pace > 0 && unit === 'bytes' ? `, ${bytes(Math.round(pace * 1000))}/s` : '';
  const left = pace > 0 ? timeLeft((total - done) / pace) : '';
  return `${task} ${bar} ${Math.floor(share * 100)}%  ${amount}${speed}${left}`.slice(
    0,
    columns - 1,
  );
}

function timeLeft(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 60) return `, ${seconds} s left`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 60 ? `, ${minutes} min left` : `, ${(minutes / 60).toFixed(1)} h left`;
}

/** Draws reports of long work on one line; `clear` wipes it before other output. */
export class ProgressBar {
  readonly #stream: NodeJS.WriteStream;
  readonly #enabled: boolean;
  #task = '';
  #since = 0;
  #from = 0;
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
      this.#from = progress.done;
    }
    if (progress.done >= progress.total) {
      this.clear();
      return;
    }
    if (now - this.#since < patienceMs || now - this.#last < intervalMs) return;
    this.#last = now;
    this.#shown = true;
    // Some terminals say that they have no columns.
    const line = renderProgress(
      progress,
      this.#stream.columns || 80,
      now - this.#since,
      this.#from,
    );
    this.#stream.write(`\r\u001b[K${line}`);
  };

  /** Removes the bar from the screen. */
  clear(): void {
    if (!this.#shown) return;
    this.#shown = false;
    this.#stream.write('\r\u001b[K');
  }
}
