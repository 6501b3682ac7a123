/**
 * The socket under the routes: TCP or UNIX, limits of time and number, and an orderly end: no new
 * connections, running requests finish, then the rest is cut.
 */
import { chmod, lstat, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { PacelineError } from '../../base/errors.js';

export interface ListenOptions {
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** A UNIX socket in place of host and port. */
  readonly socket?: string | undefined;
  readonly maxConnections: number;
}

export interface Listening {
  /** `http://host:port` or `unix:path`. */
  readonly address: string;
  readonly port: number | undefined;
  /** Stops listening and waits for running requests, but not longer than this. */
  close(patienceMs: number): Promise<void>;
}

/** Bytes of a request's line and headers. */
const mostHeaders = 32 * 1024;

/** @throws {PacelineError} `usage` when the address is taken or not one of this machine */
export async function listen(options: ListenOptions): Promise<Listening> {
  const server = createServer(
    { maxHeaderSize: mostHeaders, headersTimeout: 30_000, requestTimeout: 300_000 },
    getRequestListener(options.fetch, { overrideGlobalObjects: false }),
  );
  let running = 0;
  const answering = new WeakSet<Duplex>();
  server.on('request', ({ socket }, response) => {
    running += 1;
    answering.add(socket);
    response.on('close', () => {
      running -= 1;
      answering.delete(socket);
    });
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Nothing may come between the parts of an answer.
    if (socket.writable && error.code !== 'ECONNRESET' && !answering.has(socket)) {
      socket.end(refusalOf(error));
    } else socket.destroy();
  });
  server.keepAliveTimeout = 65_000;
  server.maxConnections = options.maxConnections;
  const { socket } = options;
  if (socket !== undefined) await removeStaleSocket(socket);
  await bind(server, options);
  if (socket !== undefined) await chmod(socket, 0o600);
  const bound = server.address();
  const port = typeof bound === 'object' ? bound?.port : undefined;
  const name = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    address: socket === undefined ? `http://${name}:${port}` : `unix:${socket}`,
    port,
    close: (patienceMs) => close(server, () => running, patienceMs),
  };
}

/** The answer to what is no request yet: no dialect can be told, so it has the shape that most clients read. */
function refusalOf({ code, message }: NodeJS.ErrnoException): string {
  const known: Readonly<Record<string, readonly [status: string, message: string]>> = {
    HPE_HEADER_OVERFLOW: [
      '431 Request Header Fields Too Large',
      `The headers have more than ${mostHeaders} bytes. Send fewer or shorter ones.`,
    ],
    ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not come in time.'],
  };
  const [status, text] = known[code ?? ''] ?? ['400 Bad Request', `This is no HTTP: ${message}.`];
  const details = { type: 'invalid_request_error', param: null, code: 'invalid_value' };
  const body = JSON.stringify({ error: { message: text, ...details } });
  const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}`;
  return `HTTP/1.1 ${status}\r\nConnection: close\r\n${headers}\r\n\r\n${body}`;
}

function bind(server: Server, { host, port, socket }: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const where = socket ?? `${host}:${port}`;
      const taken = cause.code === 'EADDRINUSE';
      reject(
        new PacelineError('usage', `Can't listen on ${where}: ${cause.message}`, {
          hint: taken
            ? 'Something listens there already: choose another --port.'
            : 'Choose another --host or --port.',
          cause,
        }),
      );
    });
    if (socket !== undefined) server.listen(socket, resolve);
    else server.listen(port, host, resolve);
  });
}

/** A socket that nobody listens on was left by a server that died. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  const alive =
    found.isSocket() &&
    (await new Promise<boolean>((resolve) => {
      const probe = connect(path, () => {
        probe.destroy();
        resolve(true);
      });
      probe.on('error', () => resolve(false));
    }));
  if (!found.isSocket() || alive) {
    throw new PacelineError('usage', `Can't listen on ${path}: it exists`, {
      hint: alive ? 'Another server listens there.' : 'It is no socket: choose another path.',
    });
  }
  await rm(path);
}

const sweepMs = 25;

/** Ends when the last running request has its answer; connections without a request don't count. */
function close(server: Server, running: () => number, patienceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const began = performance.now();
    const sweep = (): void => {
      const late = performance.now() - began >= patienceMs;
      if (running() === 0 || late) server.closeAllConnections();
      else server.closeIdleConnections();
    };
    const timer = setInterval(sweep, sweepMs);
    server.close(() => {
      clearInterval(timer);
      resolve();
    });
    sweep();
  });
}
