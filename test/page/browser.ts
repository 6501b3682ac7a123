/**
 * The page in a real Chromium. Whatever a flow does, the page must log no error, ask no other host,
 * and have no fault that axe finds: every window that is opened here is watched for these.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { openTokenizer } from '../../src/cli/model-file.js';
import { repository } from '../support/repository.js';

/** Where Debian and others put it; PACELINE_CHROMIUM names another. */
const places = [
  process.env.PACELINE_CHROMIUM ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

/** The browser's program; undefined where none is installed. */
export const chromiumPath = places.find((path) => path !== '' && existsSync(path));

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath ?? '',
    args: ['--no-sandbox', '--disable-background-networking'],
  });
}

const axe = readFileSync(join(repository, 'node_modules/axe-core/axe.min.js'), 'utf8');

export interface Watched {
  readonly page: Page;
  /** What the page did that it must not do; empty when all is well. */
  readonly faults: string[];
}

/** Opens a window of the page, and watches it. */
export async function openPage(
  context: BrowserContext,
  url: string,
  { expected = /$^/ }: { readonly expected?: RegExp } = {},
): Promise<Watched> {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const faults: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !expected.test(message.text())) faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== 'blob:' && origin !== new URL(url).origin) faults.push(request.url());
  });
  await page.goto(url);
  await page.locator('.main').waitFor();
  return { page, faults };
}

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
  }[];
}

/** Waits in the page until no colour is on its way to another. */
const settled = `while (document.getAnimations().some((one) => one instanceof CSSTransition))
  await new Promise(requestAnimationFrame)`;

/** Asserts that axe finds nothing on the page as it is now, when colours have stopped to change. */
export async function assertAccessible(page: Page, where: string): Promise<void> {
  // Evaluated through the debugger: the page's own policy stays as it is.
  const { violations } = (await page.evaluate(
    `(async () => { ${settled}; ${axe}; return axe.run(document, { resultTypes: ['violations'] }); })()`,
  )) as AxeResult;
  const found = violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary}`),
  );
  assert.deepEqual(found, [], where);
}

/** Begins a conversation of turns, with few tokens and always the same drafter. */
export async function newChat(
  page: Page,
  settings: Readonly<Record<string, string>> = {},
): Promise<void> {
  await page.getByRole('button', { name: /New conversation/ }).click();
  await page.getByText('Chat', { exact: true }).click();
  await setSettings(page, { 'Most tokens': '40', Temperature: '0', ...settings });
}

/** Fills fields of the settings, and closes them. */
export async function setSettings(
  page: Page,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  await page.getByRole('button', { name: 'Settings' }).click();
  for (const [name, value] of Object.entries(settings)) {
    const field = page.locator('.panel label', { hasText: name }).first();
    if (name === 'Drafts') await field.locator('select').selectOption(value);
    else await field.locator('input, textarea').fill(value);
  }
  await page.keyboard.press('Tab');
  await page.getByRole('button', { name: 'Close the panel' }).click();
}

/** Asks, and waits for the whole answer. */
export async function ask(page: Page, text: string): Promise<void> {
  const before = await page.getByRole('button', { name: 'Answer again' }).count();
  await page.locator('#composer').fill(text);
  await page.locator('#composer').press('Enter');
  await answers(page, before + 1);
}

/** Bytes a second at which a page gets its answers, so that one takes many seconds on any machine. */
const trickle = 25_000;

/**
 * Begins a long answer that cannot end before somebody ends it: the tokens that end a text are
 * forbidden, and the network brings few of the others at a time. Returns when its text has begun to
 * come; call what it returns to have the network back.
 */
export async function beginLongAnswer(page: Page, text: string): Promise<() => Promise<void>> {
  const { vocabulary } = await openTokenizer('default');
  const ends = [...vocabulary.endOfGeneration];
  const logit_bias = Object.fromEntries(ends.map((token) => [token, -100]));
  await page.route('**/v1/chat/completions', async (route) => {
    const body = route.request().postDataJSON() as object;
    await route.continue({ postData: JSON.stringify({ ...body, logit_bias }) });
  });
  const session = await page.context().newCDPSession(page);
  const network = (bytesPerSecond: number): Promise<unknown> =>
    session.send('Network.emulateNetworkConditions', {
      offline: false,
      latency: 0,
      downloadThroughput: bytesPerSecond,
      uploadThroughput: -1,
    });
  await network(trickle);
  await page.locator('#composer').fill(text);
  await page.locator('#composer').press('Enter');
  await page.locator('.turn.assistant .markdown').waitFor();
  await page.unroute('**/v1/chat/completions');
  return async () => {
    await network(-1);
    await session.detach();
  };
}

/** In the page: the text of the newest conversation's last turn as the browser's database has it; '' for none. */
const storedText = `new Promise((resolve, reject) => {
  const opening = indexedDB.open('paceline');
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const reading = opening.result.transaction('conversations').objectStore('conversations').getAll();
    reading.onerror = () => reject(reading.error);
    reading.onsuccess = () => {
      opening.result.close();
      const [newest] = reading.result.sort((a, b) => b.updatedAt - a.updatedAt);
      resolve(newest?.turns[newest.leaf]?.text ?? '');
    };
  };
})`;

/** The text that the page has written down of its last answer; waits until there is some. */
export async function keptText(page: Page): Promise<string> {
  return (await page.waitForFunction(inPage<Promise<string>>(storedText))).jsonValue();
}

/** Waits until so many answers of the shown path are complete. */
export async function answers(page: Page, count: number): Promise<void> {
  await page.waitForFunction(
    inPage(`document.querySelectorAll('[aria-label="Answer again"]').length === ${count}`),
  );
}

/** An expression for the page: sent as a function, since the page's policy forbids to evaluate text. */
export function inPage<T>(expression: string): () => T {
  return new Function(`return (${expression})`) as () => T;
}

/** The text of the last answer. */
export async function lastAnswer(page: Page): Promise<string> {
  return (await page.locator('.turn.assistant .markdown').last().textContent()) ?? '';
}
