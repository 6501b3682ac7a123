/**
 * Memory of the whole process: loading and disposing of models does not make it grow, terminated
 * workers leave no threads, and a lack of memory is an error, not the end of the process.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { repository } from '../../support/repository.js';

const program = join('test', 'support', 'memory-program.ts');
const node = ['--expose-gc', '--import', 'tsx', program];

function run(...words: readonly string[]): Record<string, number> {
  const options = { cwd: repository, encoding: 'utf8' } as const;
  return JSON.parse(execFileSync(process.execPath, [...node, ...words], options));
}

/** The same with at most so much address space. */
function runWithin(kilobytes: number) {
  const command = `ulimit -v ${kilobytes}; exec "$0" "$@"`;
  const options = { cwd: repository, encoding: 'utf8' } as const;
  return spawnSync('bash', ['-c', command, process.execPath, ...node, 'once'], options);
}

const linux = { skip: process.platform === 'linux' ? false : 'Linux only' };

describe('memory', () => {
  it('does not grow when models come and go', () => {
    const { growth = Number.NaN } = run('cycles', '12', '30');
    // 80 MiB and more where blocks are left in the heap.
    assert.ok(growth < 25, `${growth} MiB in 30 cycles`);
  });

  it('keeps no threads of workers that were terminated', linux, () => {
    const { before = 0, after = Number.NaN } = run('workers', '3');
    assert.ok(after <= before + 1, `${before} threads became ${after}`);
  });

  it('that is missing is an error', linux, () => {
    const { kilobytes = Number.NaN } = run('nothing');
    const outcomes = [80, 120, 160, 220, 300, 420, 3000].map((more) => {
      const { status, stdout, stderr } = runWithin(kilobytes + more * 1024);
      // When its own heap is what finds no room, V8 ends the process; nobody can catch that.
      if (/^FATAL ERROR: .*JavaScript heap out of memory/m.test(stderr)) return 'V8';
      assert.equal(status, 0, `with ${more} MiB more than nothing takes: ${stderr.slice(0, 2000)}`);
      return (JSON.parse(stdout) as { outcome: string }).outcome;
    });
    assert.ok(outcomes.includes('memory'), outcomes.join());
    assert.equal(outcomes.at(-1), 'ok');
    for (const outcome of outcomes) assert.match(outcome, /^(ok|memory|V8)$/);
  });
});
