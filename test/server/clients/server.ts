/** The one server that all clients talk to; it ends with the tests of the file that imports them. */
import { after } from 'node:test';
import { startServer, type TestServer, thinkingModel } from '../support.js';

let started: Promise<TestServer> | undefined;

export function clientServer(): Promise<TestServer> {
  // No pings: what a stream holds does not depend on how busy the machine is.
  started ??= thinkingModel().then((thinking) =>
    startServer({ models: ['default', thinking], keepAliveMs: 60_000 }),
  );
  return started;
}

after(async () => (await started)?.close());
