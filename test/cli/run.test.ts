import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { cliProgram, jsonOf, paceline } from '../support/cli.js';
import { tinyModel } from '../support/tiny-model.js';

const fast = ['-n', '12', '--seed', '5', '--threads', '1'];

test('--json has the fields of the contract, and the text is what a stream prints', async () => {
  const model = await tinyModel();
  const [json, stream] = await Promise.all([
    paceline(['run', model, 'hello ', ...fast, '--json']),
    paceline(['run', model, 'hello ', ...fast]),
  ]);
  assert.deepEqual([json.code, json.stderr, stream.code, stream.stderr], [0, '', 0, '']);
  assert.equal(json.stdout.trimEnd().split('\n').length, 1);
  const report = jsonOf(json);
  assert.equal(report.text, stream.stdout);
  assert.equal((report.tokens as number[]).length, 12);
  assert.equal(report.finish_reason, 'length');
  assert.equal(report.prompt_tokens, 6);
  assert.equal(report.cached_tokens, 0);
  assert.equal(report.seed, 5);
  const timings = report.timings as Record<string, number>;
  for (const key of ['load_ms', 'prefill_ms', 'prefill_tps', 'decode_ms', 'decode_tps']) {
    assert.ok(Number.isFinite(timings[key]) && Number(timings[key]) >= 0, key);
  }
  const draft = report.draft as Record<string, unknown>;
  assert.deepEqual(Object.keys(draft).slice(0, 4), ['kind', 'steps', 'drafted', 'accepted']);
});

test('--json says which type the KV cache has', async () => {
  const model = await tinyModel();
  const typeWith = async (...flags: string[]): Promise<unknown> => {
    const report = jsonOf(await paceline(['run', model, 'x', ...fast, '--json', ...flags]));
    return (report.model as Record<string, unknown>).kv_type;
  };
  assert.deepEqual([await typeWith(), await typeWith('--kv', 'f32')], ['f16', 'f32']);
});

test('the same seed gives the same tokens, with other threads too; another seed others', async () => {
  const model = await tinyModel();
  const tokensOf = async (...flags: string[]): Promise<unknown> =>
    jsonOf(await paceline(['run', model, 'hello ', '-n', '12', '--json', ...flags])).tokens;
  const [one, two, other, greedy, again] = await Promise.all([
    tokensOf('--seed', '5', '--threads', '1'),
    tokensOf('--seed', '5', '--threads', '2'),
    tokensOf('--seed', '6'),
    tokensOf('--temp', '0'),
    tokensOf('--temp', '0', '--no-cache', '--draft', 'none'),
  ]);
  assert.deepEqual(one, two);
  assert.notDeepEqual(one, other);
  assert.deepEqual(greedy, again);
});

test('the prompt may come from stdin, without the line break at its end', async () => {
  const model = await tinyModel();
  const [argument, piped, dash] = await Promise.all([
    paceline(['run', model, 'some text', ...fast]),
    paceline(['run', model, ...fast], { input: 'some text\n' }),
    paceline(['run', model, '-', ...fast], { input: 'some text\n' }),
  ]);
  assert.equal(piped.stdout, argument.stdout);
  assert.equal(dash.stdout, argument.stdout);
});

test('--stop ends the text before the string, --logprobs reports alternatives', async () => {
  const model = await tinyModel();
  const whole = jsonOf(await paceline(['run', model, 'x', ...fast, '--json', '--logprobs', '2']));
  const text = String(whole.text);
  const stop = text.slice(4, 6);
  const cut = jsonOf(await paceline(['run', model, 'x', ...fast, '--json', '--stop', stop]));
  assert.equal(cut.finish_reason, 'stop');
  assert.equal(cut.text, text.slice(0, text.indexOf(stop)));
  const logprobs = whole.logprobs as { token: number; top: unknown[] }[];
  assert.deepEqual(
    logprobs.map(({ token }) => token),
    whole.tokens,
  );
  assert.ok(logprobs.every(({ top }) => top.length === 2));
});

test('Ctrl-C ends with 130, also when it is sent while text streams', async () => {
  const model = await tinyModel();
  let stopped = false;
  const endless = ['run', model, 'x', '--ctx', '500', '--temp', '2', '--seed', '1'];
  const plain = await paceline(endless, {
    onStdout: (_text, kill) => {
      if (!stopped) kill('SIGINT');
      stopped = true;
    },
  });
  assert.equal(plain.code, 130);
  assert.equal(plain.stderr, '');
});

test('tokenize and detokenize undo each other, byte for byte', async () => {
  const model = await tinyModel();
  const text = '\ufeff  Two  spaces,\ttabs\r\nand 🙂 <|end|>\n\n';
  const encoded = await paceline(['tokenize', model, '--json'], { input: text });
  const { tokens } = jsonOf(encoded) as { tokens: number[] };
  assert.equal(tokens.length, Buffer.byteLength(text) - 1, 'the two line breaks are merged');
  const words = await paceline(['tokenize', model], { input: text });
  assert.equal(words.stdout, `${tokens.join(' ')}\n`);
  for (const input of [encoded.stdout, words.stdout, JSON.stringify(tokens)]) {
    const decoded = await paceline(['detokenize', model], { input });
    assert.deepEqual([decoded.code, decoded.stdout], [0, text]);
  }
  const special = await paceline(['tokenize', model, '--parse-special', '--json'], {
    input: '<|end|>',
  });
  assert.deepEqual(jsonOf(special), { tokens: [258] });
  const shown = await paceline(['detokenize', model, '258', '--show-special', '--json']);
  assert.deepEqual(jsonOf(shown), { text: '<|end|>' });
});

test('a reader that goes away ends the program quietly', async () => {
  const model = await tinyModel();
  const { spawn } = await import('node:child_process');
  const child = spawn(process.execPath, [
    cliProgram,
    'run',
    model,
    'x',
    '--temp',
    '2',
    '--seed',
    '1',
  ]);
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  child.stdin.end();
  child.stdout.once('data', () => child.stdout.destroy());
  const code = await new Promise((resolve) => {
    child.on('close', resolve);
  });
  assert.deepEqual([code, errors], [0, '']);
});

test('output that finds no room is an error, not a stack', {
  skip: !existsSync('/dev/full'),
}, async () => {
  const model = await tinyModel();
  const full = openSync('/dev/full', 'w');
  for (const args of [['run', model, 'x', ...fast], ['devices', '--json'], ['--help']]) {
    const { status, stderr } = spawnSync(process.execPath, [cliProgram, ...args], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    assert.equal(status, 1, stderr);
    assert.match(stderr, /^error: Cannot write the output: ENOSPC.*\nhint: \S.*\n$/m);
  }
  // Nothing can be said on a full stderr; the exit code still tells.
  const silent = spawnSync(process.execPath, [cliProgram, 'run', '/nowhere.gguf', 'x'], {
    stdio: ['ignore', 'pipe', full],
  });
  assert.equal(silent.status, 3);
  closeSync(full);
});
