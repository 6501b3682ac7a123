/**
 * The routes: which dialect answers which path, and what all of them have in common (guard, request
 * id, errors in the dialect's shape, metrics, one log line a request). Knows no socket.
 */
import { randomUUID } from 'node:crypto';
import { type Context, Hono } from 'hono';
import type { BackendEngine } from '../../backends/engine.js';
import type { PacelineError } from '../../base/errors.js';
import { isRecord } from '../../base/records.js';
import { refuseField } from '../../chat/refusals.js';
import type {
  EmbedRequest,
  EmbedResult,
  RankRequest,
  RankResult,
  ReadingOptions,
  TextRequest,
} from '../../chat/request.js';
import type { Catalog } from '../catalog.js';
import {
  anthropicErrorAnswer,
  countRequest,
  messagesExchange,
} from '../dialects/anthropic/messages.js';
import {
  checkBody,
  type DialectContext,
  type ErrorAnswer,
  type TextExchange,
} from '../dialects/dialect.js';
import { ollamaEmbed } from '../dialects/ollama/embed.js';
import {
  type OllamaLoad,
  ollamaChat,
  ollamaErrorAnswer,
  ollamaGenerate,
} from '../dialects/ollama/generate.js';
import { ollamaProcesses, ollamaShow, ollamaTags } from '../dialects/ollama/models.js';
import { ollamaShowSchema } from '../dialects/ollama/schema.js';
import { chatExchange } from '../dialects/openai/chat.js';
import { openaiErrorAnswer } from '../dialects/openai/common.js';
import { completionExchange } from '../dialects/openai/completions.js';
import { type EmbedExchange, embeddingExchange } from '../dialects/openai/embeddings.js';
import { openaiModel, openaiModelList } from '../dialects/openai/models.js';
import { rerankExchange } from '../dialects/openai/rerank.js';
import { ResponseStore } from '../dialects/openai/response-store.js';
import { responseExchange } from '../dialects/openai/responses.js';
import { retryAfter, toFailure } from '../internal/failure.js';
import type { Library } from '../library.js';
import { openapi } from '../openapi.js';
import { backendMetrics } from './backend-metrics.js';
import { readJson } from './body.js';
import { answerText } from './exchange.js';
import type { Guard } from './guard.js';
import type { Log } from './log.js';
import type { Metrics } from './metrics.js';
import { missedRoute } from './missed-route.js';
import { observeText } from './observe.js';
import { addPacelineRoutes, type WatchedEngine } from './paceline-routes.js';
import type { PageFiles } from './page-files.js';
import type { TextSource } from './text-source.js';
import type { AppVariables } from './variables.js';

/** What the routes need of the engine. */
export interface ServedEngine extends TextSource, WatchedEngine {
  count(request: TextRequest, signal: AbortSignal): Promise<number>;
  embed(request: EmbedRequest, options: ReadingOptions): Promise<EmbedResult>;
  rank(request: RankRequest, options: ReadingOptions): Promise<RankResult>;
}

export interface Health {
  readonly status: 'ready' | 'loading' | 'degraded' | 'stopping';
  readonly details: Readonly<Record<string, unknown>>;
}

export interface AppOptions {
  readonly engine: ServedEngine;
  /** Other engines, for what is told of them. */
  readonly backends: BackendEngine | undefined;
  readonly catalog: () => Catalog;
  readonly guard: Guard;
  readonly log: Log;
  /** Whether the log may hold prompts and texts. */
  readonly logPrompts: boolean;
  readonly metrics: Metrics;
  readonly health: () => Health;
  readonly version: string;
  /** The page at `/`. */
  readonly page: PageFiles;
  /** The models on this machine's disk. */
  readonly library: Library;
  readonly bodyLimit: number;
  readonly keepAliveMs: number;
}

type AppContext = Context<AppVariables>;

/** The server as a function from requests to responses. */
export function createApp(options: AppOptions): Hono<AppVariables> {
  const { engine, guard, log, metrics } = options;
  const store = new ResponseStore();
  const app = new Hono<AppVariables>({ strict: false });
  const catalog = options.catalog;
  const description = openapi(options.version);

  app.use(async (c, next) => {
    const began = performance.now();
    const id = requestId(c.req.header('x-request-id'));
    c.set('id', id);
    c.set('gone', goneController(c));
    await next();
    const { path, method } = c.req;
    c.res.headers.set('x-request-id', id);
    const origin = guard.allowedOrigin(c.req.header('origin'));
    if (origin !== undefined) allowOrigin(c.res.headers, origin);
    const seconds = (performance.now() - began) / 1000;
    metrics.request(routeOf(path), c.res.status, seconds);
    if (path !== '/health' && path !== '/metrics') {
      const level = c.res.status < 500 ? 'info' : 'error';
      log(level, `${method} ${path} ${c.res.status}`, { id, ms: seconds * 1000 });
    }
  });

  app.use(async (c, next) => {
    const { path, method } = c.req;
    guard.check({ path, method, header: (name) => c.req.header(name) });
    if (method !== 'OPTIONS') return next();
    return new Response(null, { status: 204 });
  });

  /** The body of a request. Whoever names no model, nor one of the library, learns which there are. */
  const body = async (c: AppContext): Promise<unknown> => {
    const given = await readJson(c.req.raw, options.bodyLimit);
    const named = isRecord(given) ? (given.model ?? given.name ?? given.library) : '';
    if (named == null) {
      const names = catalog()
        .list()
        .map(({ id }) => id);
      throw refuseField('model', 'model is missing', `This server has: ${names.join(', ')}`);
    }
    return given;
  };

  /** Runs what a dialect made of a body. */
  const answer = async (c: AppContext, exchange: TextExchange): Promise<Response> => {
    const id = c.get('id');
    const model = catalog().get(exchange.request.model).id;
    const request = { ...exchange.request, model };
    const further = exchange.further?.map((other) => ({ ...other, model }));
    if (options.logPrompts) {
      for (const { input } of [request, ...(further ?? [])]) {
        log('info', 'prompt', { id, input: JSON.stringify(input) });
      }
    }
    return answerText({
      source: engine,
      exchange: { ...exchange, request, ...(further === undefined ? {} : { further }) },
      gone: c.get('gone'),
      client: request.affinity ?? clientOf(c),
      observer: observeText({ id, model, log, metrics, logTexts: options.logPrompts }),
      keepAliveMs: options.keepAliveMs,
    });
  };

  const text = (path: string, dialect: (given: unknown, context: DialectContext) => TextExchange) =>
    app.post(path, async (c) => answer(c, dialect(await body(c), dialectContext(c))));

  text('/v1/chat/completions', chatExchange);
  text('/v1/completions', completionExchange);
  text('/v1/responses', (given, context) => responseExchange(given, context, store));
  text('/v1/messages', messagesExchange);

  app.post('/v1/messages/count_tokens', async (c) => {
    const request = countRequest(await body(c));
    const model = catalog().get(request.model).id;
    return c.json({
      input_tokens: await engine.count({ ...request, model }, c.get('gone').signal),
    });
  });

  const vectors = (path: string, dialect: (given: unknown) => EmbedExchange) =>
    app.post(path, async (c) => {
      const { request, body: write } = dialect(await body(c));
      const model = catalog().get(request.model).id;
      const options = { signal: c.get('gone').signal, client: clientOf(c) };
      return Response.json(write(await engine.embed({ ...request, model }, options)));
    });

  vectors('/v1/embeddings', embeddingExchange);
  vectors('/api/embed', ollamaEmbed);
  vectors('/api/embeddings', ollamaEmbed);

  app.post('/v1/rerank', async (c) => {
    const { request, body: write } = rerankExchange(await body(c));
    const model = catalog().get(request.model).id;
    const options = { signal: c.get('gone').signal, client: clientOf(c) };
    return c.json(write(await engine.rank({ ...request, model }, options)));
  });

  app.get('/v1/models', (c) => c.json(openaiModelList(catalog().list())));
  app.get('/v1/models/:model{.+}', (c) => c.json(openaiModel(catalog().get(c.req.param('model')))));

  app.get('/v1/responses/:id', (c) => c.json(store.require(c.req.param('id')).response));
  app.get('/v1/responses/:id/input_items', (c) => {
    const { input } = store.require(c.req.param('id'));
    const data = input.map((item, index) => ({ type: 'message', id: `item_${index}`, ...item }));
    const ids = data.map(({ id }) => id);
    return c.json({
      object: 'list',
      data,
      first_id: ids[0] ?? null,
      last_id: ids.at(-1) ?? null,
      has_more: false,
    });
  });
  app.delete('/v1/responses/:id', (c) => {
    const { id } = store.require(c.req.param('id')).response;
    store.delete(id);
    return c.json({ id, object: 'response', deleted: true });
  });

  const ollama = (
    path: string,
    dialect: (given: unknown, context: DialectContext) => TextExchange | OllamaLoad,
  ) =>
    app.post(path, async (c) => {
      const wanted = dialect(await body(c), dialectContext(c));
      if (!('load' in wanted)) return answer(c, wanted);
      const model = catalog().get(wanted.model).id;
      if (wanted.load === 'unload') await engine.unload(model);
      else await engine.load(model, c.get('gone').signal);
      return c.json(wanted.body as Record<string, unknown>);
    });

  ollama('/api/chat', ollamaChat);
  ollama('/api/generate', ollamaGenerate);
  app.get('/api/tags', (c) => c.json(ollamaTags(catalog().list())));
  app.get('/api/ps', async (c) => {
    await engine.refresh();
    return c.json(ollamaProcesses(catalog().list()));
  });
  app.post('/api/show', async (c) => {
    const { model, name } = checkBody(ollamaShowSchema, await body(c));
    const wanted = model ?? name;
    if (wanted === undefined) throw refuseField('model', 'model is missing');
    return c.json(ollamaShow(catalog().get(wanted)) as Record<string, unknown>);
  });
  app.get('/api/version', (c) => c.json({ version: options.version }));

  addPacelineRoutes(app, {
    engine,
    backends: options.backends,
    catalog,
    page: options.page,
    library: options.library,
    version: options.version,
    body,
    client: clientOf,
    dialectContext,
  });
  app.get('/health', (c) => {
    const { status, details } = options.health();
    const up = status === 'ready' || status === 'degraded';
    if (!up) c.header('retry-after', '1');
    return c.json({ status, ...details }, up ? 200 : 503);
  });
  app.get('/metrics', async (c) => {
    await engine.refresh();
    const { contentType, text: lines } = await metrics.text();
    const others = options.backends;
    const more = others === undefined ? '' : await backendMetrics(others, c.get('gone').signal);
    return c.body(lines + more, 200, { 'content-type': contentType });
  });
  app.get('/openapi.json', (c) => c.json(description));

  app.notFound((c) => {
    const { method, path } = c.req;
    return errorResponse(
      missedRoute({ method, path }, app.routes, {
        address: new URL(c.req.url).origin,
        model: catalog().list()[0]?.id ?? 'default',
      }),
      path,
      c.get('id'),
    );
  });
  app.onError((thrown, c) => {
    const error = toFailure(thrown);
    if (error.code === 'internal') {
      const stack = error.cause instanceof Error ? error.cause.stack : error.stack;
      log('error', error.message, { id: c.get('id'), stack });
    }
    return errorResponse(error, c.req.path, c.get('id'));
  });
  return app;
}

/** The client's own id where it is one, else a fresh one. */
function requestId(given: string | undefined): string {
  return given !== undefined && /^[\w.:-]{1,128}$/.test(given) ? given : `req_${hexId()}`;
}

function hexId(): string {
  return randomUUID().replaceAll('-', '');
}

/** Who asks, as far as its key tells. */
function clientOf(c: AppContext): string {
  return c.req.header('authorization') ?? c.req.header('x-api-key') ?? '';
}

/** Aborts when the connection of the request closes before its answer is complete. */
function goneController(c: AppContext): AbortController {
  const gone = new AbortController();
  const signal = c.req.raw.signal;
  if (signal.aborted) gone.abort();
  else signal.addEventListener('abort', () => gone.abort(), { once: true });
  return gone;
}

function dialectContext(c: AppContext): DialectContext {
  return {
    newId: (prefix) => prefix + hexId(),
    now: () => Date.now(),
    header: (name) => c.req.header(name),
  };
}

/** The path as a label: bounded in number, whatever clients ask for. */
function routeOf(path: string): string {
  const known =
    /^\/(v1\/(chat\/completions|completions|responses|messages(\/count_tokens)?|embeddings|rerank|models)|api\/(chat|generate|embed|embeddings|tags|show|ps|version)|paceline\/v1\/(status|activity|library|verify|models\/(load|unload))|page|health|metrics|openapi\.json)/;
  return known.exec(path)?.[0] ?? 'other';
}

function errorResponse(error: PacelineError, path: string, id: string): Response {
  const { status, body } = errorAnswer(error, path, id);
  const seconds = retryAfter(error);
  const { allowed } = error.details;
  return Response.json(body, {
    status,
    headers: {
      ...(seconds === undefined ? {} : { 'retry-after': String(seconds) }),
      ...(typeof allowed === 'string' ? { allow: allowed } : {}),
    },
  });
}

function errorAnswer(error: PacelineError, path: string, id: string): ErrorAnswer {
  if (path.startsWith('/v1/messages')) return anthropicErrorAnswer(error, id);
  if (path.startsWith('/api/')) return ollamaErrorAnswer(error);
  return openaiErrorAnswer(error);
}

function allowOrigin(headers: Headers, origin: string): void {
  headers.set('access-control-allow-origin', origin);
  headers.set('access-control-allow-methods', 'GET, POST, DELETE, OPTIONS');
  headers.set('access-control-allow-headers', '*, authorization, content-type, x-api-key');
  headers.set('access-control-expose-headers', 'x-request-id, retry-after');
  headers.set('access-control-max-age', '600');
  headers.append('vary', 'origin');
}
