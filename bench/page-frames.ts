/**
 * How smoothly the page draws 200 tokens a second with drafts in colour: frames and the longest of
 * them, in a real Chromium, while a stream of that speed comes for so many seconds.
 * Usage: tsx bench/page-frames.ts [seconds]; prints JSON. Needs Chromium, and a build.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readPageFiles } from '../src/server/http/page-files.js';
import { inPage, launch } from '../test/page/browser.js';

const tokensPerSecond = 200;
const seconds = Number(process.argv[2] ?? 20);
const files = await readPageFiles();

const words = [
  ' a',
  ' word',
  ' of',
  ' the',
  ' **bold**',
  ' `code`',
  ' text',
  '.\n\n',
  ' and',
  ' more',
];
const lines = ['const', ' value', ' =', ' await', ' read', '(', "'file'", ')', ';', '\n'];

/** A token of prose, then of code, in turn. */
function tokenAt(index: number): string {
  const section = Math.floor(index / 300);
  const inside = index % 300;
  if (section % 2 === 0) return words[inside % words.length] ?? '';
  if (inside === 0) return '\n\n```ts\n';
  return inside === 299 ? '\n```\n\n' : (lines[inside % lines.length] ?? '');
}

const model = {
  id: 'bench',
  name: 'bench',
  state: 'ready',
  has_chat_template: true,
  is_base_model: false,
  slots: [],
  drafters: ['mtp'],
  sampling: {},
  memory: null,
};
const status = {
  version: '0',
  engine: 'ready',
  restarts: 0,
  waiting: 0,
  memory: { total: 1, available: 1, engine: 1 },
  models: [model],
};

const server = createServer((request, response) => {
  const path = request.url?.split('?')[0] ?? '/';
  if (path === '/v1/chat/completions') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const began = performance.now();
    let sent = 0;
    const timer = setInterval(() => {
      const due = Math.min(
        seconds * tokensPerSecond,
        ((performance.now() - began) / 1000) * tokensPerSecond,
      );
      for (; sent < due; sent++) {
        const content = tokenAt(sent);
        const token = { length: content.length, ...(sent % 3 === 0 ? {} : { drafter: 'mtp' }) };
        const chunk = { choices: [{ delta: { content } }], details: { tokens: [token] } };
        response.write(`data: ${JSON.stringify(chunk)}\n\n`);
      }
      if (sent < seconds * tokensPerSecond) return;
      clearInterval(timer);
      response.end('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n');
    }, 5);
    return;
  }
  if (path.startsWith('/paceline/')) {
    const activity = { now: 0, passes: [], pass_ms: { 1: 10 }, prompt_row_ms: 1 };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(path.endsWith('/status') ? status : activity));
    return;
  }
  const file = files.get(path === '/' ? 'index.html' : path.replace('/page/', ''));
  response.writeHead(file === undefined ? 404 : 200, {
    'content-type': file?.type ?? 'text/plain',
  });
  response.end(file?.plain);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;

const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.locator('#composer').fill('go');
  await page.locator('#composer').press('Enter');
  await page.locator('.turn.assistant .markdown').waitFor();
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const busy = async (): Promise<Readonly<Record<string, number>>> => {
    const { metrics } = await session.send('Performance.getMetrics');
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value * 1000]));
  };
  const before = await busy();
  await page.evaluate(
    inPage(`(() => {
      globalThis.frames = [];
      let last = performance.now();
      const tick = (now) => { frames.push(now - last); last = now; requestAnimationFrame(tick); };
      requestAnimationFrame(tick);
    })()`),
  );
  await page.waitForTimeout(Math.max(1, seconds - 2) * 1000);
  const frames = (await page.evaluate(inPage<number[]>('globalThis.frames'))).slice(2);
  frames.sort((a, b) => a - b);
  const at = (share: number): number =>
    Number((frames[Math.floor(share * (frames.length - 1))] ?? 0).toFixed(1));
  const now = await busy();
  /** Processor time of the page's thread, per frame. */
  const perFrame = (name: string): number =>
    Number((((now[name] ?? 0) - (before[name] ?? 0)) / frames.length).toFixed(2));
  const result = {
    tokensPerSecond,
    seconds,
    frames: frames.length,
    medianMs: at(0.5),
    p99Ms: at(0.99),
    longestMs: at(1),
    taskMsPerFrame: perFrame('TaskDuration'),
    scriptMsPerFrame: perFrame('ScriptDuration'),
    layoutMsPerFrame: perFrame('LayoutDuration'),
    styleMsPerFrame: perFrame('RecalcStyleDuration'),
    over50Ms: frames.filter((ms) => ms > 50).length,
  };
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
}
