/** The cache on the disk as scripts meet it: found by the next run, tended by `cache`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeGguf } from '../../src/gguf/writer.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { type CliResult, jsonOf, paceline } from '../support/cli.js';
import { temporaryFile, tinyModel } from '../support/tiny-model.js';

const prompt = 'a text that is long enough to be worth keeping '.repeat(8);

/** Runs with a store of this test's own. */
function withStore(name: string, model: () => Promise<string> = tinyModel) {
  const folder = temporaryFile(name);
  const env = { PACELINE_CACHE: folder };
  const run = async (text: string, ...flags: string[]): Promise<CliResult> => {
    const settings = ['-n', '8', '--temp', '0', '--threads', '1', '--json', ...flags];
    return paceline(['run', await model(), text, ...settings], { env });
  };
  const cache = (...args: string[]): Promise<CliResult> => paceline(['cache', ...args], { env });
  return { folder, run, cache };
}

test('run finds a prompt again in a new process, and says once where it is kept', async () => {
  const { folder, run, cache } = withStore('cli-store');
  const plain = jsonOf(await run(prompt, '--no-cache'));
  const first = await run(prompt);
  assert.equal(first.code, 0);
  assert.ok(first.stderr.includes(folder) && first.stderr.includes('--no-cache'), first.stderr);
  const second = await run(prompt);
  assert.equal(second.stderr, '');
  const [one, two] = [jsonOf(first), jsonOf(second)];
  assert.equal(one.cached_tokens, 0);
  assert.equal(two.cached_tokens, Number(two.prompt_tokens) - 1);
  assert.deepEqual([one.tokens, two.tokens], [plain.tokens, plain.tokens]);
  assert.equal(jsonOf(await run(prompt, '--no-cache')).cached_tokens, 0);

  const stat = jsonOf(await cache('stat', '--json'));
  const [model] = stat.models as Record<string, unknown>[];
  assert.equal(stat.folder, folder);
  assert.deepEqual([model?.requests, model?.hits, model?.prefixes], [2, 1, 1]);
  const listed = jsonOf(await cache('ls', '--json'));
  const [{ prefixes = [] } = {}] = listed.models as { prefixes: Record<string, unknown>[] }[];
  assert.equal(prefixes.length, 1);
  assert.match(String(prefixes[0]?.text), /^a text that is long/);
  assert.equal((await cache('verify')).code, 0);
  assert.match((await cache('stat')).stdout, /1 of 2/);
  assert.match((await cache('ls')).stdout, /a text that is long/);

  const gone = await cache('rm', String(prefixes[0]?.name).slice(0, 10), '--json');
  assert.ok(Number(jsonOf(gone).blocks) >= 1);
  assert.equal(jsonOf(await run(prompt)).cached_tokens, 0);
  assert.equal((await cache('rm', '--all')).code, 2);
  assert.equal((await cache('rm')).code, 2);
  assert.equal((await cache('rm', 'nothing')).code, 2);
  assert.equal((await cache('rm', '--all', '--yes')).code, 0);
  assert.deepEqual(jsonOf(await cache('stat', '--json')).models, []);
});

test('a damaged block is computed again, and a limit of the store is kept', async () => {
  const { folder, run, cache } = withStore('cli-broken');
  const first = jsonOf(await run(prompt));
  const { readdir, readFile, writeFile } = await import('node:fs/promises');
  const [key = ''] = await readdir(`${folder}/v1`);
  const files = await readdir(`${folder}/v1/${key}`);
  for (const file of files.filter((name) => name.endsWith('.rows'))) {
    const path = `${folder}/v1/${key}/${file}`;
    const bytes = await readFile(path);
    bytes[4200] = (bytes[4200] as number) ^ 1;
    await writeFile(path, bytes);
  }
  const again = await run(prompt);
  assert.match(again.stderr, /set aside/);
  assert.deepEqual(jsonOf(again).tokens, first.tokens);
  // Only the first was read and replaced; those behind it were not asked for.
  const check = await cache('verify', '--json');
  assert.deepEqual([check.code, (jsonOf(check).broken as unknown[]).length], [7, 1]);
  assert.equal((await cache('verify')).code, 0);
  assert.ok(Number(jsonOf(await cache('stat', '--json')).broken) > 0);
  const { left } = jsonOf(await cache('gc', '--cache-budget', '1KB', '--json'));
  assert.ok(Number(left) < 1000);
  assert.equal(jsonOf(await run(prompt, '--cache-budget', '2KB')).cached_tokens, 0);
  assert.equal(jsonOf(await run(prompt)).cached_tokens, 0, 'it did not fit');
  assert.equal((await run(prompt, '--cache-budget', 'much')).code, 2);
});

test('PACELINE_CACHE=off keeps nothing, and --cache-dir names a folder all the same', async () => {
  const model = await tinyModel();
  const folder = temporaryFile('cli-named');
  const args = ['run', model, prompt, '-n', '1', '--threads', '1', '--json'];
  const off = async (...flags: string[]) => jsonOf(await paceline([...args, ...flags]));
  await off();
  assert.equal((await off()).cached_tokens, 0);
  await off('--cache-dir', folder);
  const { cached_tokens: cached, prompt_tokens: all } = await off('--cache-dir', folder);
  assert.equal(cached, Number(all) - 1);
});

for (const options of [
  { architecture: 'gemma3', layers: 3, window: [16, 3] },
  { architecture: 'qwen35', layers: 4, tied: false },
] as const) {
  test(`run finds a long prompt again of a model of ${options.architecture}`, async () => {
    const model = temporaryFile(`cli-${options.architecture}.gguf`);
    await writeGguf(model, randomModel({ ...options, context: 2048 }));
    const { run } = withStore(`cli-store-${options.architecture}`, async () => model);
    const long = 'several windows of text '.repeat(20);
    const text = `${long}</s>${long}`;
    const runs = [await run(text, '--no-cache'), await run(text), await run(text)].map(jsonOf);
    const [plain, first, second] = runs;
    assert.ok(Number(plain?.prompt_tokens) > 512, String(plain?.prompt_tokens));
    assert.deepEqual([first?.tokens, second?.tokens], [plain?.tokens, plain?.tokens]);
    assert.equal(first?.cached_tokens, 0);
    assert.equal(second?.cached_tokens, Number(second?.prompt_tokens) - 1);
    // Another second message: only that is computed.
    const edited = `${long}</s>another one`;
    const [third, expected] = [await run(edited), await run(edited, '--no-cache')].map(jsonOf);
    assert.deepEqual(third?.tokens, expected?.tokens);
    const computed = Number(third?.prompt_tokens) - Number(third?.cached_tokens);
    assert.ok(computed <= 20, `${computed} tokens were computed`);
  });
}
