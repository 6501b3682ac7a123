/** One line per step, on stderr, so that stdout stays the program's own. */

/** Prints one line of the set-up. */
export function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

/** Runs a step and says in one line what it did and how long it took. */
export async function step(what, work) {
  const started = performance.now();
  say(`${what} ...`);
  const result = await work();
  const seconds = (performance.now() - started) / 1000;
  say(`${what}: done in ${seconds.toFixed(1)} s`);
  return result;
}

const barWidth = 24;

/**
 * Progress of a step: a bar that is redrawn on a terminal, else a plain line at every quarter.
 * Returns a function that takes how many of how many are done; at the last one the bar is left.
 */
export function progress(what, stream = process.stderr) {
  let quarter = 0;
  return ({ done, total }) => {
    if (stream.isTTY) {
      const full = Math.round((barWidth * done) / total);
      const bar = '#'.repeat(full) + '.'.repeat(barWidth - full);
      stream.write(`\r\x1b[Ksetup: ${what} [${bar}] ${done}/${total}${done === total ? '\n' : ''}`);
      return;
    }
    const now = Math.floor((4 * done) / total);
    if (now === quarter) return;
    quarter = now;
    stream.write(`setup: ${what}: ${done}/${total}\n`);
  };
}
