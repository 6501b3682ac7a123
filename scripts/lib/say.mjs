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
