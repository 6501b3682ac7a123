/** Completion scripts: they name what the program knows, and bash's works in bash. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { completionScript, completionShells } from '../../src/cli/completion.js';
import { createProgram } from '../../src/cli/program.js';
import { jsonOf, paceline } from '../support/cli.js';

const program = createProgram();

test('every script names every command and every flag', () => {
  for (const shell of completionShells) {
    const script = completionScript(program, shell);
    for (const command of program.createHelp().visibleCommands(program)) {
      assert.ok(script.includes(command.name()), `${shell}: ${command.name()}`);
      for (const option of command.options.filter(({ hidden }) => !hidden)) {
        const name = option.long ?? option.short ?? '';
        const word = shell === 'fish' ? name.replace(/^-+/, '') : name;
        assert.ok(script.includes(word), `${shell}: ${command.name()} ${name}`);
      }
    }
  }
});

test('the command prints the script, also as JSON', async () => {
  const script = completionScript(program, 'fish');
  const [plain, json] = await Promise.all([
    paceline(['completion', 'fish']),
    paceline(['completion', 'fish', '--json']),
  ]);
  assert.equal(plain.stdout, script);
  assert.deepEqual(jsonOf(json), { script });
});

/** What bash offers for the last of these words. */
function offered(words: readonly string[]): string[] {
  const quoted = words.map((word) => `'${word}'`).join(' ');
  const script =
    `${completionScript(program, 'bash')}\n` +
    `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _paceline\n` +
    `printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', script], {
    encoding: 'utf8',
  });
  assert.deepEqual([status, stderr], [0, '']);
  return stdout.split('\n').filter((word) => word !== '');
}

test('bash completes commands, flags, their values and files', {
  skip: process.platform === 'win32',
}, () => {
  assert.deepEqual(offered(['paceline', 'de']), ['detokenize', 'devices']);
  assert.deepEqual(offered(['paceline', 'run', '--top']), ['--top-k', '--top-p']);
  assert.deepEqual(offered(['paceline', 'run', '--draft', 'm']), ['mtp']);
  assert.deepEqual(offered(['paceline', 'run', '--seed', '']), []);
  assert.deepEqual(offered(['paceline', 'run', '--draft-model', 'READ']), ['README.md']);
  assert.deepEqual(offered(['paceline', 'inspect', 'def']), ['default']);
  assert.deepEqual(offered(['paceline', 'completion', 'z']), ['zsh']);
  assert.deepEqual(offered(['paceline', 'help', 'ver']), ['verify']);
});
