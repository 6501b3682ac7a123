/** A small server with OpenAI's chat route whose answers are known, and which can do everything wrong. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export type Behaviour =
  | { readonly type: 'answer'; readonly pauseMs?: number }
  /** The connection breaks after so many words. */
  | { readonly type: 'drop'; readonly words: number }
  /** Nothing comes after so many words. */
  | { readonly type: 'stall'; readonly words: number }
  /** Not even the head of an answer comes. */
  | { readonly type: 'mute' }
  /** What comes is no JSON. */
  | { readonly type: 'garble' }
  | {
      readonly type: 'status';
      readonly status: number;
      readonly retryAfter?: number;
      readonly body?: unknown;
    }
  /** These chunks as they are, and the end. */
  | { readonly type: 'chunks'; readonly chunks: readonly unknown[] };

export interface FakeOptions {
  readonly model?: string;
  /** What happens to each request, by its number from 0. */
  readonly behave?: (number: number) => Behaviour;
  /** What is answered to questions of these paths. */
  readonly told?: Readonly<Record<string, unknown>>;
}

export const fakeWords = ['one ', 'two ', 'three ', 'four ', 'five ', 'six ', 'seven ', 'eight '];

export class FakeUpstream {
  readonly requests: Record<string, unknown>[] = [];
  readonly headers: IncomingMessage['headers'][] = [];
  readonly #sockets = new Set<Socket>();
  readonly #behave: (number: number) => Behaviour;
  readonly #model: string;
  readonly #told: Readonly<Record<string, unknown>>;
  #server: Server | undefined;
  port = 0;
  well = true;

  constructor(options: FakeOptions = {}) {
    const { model = 'fake', behave = () => ({ type: 'answer' }), told = {} } = options;
    this.#told = told;
    this.#model = model;
    this.#behave = behave;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Listens, again on the same port after `kill`. */
  async start(): Promise<this> {
    const server = createServer((request, response) => {
      void this.#answer(request, response).catch(() => response.destroy());
    });
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    return this;
  }

  /** As a process that is killed: connections break, and nobody listens. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Backends are asked for their health by different routes, of their models too.
    if (request.method === 'GET' && !this.well) return json(response, 503, {});
    const told = request.method === 'GET' ? this.#told[request.url ?? ''] : undefined;
    if (told !== undefined) return json(response, 200, told);
    if (request.url === '/v1/models') {
      return json(response, 200, { object: 'list', data: [{ id: this.#model, owned_by: 'fake' }] });
    }
    if (request.method === 'GET') return json(response, 200, {});
    let text = '';
    for await (const piece of request) text += piece;
    const body = JSON.parse(text) as Record<string, unknown>;
    const number = this.requests.push(body) - 1;
    this.headers.push(request.headers);
    const behaviour = this.#behave(number);
    if (behaviour.type === 'mute') return;
    if (behaviour.type === 'status') {
      const { status, retryAfter, body: said = { error: { message: 'as told' } } } = behaviour;
      if (retryAfter !== undefined) response.setHeader('retry-after', String(retryAfter));
      return json(response, status, said);
    }
    if (body.stream !== true) {
      return json(response, 200, {
        choices: [],
        usage: { prompt_tokens: 7, completion_tokens: 1 },
      });
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    if (behaviour.type === 'garble') return void response.end('data: {"choices": [{"delta"\n\n');
    if (behaviour.type === 'chunks') {
      for (const chunk of behaviour.chunks) say(response, chunk);
      return void response.end('data: [DONE]\n\n');
    }
    const wanted = Number(body.max_tokens ?? body.max_completion_tokens ?? fakeWords.length);
    const words = fakeWords.slice(0, wanted);
    for (const [index, word] of words.entries()) {
      if (behaviour.type !== 'answer' && index === behaviour.words) break;
      if (behaviour.type === 'answer' && behaviour.pauseMs !== undefined) {
        await new Promise((resolve) => setTimeout(resolve, behaviour.pauseMs));
      }
      say(response, { choices: [{ index: 0, delta: { content: word } }] });
    }
    if (behaviour.type === 'drop') {
      // What was written leaves before the connection breaks.
      await new Promise((resolve) => setTimeout(resolve, 20));
      request.socket.resetAndDestroy();
      return;
    }
    if (behaviour.type === 'stall') return;
    say(response, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
    say(response, {
      choices: [],
      usage: { prompt_tokens: 7, completion_tokens: words.length },
    });
    response.end('data: [DONE]\n\n');
  }
}

function say(response: ServerResponse, chunk: unknown): void {
  response.write(`data: ${JSON.stringify(chunk)}\n\n`);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
