/** What people do with the page, in a real browser against a real server with the embedded model. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { disk, startServer, type TestServer, thinkingModel } from '../server/support.js';
import {
  answers,
  ask,
  assertAccessible,
  beginLongAnswer,
  chromiumPath,
  inPage,
  keptText,
  lastAnswer,
  launch,
  newChat,
  openPage,
  setSettings,
} from './browser.js';

const prompt = 'const colors = ["red", "green", "blue", "red", "green",';

if (chromiumPath === undefined) {
  process.stderr.write('page: no Chromium is installed, so its flows are left out\n');
} else {
  describe('the page', flows);
}

function flows(): void {
  let server: TestServer;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: string[];

  before(async () => {
    server = await startServer({ keepAliveMs: 500 });
    browser = await launch();
    context = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      acceptDownloads: true,
    });
    ({ page, faults } = await openPage(context, server.url));
    await page.locator('option', { hasText: 'default' }).waitFor({ state: 'attached' });
  });
  after(async () => {
    await browser?.close();
    await server?.close(0);
  });
  const faultless = (): void => assert.deepEqual(faults, []);

  test('type, and an answer streams with its drafts in colour', async () => {
    await newChat(page, { Drafts: 'mtp' });
    await ask(page, prompt);
    assert.ok((await lastAnswer(page)).length > 20);
    assert.ok((await page.locator('.turn.assistant .run-mtp').count()) > 0);
    assert.match((await page.locator('button.numbers').last().textContent()) ?? '', /40 tokens/);
    await page.keyboard.press('Alt+c');
    await page.waitForFunction(inPage(`document.querySelector('.turn .run-mtp') === null`));
    await page.keyboard.press('Alt+c');
    assert.match((await page.locator('.conversations').textContent()) ?? '', /const colors/);
    faultless();
  });

  test('stop: Esc ends the answer, and the server’s slot is free', async () => {
    await newChat(page, { 'Most tokens': '1900' });
    const unthrottle = await beginLongAnswer(page, '# Getting started');
    await page.keyboard.press('Escape');
    await page.getByText('Stopped here.').waitFor();
    await answers(page, 1);
    await unthrottle();
    const { engine } = server;
    for (let i = 0; i < 100 && engine.slotsTaken > 0; i++) await page.waitForTimeout(20);
    assert.equal(engine.slotsTaken, 0);
    faultless();
  });

  test('edit, answer again and branch: every version stays', async () => {
    await newChat(page);
    await ask(page, 'one');
    const first = await lastAnswer(page);
    await page.locator('.turn.user').getByRole('button', { name: 'Edit' }).click();
    await page.locator('.edit textarea').fill('import { two } from');
    await page.locator('.edit textarea').press('Enter');
    await page.getByText('2/2').waitFor();
    await answers(page, 1);
    assert.notEqual(await lastAnswer(page), first);
    await page.getByRole('button', { name: 'Version before' }).click();
    assert.equal(await lastAnswer(page), first);
    await page.getByRole('button', { name: 'Answer again' }).click();
    await page.locator('.turn.assistant').getByText('2/2').waitFor();
    await answers(page, 1);
    assert.equal(await lastAnswer(page), first, 'greedy text is the same again');
    await ask(page, 'three');
    await page.getByRole('button', { name: 'Go on from here' }).first().click();
    await page.waitForFunction(inPage(`document.querySelectorAll('.turn').length === 2`));
    await ask(page, 'four');
    await page.locator('.turn.user').last().getByText('2/2').waitFor();
    faultless();
  });

  test('reload: what was said is there, and a page that was left in mid-answer says so', async () => {
    const text = await lastAnswer(page);
    await page.reload();
    await page.locator('.turn').first().waitFor();
    assert.equal(await lastAnswer(page), text);
    await newChat(page, { 'Most tokens': '1900' });
    const unthrottle = await beginLongAnswer(page, 'interface');
    // The page writes down what it has every now and then: that much must be there afterwards.
    const kept = await keptText(page);
    await page.reload();
    await page.getByText('Stopped here.').waitFor();
    await unthrottle();
    assert.ok((await keptText(page)).startsWith(kept));
    faultless();
  });

  test('a text is continued, taken back and edited; its marks follow', async () => {
    await page.getByRole('button', { name: /New conversation/ }).click();
    await page.getByText('Continue a text', { exact: true }).click();
    await setSettings(page, { 'Most tokens': '30', Drafts: 'mtp', Temperature: '0' });
    const field = page.locator('#composer');
    await field.fill(prompt);
    await field.press('Control+Enter');
    const back = page.getByRole('button', { name: 'Take back' });
    await page.waitForFunction(
      inPage(`document.querySelector('textarea').value.length > ${prompt.length}`),
    );
    await back.and(page.locator(':enabled')).waitFor();
    const whole = await field.inputValue();
    assert.ok(whole.startsWith(prompt) && whole.length > prompt.length + 20);
    const marked = page.locator('.editor-marks');
    assert.equal((await marked.textContent())?.trimEnd(), whole.trimEnd());
    await back.click();
    assert.equal(await field.inputValue(), prompt);
    await field.press('Control+Enter');
    await back.and(page.locator(':enabled')).waitFor();
    assert.equal(await field.inputValue(), whole, 'greedy text is the same again');
    await field.fill(`X${whole}`);
    assert.equal((await marked.textContent())?.trimEnd(), `X${whole}`.trimEnd());
    assert.ok((await page.locator('.editor-marks .run-mtp').count()) > 0);
    await assertAccessible(page, 'editor');
    faultless();
  });

  test('the engine is killed and comes back: a clear message, and another try', async () => {
    await newChat(page, { 'Most tokens': '1900', Drafts: 'none' });
    const unthrottle = await beginLongAnswer(page, '# Usage');
    process.kill(server.engine.processId ?? 0, 'SIGKILL');
    await unthrottle();
    await page
      .locator('.failure')
      .getByText(/engine stopped/)
      .waitFor();
    await setSettings(page, { 'Most tokens': '12' });
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.locator('.turn.assistant').getByText('2/2').waitFor();
    await answers(page, 1);
    await page.locator('.banner').waitFor({ state: 'hidden' });
    faultless();
  });

  test('two windows: each sees what the other writes and deletes', async () => {
    const second = await openPage(context, page.url());
    await newChat(page);
    await ask(page, 'shared');
    await second.page.goto(page.url());
    await second.page.locator('.turn').first().waitFor();
    await ask(page, 'and more');
    await answers(second.page, 2);
    assert.equal(await lastAnswer(second.page), await lastAnswer(page));
    assert.equal(
      await second.page.locator('.conversations li').count(),
      await page.locator('.conversations li').count(),
    );
    page.once('dialog', (dialog) => void dialog.accept());
    await page.getByRole('button', { name: 'Delete shared' }).click();
    const gone = (one: Page): Promise<unknown> =>
      one.waitForFunction(
        inPage(`!/shared/.test(document.querySelector('.conversations').textContent)`),
      );
    await gone(page);
    await gone(second.page);
    assert.deepEqual(second.faults, []);
    await second.page.close();
    faultless();
  });

  test('files are sent as text, tools are shown, and conversations leave and come back', async () => {
    await newChat(page);
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByRole('button', { name: 'Attach text files' }).click(),
    ]);
    await chooser.setFiles({
      name: 'a.ts',
      mimeType: 'text/plain',
      buffer: Buffer.from('const a = 1;'),
    });
    await page.locator('.chip').waitFor();
    await ask(page, 'What is this?');
    assert.match((await page.locator('.turn.user').textContent()) ?? '', /a\.ts/);
    await setSettings(page, { Tools: '[{"name": "weather", "parameters": {"type": "object"}}]' });
    await ask(page, 'Which weather?');
    await setSettings(page, { Tools: '{' });
    await page.locator('#composer').fill('again');
    await page.locator('#composer').press('Enter');
    await page.getByText(/The tools are no JSON/).waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Export all conversations' }).click(),
    ]);
    const path = await download.path();
    assert.match(readFileSync(path, 'utf8'), /const a = 1;/);
    const [importer] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByRole('button', { name: 'Import conversations' }).click(),
    ]);
    await importer.setFiles(path);
    await page.getByText(/Imported \d+ conversations/).waitFor();
    faultless();
  });

  test('the proof finds both texts identical, and the one above', async () => {
    await newChat(page, { Drafts: 'mtp' });
    await ask(page, prompt);
    await page.getByRole('button', { name: 'Prove this answer' }).click();
    const verdict = page.locator('.verdict[data-good]');
    await verdict.waitFor();
    assert.match(
      (await verdict.textContent()) ?? '',
      /Identical: 4\d tokens, 4\d rows.*also the text above/s,
    );
    const [plain, drafted] = await page.locator('.way pre').allTextContents();
    assert.equal(plain, drafted);
    await assertAccessible(page, 'proof');
    await page.keyboard.press('Escape');
    await page.locator('.proof').waitFor({ state: 'detached' });
    faultless();
  });

  test('every view of the panel, in both themes, without a fault for axe', async () => {
    for (const theme of ['Dark', 'Light']) {
      await page.locator(`.segments label[title="${theme}"]`).click();
      await assertAccessible(page, `${theme}, closed`);
      await page.getByRole('button', { name: 'Settings' }).click();
      await assertAccessible(page, `${theme}, settings`);
      await page.getByRole('button', { name: 'What happens inside' }).click();
      for (const tab of ['Drafts', 'Cache', 'Memory', 'Schedule', 'Models']) {
        await page.getByRole('tab', { name: tab }).click();
        await page.locator('.panel .block').first().waitFor();
        if (tab === 'Schedule') await page.locator('.waterfall').waitFor();
        await assertAccessible(page, `${theme}, ${tab}`);
      }
      await page.getByRole('button', { name: 'Close the panel' }).click();
    }
    faultless();
  });

  test('a model is unloaded and loaded from the page', async () => {
    await page.keyboard.press('Alt+p');
    await page.getByRole('tab', { name: 'Models' }).click();
    await page.getByRole('button', { name: 'Unload', exact: true }).click();
    await page.getByText('not loaded', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Load', exact: true }).click();
    await page.getByText('in memory', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Close the panel' }).click();
    faultless();
  });

  test('a model of the disk is loaded from the page, and answers', async () => {
    const other = await startServer({ library: disk({ small: await thinkingModel() }) });
    const { page: asked, faults: found } = await openPage(context, other.url);
    try {
      await asked.keyboard.press('Alt+p');
      await asked.getByRole('tab', { name: 'Models' }).click();
      await asked.getByRole('button', { name: 'Load small' }).click();
      const small = asked.getByRole('article', { name: 'small' });
      await small.getByText('in memory', { exact: true }).waitFor();
      await asked.getByText('of this server, as small').waitFor();
      await assertAccessible(asked, 'models of the disk');
      await asked.getByRole('button', { name: 'Close the panel' }).click();
      await asked.locator('select').first().selectOption('small');
      await newChat(asked, { 'Most tokens': '8' });
      await ask(asked, 'Hello');
      assert.deepEqual(found, []);
    } finally {
      await asked.close();
      await other.close(0);
    }
  });

  test('by keyboard alone', async () => {
    await page.keyboard.press('Alt+n');
    await page.waitForFunction(inPage(`document.activeElement.id === 'composer'`));
    await page.keyboard.press('Alt+p');
    await page.getByRole('tab', { selected: true }).focus();
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(inPage(`document.activeElement.getAttribute('role') === 'tab'`));
    await page.keyboard.press('Alt+p');
    faultless();
  });

  test('a slow network: the answer comes, and the page says what it waits for', async () => {
    const { page: slow, faults: found } = await openPage(context, server.url);
    const session = await context.newCDPSession(slow);
    await session.send('Network.emulateNetworkConditions', {
      offline: false,
      latency: 400,
      downloadThroughput: 12_000,
      uploadThroughput: 12_000,
    });
    await newChat(slow, { 'Most tokens': '20' });
    await slow.locator('#composer').fill('slow');
    await slow.locator('#composer').press('Enter');
    await slow.locator('.waiting').waitFor();
    await answers(slow, 1);
    assert.deepEqual(found, []);
    await slow.close();
  });

  test('phone width: nothing is wider than the screen, and everything can be reached', async () => {
    await page.setViewportSize({ width: 390, height: 760 });
    await page.getByRole('button', { name: 'Conversations', exact: true }).click();
    await page.locator('.sidebar[data-open="true"]').waitFor();
    await assertAccessible(page, 'phone, list');
    await page.locator('.conversations a').first().click();
    await page.locator('.sidebar[data-open="false"]').waitFor({ state: 'attached' });
    const wider = await page.evaluate(
      inPage<number>('document.documentElement.scrollWidth - innerWidth'),
    );
    assert.ok(wider <= 0, `${wider} pixels too wide`);
    const box = await page.locator('.composer-row').boundingBox();
    assert.ok(box !== null && box.y + box.height <= 760);
    await page.getByRole('button', { name: 'What happens inside' }).click();
    await assertAccessible(page, 'phone, panel');
    await page.getByRole('button', { name: 'Close the panel' }).click();
    await page.setViewportSize({ width: 1280, height: 800 });
    faultless();
  });

  test('hostile text stays text', async () => {
    await newChat(page);
    await ask(page, 'x');
    await page.locator('.turn.assistant').getByRole('button', { name: 'Edit' }).click();
    const hostile =
      '<img src=x onerror="document.title=1"> [a](javascript:alert(1)) ![i](http://example.org/i.png) <script>alert(1)</script>\n\n<b>bold</b>';
    await page.locator('.edit textarea').fill(hostile);
    await page.locator('.edit textarea').press('Control+Enter');
    await page.getByText('onerror').waitFor();
    const found = await page
      .locator('.turn .markdown')
      .last()
      .evaluate((element) => ({
        dangerous: element.querySelectorAll('img, script, b, [onerror], a[href^="javascript"]')
          .length,
        links: element.querySelectorAll('a[href^="http"]').length,
      }));
    assert.deepEqual(found, { dangerous: 0, links: 1 });
    faultless();
  });

  test('a server with a key asks for it, and keeps it in the window only', async () => {
    const locked = await startServer({ apiKeys: ['secret'] });
    const other = await browser.newContext();
    try {
      const { page: asked, faults: found } = await openPage(other, locked.url, { expected: /401/ });
      const field = asked.locator('dialog input');
      await field.fill('wrong');
      await field.press('Enter');
      await field.waitFor();
      await assertAccessible(asked, 'key');
      await field.fill('secret');
      await field.press('Enter');
      await asked.locator('option', { hasText: 'default' }).waitFor({ state: 'attached' });
      await asked.locator('dialog').waitFor({ state: 'detached' });
      assert.equal(
        await asked.evaluate(inPage(`JSON.stringify(localStorage).includes('secret')`)),
        false,
      );
      assert.deepEqual(found, []);
    } finally {
      await other.close();
      await locked.close(0);
    }
  });

  test('the server goes away and comes back: the page says so and goes on', async () => {
    const first = await startServer();
    const other = await browser.newContext();
    const { page: lonely } = await openPage(other, first.url, { expected: /ERR_/ });
    await lonely.locator('option', { hasText: 'default' }).waitFor({ state: 'attached' });
    await first.close(0);
    await lonely.getByText('The server does not answer').waitFor();
    const again = await startServer({ port: first.port ?? 0 });
    await lonely.locator('.banner').waitFor({ state: 'hidden' });
    await other.close();
    await again.close(0);
  });
}
