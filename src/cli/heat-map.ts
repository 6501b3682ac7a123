/** A heat map of experts for a terminal: a row a layer, a character for one expert or some neighbours. */
import { type ExpertStatistics, expertsFor } from '../bench/experts/statistics.js';

/** From an expert that is hardly used to one that has four times its even share, in steps of two. */
const shades = [' ', '·', '░', '▒', '▓', '█'];

/** @param width columns of the terminal. */
export function heatMap(
  { name, tokens, layers }: ExpertStatistics,
  width = process.stdout.columns ?? 80,
): string {
  const most = Math.max(...layers.map(({ experts }) => experts));
  const room = Math.max(16, width - 32);
  const each = Math.ceil(most / room);
  const rows = layers.map((use) => {
    const even = 1 / use.experts;
    let row = '';
    for (let at = 0; at < use.experts; at += each) {
      const largest = Math.max(...use.mass.subarray(at, at + each));
      const step = Math.ceil(Math.log2(largest / even + 1e-9)) + 3;
      row += shades[Math.max(0, Math.min(shades.length - 1, step))];
    }
    const half = `${expertsFor(0.5, use)} and ${expertsFor(0.9, use)}`;
    return `${String(use.layer).padStart(5)} │${row.padEnd(Math.ceil(most / each))}│ ${half}${use.byToken ? ', by token' : ''}`;
  });
  const columns = each === 1 ? 'an expert' : `the most used of ${each} experts`;
  return (
    `${name}: ${tokens} tokens. A row is a layer, a column ${columns}; at the end: how many experts have ` +
    `half and nine tenths of the probability.\n` +
    `${shades
      .slice(1)
      .map((shade, at) => `${shade} to ${2 ** (at - 2)}`)
      .slice(0, -1)
      .join('  ')}  █ more, times the even share\n` +
    `${rows.join('\n')}\n`
  );
}
