/**
 * How long a newcomer waits: from `paceline serve default` to the first streamed token on the page, in a
 * real Chromium that is open already, as somebody's browser is. Each run starts a server of its own; the
 * text is written as soon as the page takes one.
 * Usage: tsx bench/first-token-page.ts [runs]; prints JSON. Needs Chromium, and a build.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Browser } from 'playwright-core';
import { inPage, launch } from '../test/page/browser.js';
import { cliProgram } from '../test/support/cli.js';

const runs = Number(process.argv[2] ?? 5);
const prompt = 'const colors = ["red", "green",';

interface Run {
  /** Until the server has said that it is ready. */
  readonly readyMs: number;
  /** Until the page took a text. */
  readonly pageMs: number;
  /** Until the page had more text than was written. */
  readonly firstTokenMs: number;
}

async function run(browser: Browser): Promise<Run> {
  const began = performance.now();
  const since = (): number => Math.round(performance.now() - began);
  const child = spawn(process.execPath, [cliProgram, 'serve', 'default', '--port', '0', '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  // A fresh profile: nothing of the page is in the browser's cache.
  const context = await browser.newContext();
  try {
    const { value: line } = await createInterface({ input: child.stdout })
      [Symbol.asyncIterator]()
      .next();
    const { address } = JSON.parse(String(line)) as { readonly address: string };
    const readyMs = since();
    const page = await context.newPage();
    await page.goto(address);
    await page.locator('#composer').fill(prompt);
    const pageMs = since();
    await page.locator('#composer').press('Control+Enter');
    await page.waitForFunction(
      inPage(
        `(document.querySelector('#composer')?.value.length ?? 0) > ${prompt.length} ||
         (document.querySelector('.turn.assistant .markdown')?.textContent ?? '') !== ''`,
      ),
      undefined,
      { polling: 'raf' },
    );
    return { readyMs, pageMs, firstTokenMs: since() };
  } finally {
    await context.close();
    child.kill('SIGTERM');
    await ended;
  }
}

const browser = await launch();
try {
  const measured: Run[] = [];
  for (let index = 0; index < runs; index++) measured.push(await run(browser));
  const median = (of: keyof Run): number =>
    measured.map((one) => one[of]).sort((a, b) => a - b)[Math.floor(runs / 2)] ?? 0;
  const medians = {
    readyMs: median('readyMs'),
    pageMs: median('pageMs'),
    firstTokenMs: median('firstTokenMs'),
  };
  process.stdout.write(`${JSON.stringify({ runs: measured, medians }, undefined, 2)}\n`);
} finally {
  await browser.close();
}
