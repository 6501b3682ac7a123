/** `paceline serve` and `paceline ps` as a newcomer types them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort } from '../../src/backends/managed/free-port.js';
import { jsonOf, paceline } from '../support/cli.js';

interface Announcement {
  readonly address: string;
  readonly models: readonly string[];
  readonly pid: number;
}

test('serve answers, ps tells what is in memory, SIGTERM ends it with 0', async () => {
  let asked: Promise<void> | undefined;
  const answers: string[] = [];
  const result = await paceline(['serve', 'default', '--port', '0', '--json'], {
    onStdout(stdout, kill) {
      if (asked !== undefined || !stdout.includes('\n')) return;
      const { address, models } = JSON.parse(stdout) as Announcement;
      asked = (async () => {
        const body = {
          model: models[0],
          messages: [{ role: 'user', content: 'Hello' }],
          max_tokens: 3,
        };
        const url = `${address}/v1/chat/completions`;
        const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
        answers.push(await response.text());
        const ps = await paceline(['ps', '--url', address]);
        answers.push(ps.stdout);
        const chat = await paceline(['chat', 'default', '--url', address, '--no-open']);
        answers.push(chat.stderr, address);
        const page = await paceline(['chat', '--url', address, '--no-open', '--json']);
        answers.push(page.stdout);
        kill('SIGTERM');
      })();
    },
  });
  await asked;
  assert.equal(result.code, 0, result.stderr);
  assert.match(answers[0] ?? '', /"object":"chat\.completion"/);
  assert.match(answers[1] ?? '', /default:latest/);
  assert.equal(answers[2]?.trim(), `Page: ${answers[3]}/?model=default`);
  assert.deepEqual(JSON.parse(answers[4] ?? ''), { page: `${answers[3]}/`, opened: false });
});

test('chat starts a server where none answers, shows its page, and ends it with itself', async () => {
  const url = `http://127.0.0.1:${await freePort()}`;
  let asked: Promise<string> | undefined;
  const result = await paceline(['chat', '--url', url, '--no-open', '--json'], {
    onStdout(stdout, kill) {
      if (asked !== undefined || !stdout.includes('\n')) return;
      asked = (async () => {
        const { page } = JSON.parse(stdout) as { page: string };
        const html = await (await fetch(page, { headers: { accept: 'text/html' } })).text();
        const body = JSON.stringify({ model: 'default', prompt: 'a', max_tokens: 2 });
        const answer = await fetch(`${url}/v1/completions`, { method: 'POST', body });
        kill('SIGTERM');
        return `${page} ${html} ${await answer.text()}`;
      })();
    },
  });
  const seen = (await asked) ?? '';
  assert.ok(seen.startsWith(`${url}/ `), seen);
  assert.match(seen, /<html/);
  assert.match(seen, /"object":"text_completion"/);
  assert.equal(result.code, 0, result.stderr);
  assert.match(result.stderr, /Ctrl-C ends the server/);
  await assert.rejects(fetch(url), 'the server has ended with the command');
});

test('chat with a model that is not there says so, and starts nothing', async () => {
  const url = `http://127.0.0.1:${await freePort()}`;
  const failed = await paceline(['chat', 'missing.gguf', '--url', url, '--no-open', '--json']);
  assert.notEqual(failed.code, 0);
  assert.match(failed.stderr, /missing\.gguf/);
  await assert.rejects(fetch(url));
});

test('serve fails as the contract says', async () => {
  const missing = await paceline(['serve', 'missing.gguf', '--port', '0', '--json']);
  assert.equal(missing.code, 3);
  assert.equal((jsonOf(missing).error as { code: string }).code, 'model-not-found');
  const open = await paceline(['serve', 'default', '--host', '0.0.0.0']);
  assert.equal(open.code, 2);
  assert.match(open.stderr, /needs an API key/);
  const nobody = await paceline(['ps', '--url', 'http://127.0.0.1:9']);
  assert.equal(nobody.code, 5);
  assert.match(nobody.stderr, /paceline serve/);
});
