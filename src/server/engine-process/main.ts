/**
 * The program of the engine's process: takes messages from its supervisor and answers them until it
 * is told to stop or the supervisor is gone. Signals of the terminal are the supervisor's business.
 */
import type { TextEvent } from '../../chat/events.js';
import type { ProofEvent } from '../../engine/verify/prove.js';
import type { EngineHost } from './host.js';
import type { FromEngine, Report, ToEngine } from './messages.js';

let host: EngineHost | undefined;
let outbox: Report[] = [];
const running = new Map<number, AbortController>();

function send(message: FromEngine): void {
  if (process.connected) process.send?.(message);
}

/** Reports of one turn of the event loop go together. */
function report(entry: Report): void {
  if (outbox.length === 0) setImmediate(flush);
  outbox.push(entry);
}

function flush(): void {
  const reports = outbox;
  outbox = [];
  if (reports.length > 0) send({ type: 'reports', reports });
}

function sendStatus(): void {
  if (host !== undefined) send({ type: 'status', status: host.status });
}

async function start(message: Extract<ToEngine, { type: 'start' }>): Promise<void> {
  const { failureData } = await import('../internal/failure.js');
  try {
    const { EngineHost: Host } = await import('./host.js');
    host = new Host({ ...message.config, onChange: () => setImmediate(sendStatus) });
    await host.start();
    sendStatus();
    send({ type: 'ready' });
  } catch (error) {
    send({ type: 'failed', failure: failureData(error) });
  }
}

/** Fires when the supervisor cancels the request. */
function abortable(id: number): AbortSignal {
  const controller = new AbortController();
  running.set(id, controller);
  return controller.signal;
}

async function answer(id: number, work: (host: EngineHost) => Promise<unknown>): Promise<void> {
  const { failureData } = await import('../internal/failure.js');
  try {
    if (host === undefined) throw new Error('The engine has not been started');
    report({ id, done: true, value: await work(host) });
  } catch (error) {
    report({ id, failure: failureData(error) });
  } finally {
    running.delete(id);
  }
}

async function stop(): Promise<void> {
  for (const controller of running.values()) controller.abort();
  await host?.close();
  flush();
  process.exit(0);
}

function receive(message: ToEngine): void {
  switch (message.type) {
    case 'start':
      void start(message);
      break;
    case 'run': {
      const emit = (event: TextEvent): void => report({ id: message.id, event });
      const signal = abortable(message.id);
      void answer(message.id, (engine) => engine.run(message.request, { signal, emit }));
      break;
    }
    case 'prove': {
      const onEvent = (event: ProofEvent): void => report({ id: message.id, event });
      const signal = abortable(message.id);
      void answer(message.id, (engine) => engine.prove(message.request, { signal, onEvent }));
      break;
    }
    case 'activity':
      void answer(message.id, async (engine) => engine.activity(message.model, message.since));
      break;
    case 'embed': {
      const signal = abortable(message.id);
      void answer(message.id, (engine) => engine.embed(message.request, signal));
      break;
    }
    case 'rank': {
      const signal = abortable(message.id);
      void answer(message.id, (engine) => engine.rank(message.request, signal));
      break;
    }
    case 'count':
      void answer(message.id, (engine) => engine.count(message.request));
      break;
    case 'status':
      void answer(message.id, async (engine) => engine.status);
      break;
    case 'add':
      host?.add(message.spec);
      break;
    case 'load':
      void answer(message.id, (engine) => engine.load(message.model));
      break;
    case 'unload':
      void answer(message.id, (engine) => engine.unload(message.model));
      break;
    case 'cancel':
      running.get(message.id)?.abort();
      break;
    case 'stop':
      void stop();
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit(0));
process.on('message', receive);
