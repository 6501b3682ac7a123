/** What comes out of a pull when the hub, the storage or the way between them misbehaves. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { PacelineError } from '../../src/base/errors.js';
import { readSettings } from '../../src/hub/settings.js';
import { type Fault, miniGguf, type SeenRequest, widgetFiles } from './support/hub-double.js';
import { allDrafters, Workspace } from './support/workspace.js';

const name = 'hf:acme/widget-GGUF:Q4_K_M';
const large = miniGguf('llama', 12 * 2 ** 20);

/** A machine whose hub has one model, by default of 12 MiB. */
async function withModel(content: Buffer = large): Promise<Workspace> {
  const machine = await Workspace.open();
  machine.hub.commit('acme/widget-GGUF', { 'widget-Q4_K_M.gguf': content });
  return machine;
}

/** A fault for the first requests to the storage that match, and none after them. */
function first(count: number, fault: Fault, where: (seen: SeenRequest) => boolean = isStorage) {
  let left = count;
  return (seen: SeenRequest): Fault | undefined => (where(seen) && left-- > 0 ? fault : undefined);
}

const isStorage = ({ host }: SeenRequest): boolean => host === 'storage';

function assertPulled(path: string, content: Buffer = large): void {
  assert.ok(readFileSync(path).equals(content));
}

// Most of the time goes by waiting.
describe('pull', { concurrency: 4 }, () => {
  test('a file comes in parallel ranges that do not overlap', async () => {
    await using machine = await withModel();
    const { model } = await machine.pull(name, { connections: 4 });
    assertPulled(model.path);
    assert.equal(model.downloadedBytes, large.length);
    assert.equal(machine.hub.rangedBytes, large.length);
    assert.ok(machine.hub.seen.filter(isStorage).length >= 3);
  });

  test('progress ends at the size, and a second pull downloads nothing', async () => {
    await using machine = await withModel();
    const seen: number[] = [];
    await machine.pull(name, {
      onProgress: ({ task, done, total }) => {
        assert.equal(total, large.length);
        if (!task.startsWith('checking')) seen.push(done);
      },
    });
    assert.deepEqual(
      [...seen].sort((a, b) => a - b),
      seen,
    );
    assert.equal(seen.at(-1), large.length);
    machine.hub.seen.length = 0;
    const { model } = await machine.pull(name);
    assert.equal(model.downloadedBytes, 0);
    assert.deepEqual(
      machine.hub.seen.map(({ method }) => method),
      ['GET'],
    );
  });

  for (const [what, fault] of [
    ['connections that break', { dropAfter: 300_000 }],
    ['answers that end early', { dropAfter: 0 }],
    ['a storage that is down', { status: 503 }],
    ['too many requests', { status: 429, headers: { 'retry-after': '0' } }],
    ['an address that has expired', { status: 403, body: 'Request has expired' }],
    ['a silent server', { silentMs: 60_000 }],
  ] as const) {
    test(`${what}: tried again`, async () => {
      await using machine = await withModel();
      machine.hub.fault = first(2, fault);
      const { model } = await machine.pull(name, {
        connections: 3,
        http: { pauseMs: 1, silenceMs: 300 },
      });
      assertPulled(model.path);
    });

    // Connections that break and still bring something are no reason to give up.
    if ('dropAfter' in fault && fault.dropAfter > 0) continue;
    test(`${what}, without end: a network error, and what came is kept`, async () => {
      await using machine = await withModel();
      // The first megabytes come through.
      machine.hub.fault = (seen) => (isStorage(seen) && seen.range?.[0] !== 0 ? fault : undefined);
      const http = { pauseMs: 1, silenceMs: 200, tries: 3 };
      await assert.rejects(machine.pull(name, { connections: 3, http }), (error: PacelineError) => {
        assert.match(error.code, what.includes('expired') ? /unauthorized/ : /network/);
        assert.ok(error.hint !== undefined);
        return true;
      });
      assert.ok(
        !existsSync(join(machine.repository, 'refs')),
        'an unfinished pull moves no branch',
      );
      machine.hub.fault = () => undefined;
      machine.hub.seen.length = 0;
      const { model } = await machine.pull(name);
      assertPulled(model.path);
      assert.ok(
        machine.hub.rangedBytes <= large.length - 4 * 2 ** 20,
        `${machine.hub.rangedBytes}`,
      );
    });
  }

  test('an outage that hits all connections at once ends nothing', async () => {
    await using machine = await withModel();
    machine.hub.fault = first(9, { status: 503 }, ({ range }) => (range?.[0] ?? 0) > 0);
    const http = { pauseMs: 1, tries: 4 };
    assertPulled((await machine.pull(name, { connections: 3, http })).model.path);
  });

  test('a slow answer is waited for as long as bytes come', async () => {
    const content = miniGguf('llama', 100_000);
    await using machine = await withModel(content);
    machine.hub.fault = first(99, { slow: { bytes: 10_000, pauseMs: 40 } });
    const { model } = await machine.pull(name, { http: { pauseMs: 1, silenceMs: 250, tries: 1 } });
    assertPulled(model.path, content);
  });

  test('Retry-After is waited for and said; a wait without measure is not', async () => {
    await using machine = await withModel();
    const notes: string[] = [];
    machine.hub.fault = first(
      1,
      { status: 429, headers: { 'retry-after': '2' } },
      ({ host }) => host === 'hub',
    );
    const began = Date.now();
    await machine.pull(name, { onNote: (text) => notes.push(text) });
    assert.ok(Date.now() - began >= 1900);
    assert.match(notes.join(), /too many requests; trying again in 2 s/);
    machine.hub.fault = () => ({ status: 429, headers: { 'retry-after': '86400' } });
    await assert.rejects(machine.pull(name), { code: 'network', message: /too many requests/ });
  });

  test('damaged bytes are found by their hash, and not kept', async () => {
    await using machine = await withModel();
    machine.hub.fault = first(1, { corrupt: true });
    await assert.rejects(machine.pull(name), { code: 'network', message: /damaged: its hash is/ });
    assert.deepEqual(readdirSync(join(machine.repository, 'blobs')), []);
    assertPulled((await machine.pull(name)).model.path);
  });

  test('a damaged file of git, which has no SHA-256, is found too', async () => {
    await using machine = await Workspace.open();
    const stored = machine.hub.commit('acme/widget-GGUF', { 'widget.txt': miniGguf() });
    const file = stored.files.get('widget.txt');
    assert.ok(file !== undefined);
    stored.files.set('widget-Q4_K_M.gguf', file);
    machine.hub.fault = ({ path, method }) =>
      method === 'GET' && path.includes('resolve') ? { corrupt: true } : undefined;
    await assert.rejects(machine.pull(name), { code: 'network', message: /damaged/ });
    machine.hub.fault = () => undefined;
    assertPulled((await machine.pull(name)).model.path, miniGguf());
  });

  for (const [what, fault] of [
    [
      'more bytes than asked for',
      {
        status: 206,
        headers: { 'content-range': `bytes 0-9/${large.length}`, 'content-length': '10' },
        body: '0123456789',
      },
    ],
    [
      'another length',
      { status: 206, headers: { 'content-range': 'bytes 0-4194303/99' }, body: 'x' },
    ],
    [
      'a negative length',
      { status: 206, headers: { 'content-range': 'bytes 0-4194303/-5' }, body: 'x' },
    ],
    ['a range that is none', { status: 206, headers: { 'content-range': 'gold' }, body: 'x' }],
    ['a file that has become shorter', { status: 416 }],
  ] as const) {
    test(`an answer with ${what} is refused`, async () => {
      await using machine = await withModel();
      machine.hub.fault = (seen) => (isStorage(seen) ? fault : undefined);
      await assert.rejects(machine.pull(name), { code: 'network' });
      assert.ok(!existsSync(join(machine.repository, 'snapshots')));
    });
  }

  test('a server without ranges is read from the start', async () => {
    await using machine = await withModel();
    let broken = false;
    machine.hub.fault = (seen) => {
      if (!isStorage(seen)) return undefined;
      if (broken || seen.range?.[1] !== large.length - 1) return { whole: true };
      broken = true;
      return { whole: true, dropAfter: 3_000_000 };
    };
    const { model } = await machine.pull(name);
    assert.ok(broken);
    assertPulled(model.path);
  });

  test('a file that changes on the hub while it is downloaded is pulled anew', async () => {
    await using machine = await withModel();
    const next = miniGguf('llama', 5 * 2 ** 20, 5);
    const notes: string[] = [];
    let changed = false;
    machine.hub.fault = (seen) => {
      if (seen.method === 'HEAD' && !changed) {
        changed = true;
        // The commit stays, as on a server that does not keep its word.
        const { commit } = machine.hub.repositories.get('acme/widget-GGUF') ?? { commit: '' };
        machine.hub.commit('acme/widget-GGUF', { 'widget-Q4_K_M.gguf': next }).commit = commit;
      }
      return undefined;
    };
    const { model } = await machine.pull(name, { onNote: (text) => notes.push(text) });
    assertPulled(model.path, next);
    assert.match(notes.join(), /changed while it was downloaded/);
  });

  test('the token goes to the hub and not to the storage, nor anywhere else', async () => {
    await using machine = await withModel();
    const repository = machine.hub.repositories.get('acme/widget-GGUF');
    assert.ok(repository !== undefined);
    repository.token = 'hf_secret';
    const environment = machine.environment({ HF_TOKEN: 'hf_secret' });
    await machine.pull(name, { environment });
    const { seen } = machine.hub;
    assert.ok(
      seen
        .filter(({ host }) => host === 'hub')
        .every(({ authorization }) => authorization === 'Bearer hf_secret'),
    );
    assert.ok(seen.some(isStorage));
    assert.ok(seen.filter(isStorage).every(({ authorization }) => authorization === undefined));
    seen.length = 0;
    machine.hub.fault = ({ host, path }) =>
      host === 'hub'
        ? { status: 307, headers: { location: `${machine.hub.storageUrl}${path}` } }
        : undefined;
    await assert.rejects(machine.pull(name, { environment }));
    assert.ok(seen.filter(isStorage).length > 0);
    assert.ok(seen.filter(isStorage).every(({ authorization }) => authorization === undefined));
  });

  test('redirects in circles, and to what is not http, end', async () => {
    await using machine = await withModel();
    const expect = { code: 'network', message: /redirects/ };
    machine.hub.fault = ({ path }) => ({ status: 302, headers: { location: path } });
    await assert.rejects(machine.pull(name), expect);
    assert.ok(machine.hub.seen.length < 20);
    for (const location of ['file:///etc/passwd', 'http://', 'ftp://example.com/x']) {
      machine.hub.fault = () => ({ status: 302, headers: { location } });
      await assert.rejects(machine.pull(name), expect, location);
    }
  });

  test('refusals say what to do', async () => {
    await using machine = await withModel();
    const repository = machine.hub.repositories.get('acme/widget-GGUF');
    assert.ok(repository !== undefined);
    const withToken = { environment: machine.environment({ HF_TOKEN: 'hf_other' }) };
    const missing = { code: 'model-not-found', message: /no repository acme\/nothing/ };
    await assert.rejects(machine.pull('hf:acme/nothing'), { ...missing, hint: /HF_TOKEN/ });
    await assert.rejects(machine.pull('hf:acme/nothing', withToken), {
      ...missing,
      hint: /no access/,
    });
    await assert.rejects(machine.pull('hf:acme/widget-GGUF@v9'), {
      code: 'model-not-found',
      message: /revision/,
    });
    Object.assign(repository, { token: 'hf_right', gated: true });
    const gated = { code: 'unauthorized', message: /gated/ };
    await assert.rejects(machine.pull(name), { ...gated, hint: /Accept the terms.*HF_TOKEN/ });
    await assert.rejects(machine.pull(name, withToken), { ...gated, hint: /Ask for access/ });
    machine.hub.fault = () => ({
      status: 401,
      headers: { 'x-error-message': 'Invalid credentials in Authorization header' },
    });
    await assert.rejects(machine.pull(name, withToken), {
      code: 'unauthorized',
      hint: /Check the token/,
    });
  });

  for (const [what, distort] of [
    ['no JSON', () => 'hello'],
    ['no object', () => 'null'],
    ['no commit', (l: object) => ({ ...l, sha: '../../evil' })],
    ['a negative size', (l: object) => withFile(l, { lfs: { sha256: 'a'.repeat(64), size: -5 } })],
    [
      'a size beyond measure',
      (l: object) => withFile(l, { lfs: { sha256: 'a'.repeat(64), size: 1e18 } }),
    ],
    [
      'a hash that is a path',
      (l: object) => withFile(l, { lfs: { sha256: '../../../x', size: 5 } }),
    ],
    ['a name that climbs out', (l: object) => withFile(l, { rfilename: '../../evil-Q4_K_M.gguf' })],
    ['an absolute name', (l: object) => withFile(l, { rfilename: '/tmp/evil-Q4_K_M.gguf' })],
    ['a name with a backslash', (l: object) => withFile(l, { rfilename: '..\\evil-Q4_K_M.gguf' })],
    ['names that are numbers', (l: object) => withFile(l, { rfilename: 5 })],
    ['40 MB of JSON', () => `{"x": "${'x'.repeat(40e6)}"}`],
  ] as const) {
    test(`a list of files with ${what} is refused`, async () => {
      await using machine = await withModel();
      machine.hub.distort = distort;
      await assert.rejects(machine.pull(name), { code: 'network' });
      assert.deepEqual(readdirSync(machine.folder), []);
    });
  }

  function withFile(listing: object, change: Record<string, unknown>): unknown {
    const { siblings } = listing as { siblings: Record<string, unknown>[] };
    return { ...listing, siblings: siblings.map((file) => ({ ...file, ...change })) };
  }

  test('a disk without room is said before anything is downloaded', async () => {
    await using machine = await withModel();
    const lfs = { sha256: 'a'.repeat(64), size: 2 ** 49 };
    machine.hub.distort = (listing) => withFile(listing, { lfs });
    await assert.rejects(machine.pull(name), {
      code: 'io',
      message: /512.*TiB|524288\.00 GiB/,
      hint: /paceline rm/,
    });
    assert.ok(machine.hub.seen.every(({ method, host }) => method === 'GET' && host === 'hub'));
  });

  test('a file that is no GGUF is a broken file', async () => {
    await using machine = await withModel(Buffer.from('<html>'));
    await assert.rejects(machine.pull(name), { code: 'broken-file' });
  });

  test('an abort keeps what came, and the next pull goes on', async () => {
    await using machine = await withModel();
    const abort = new AbortController();
    machine.hub.fault = (seen) =>
      isStorage(seen) ? { slow: { bytes: 200_000, pauseMs: 5 } } : undefined;
    const onProgress = ({ done }: { done: number }): void => {
      if (done > 5 * 2 ** 20) abort.abort();
    };
    const pulled = machine.pull(name, { signal: abort.signal, onProgress, connections: 2 });
    await assert.rejects(pulled, { code: 'aborted' });
    machine.hub.fault = () => undefined;
    machine.hub.seen.length = 0;
    assertPulled((await machine.pull(name)).model.path);
    // An abort notes every byte that was written.
    assert.ok(machine.hub.rangedBytes < large.length - 5 * 2 ** 20, `${machine.hub.rangedBytes}`);
  });

  test('a journal that lies costs a second download and no wrong file', async () => {
    await using machine = await withModel();
    machine.hub.fault = (seen) =>
      isStorage(seen) && seen.range?.[0] !== 0 ? { status: 404 } : undefined;
    await assert.rejects(machine.pull(name, { http: { pauseMs: 1, tries: 2 } }));
    machine.hub.fault = () => undefined;
    const blobs = join(machine.repository, 'blobs');
    const data = readdirSync(blobs).find((entry) => entry.endsWith('.incomplete')) ?? '';
    const [header] = readFileSync(join(blobs, `${data}.journal`), 'utf8').split('\n');
    writeFileSync(join(blobs, data), Buffer.alloc(large.length));
    writeFileSync(join(blobs, `${data}.journal`), `${header}\n0 ${large.length}\n`);
    assertPulled((await machine.pull(name)).model.path);
    for (const junk of [
      '',
      '{',
      'null\n0 5\n',
      `${header}\n5 1\n-1 4\n0 99999999999999999999\nx`,
    ]) {
      await machine.hub.commit('acme/widget-GGUF', {
        'widget-Q4_K_M.gguf': miniGguf('llama', 50, junk.length + 2),
      });
      const etag = machine.hub.repositories
        .get('acme/widget-GGUF')
        ?.files.get('widget-Q4_K_M.gguf')?.etag;
      writeFileSync(join(blobs, `${etag}.paceline.incomplete`), 'rubbish');
      writeFileSync(join(blobs, `${etag}.paceline.incomplete.journal`), junk);
      assertPulled((await machine.pull(name)).model.path, miniGguf('llama', 50, junk.length + 2));
    }
  });

  test('split models come whole; drafters are offered, checked and remembered', async () => {
    await using machine = await Workspace.open();
    machine.hub.commit('acme/widget-GGUF', {
      ...widgetFiles,
      'widget-DFlash-Q8_0.gguf': miniGguf('dflash', 20),
    });
    const split = await machine.pull('hf:acme/widget-GGUF:Q8_0', { alias: 'big' });
    assert.equal(split.model.files.length, 2);
    assert.ok(split.model.files.every(({ path }) => statSync(path).isFile()));
    const { drafters } = await machine.pull(name, { accept: allDrafters });
    // The file called MTP has no such block, whatever its name says.
    assert.deepEqual(
      drafters.map(({ name: drafter, remembered }) => [drafter, remembered]),
      [
        ['hf:acme/widget-GGUF:mtp-widget-Q8_0.gguf', false],
        ['hf:acme/widget-GGUF:widget-DFlash-Q8_0.gguf', true],
      ],
    );
    assert.deepEqual(await readSettings(machine.settingsPath), {
      aliases: { big: 'hf:acme/widget-GGUF:Q8_0' },
      drafters: {
        'hf:acme/widget-GGUF:widget-Q4_K_M.gguf': ['hf:acme/widget-GGUF:widget-DFlash-Q8_0.gguf'],
      },
    });
  });

  test('a drafter may come from another repository', async () => {
    await using machine = await withModel();
    machine.hub.commit('lab/widget-DFlash-GGUF', { 'widget-DFlash-Q8_0.gguf': miniGguf('dflash') });
    await machine.pull(name, { drafters: ['hf:lab/widget-DFlash-GGUF'] });
    const { drafters } = await readSettings(machine.settingsPath);
    assert.deepEqual(Object.values(drafters), [
      ['hf:lab/widget-DFlash-GGUF:widget-DFlash-Q8_0.gguf'],
    ]);
  });

  test('an alias is pulled like its model', async () => {
    await using machine = await withModel();
    await machine.pull(name, { alias: 'widget' });
    const next = miniGguf('llama', 10, 8);
    machine.hub.commit('acme/widget-GGUF', { 'widget-Q4_K_M.gguf': next });
    const { model, alias } = await machine.pull('widget');
    assert.equal(alias, 'widget');
    assertPulled(model.path, next);
    await assert.rejects(machine.pull(name, { alias: '../x' }), { code: 'usage' });
    await assert.rejects(machine.pull('unknown'), { code: 'usage', message: /nothing to pull/ });
    const bare = await machine.pull('acme/widget-GGUF').catch((error: PacelineError) => error.hint);
    assert.match(String(bare), /Did you mean hf:acme\/widget-GGUF\?/);
  });

  test('offline, what is here counts as pulled, and nothing is asked', async () => {
    await using machine = await withModel();
    const environment = machine.environment({ HF_HUB_OFFLINE: '1' });
    await assert.rejects(machine.pull(name, { environment }), {
      code: 'network',
      hint: /HF_HUB_OFFLINE/,
    });
    await machine.pull(name);
    machine.hub.seen.length = 0;
    const { model } = await machine.pull('hf:acme/widget-GGUF', { environment });
    assertPulled(model.path);
    assert.deepEqual(machine.hub.seen, []);
  });

  test('a GGUF file at a plain address, without a hash, is checked as far as it can be', async () => {
    await using machine = await withModel();
    process.env.XDG_DATA_HOME = machine.variables.XDG_DATA_HOME;
    const etag = machine.hub.repositories
      .get('acme/widget-GGUF')
      ?.files.get('widget-Q4_K_M.gguf')?.etag;
    const address = `${machine.hub.storageUrl}/blob/${etag}/m.gguf`;
    machine.hub.fault = (seen) =>
      seen.method === 'GET' && seen.range?.[0] !== 0 ? { status: 503 } : undefined;
    await assert.rejects(machine.pull(address, { http: { pauseMs: 1, tries: 2 } }), {
      code: 'network',
    });
    machine.hub.fault = () => undefined;
    const environment = machine.environment({ HF_TOKEN: 'hf_secret' });
    const { model } = await machine.pull(address, { alias: 'plain', environment });
    assertPulled(model.path);
    assert.ok(model.downloadedBytes < large.length);
    assert.ok(machine.hub.seen.every(({ authorization }) => authorization === undefined));
    assert.equal((await machine.pull('plain')).model.downloadedBytes, 0);
    const missing = `${machine.hub.storageUrl}/blob/00/m.gguf`;
    await assert.rejects(machine.pull(missing), { code: 'model-not-found' });
  });
});
