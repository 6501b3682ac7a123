/**
 * The server's own routes, `/paceline/v1/...`, and the page at `/`: what models hold in memory and
 * compute, loading and unloading, and the proof of a text.
 */
import type { Context, Hono } from 'hono';
import type { BackendEngine } from '../../backends/engine.js';
import type { TextRequest } from '../../chat/request.js';
import type { ProofEvent } from '../../engine/verify/prove.js';
import type { Catalog } from '../catalog.js';
import { checkBody, type DialectContext } from '../dialects/dialect.js';
import { loadSchema, modelSchema } from '../dialects/paceline/schema.js';
import { activityBody, libraryBody, statusBody } from '../dialects/paceline/status.js';
import { proofError, proofLine, verifyRequest } from '../dialects/paceline/verify.js';
import type { ModelActivity } from '../engine-process/model-report.js';
import { toFailure } from '../internal/failure.js';
import type { Library } from '../library.js';
import type { PageFiles } from './page-files.js';
import type { AppVariables } from './variables.js';

/** What the routes need of the engine. */
export interface WatchedEngine {
  readonly state: string;
  readonly restarts: number;
  readonly waiting: number;
  readonly status: { readonly memoryBytes: number };
  refresh(): Promise<unknown>;
  activity(model: string, since: number): Promise<ModelActivity | undefined>;
  load(model: string, signal: AbortSignal): Promise<void>;
  unload(model: string): Promise<void>;
  prove(
    request: TextRequest,
    options: { readonly signal: AbortSignal; readonly client?: string },
  ): AsyncGenerator<readonly ProofEvent[], void>;
}

export interface PacelineRoutesOptions {
  readonly engine: WatchedEngine;
  readonly backends: BackendEngine | undefined;
  readonly catalog: () => Catalog;
  readonly page: PageFiles;
  /** The models on the disk. */
  readonly library: Pick<Library, 'list' | 'take'>;
  readonly version: string;
  readonly body: (c: Context<AppVariables>) => Promise<unknown>;
  readonly client: (c: Context<AppVariables>) => string;
  readonly dialectContext: (c: Context<AppVariables>) => DialectContext;
}

/** Adds the routes. */
export function addPacelineRoutes(app: Hono<AppVariables>, options: PacelineRoutesOptions): void {
  const { engine, catalog, page, version, body } = options;

  app.get('/', (c) => {
    const wantsPage = /text\/html/.test(c.req.header('accept') ?? '');
    const answer = wantsPage
      ? page.answer('index.html', c.req.header('accept-encoding'))
      : undefined;
    // Clients of Ollama ask whether anybody is there.
    return answer ?? c.text('Paceline is running');
  });
  app.get('/page/:name', (c) => {
    const answer = page.answer(c.req.param('name'), c.req.header('accept-encoding'));
    return answer ?? c.notFound();
  });

  app.get('/paceline/v1/status', async (c) => {
    await engine.refresh();
    const { state, restarts, waiting, status } = engine;
    const models = catalog().list();
    const { memoryBytes } = status;
    const upstreams = options.backends?.reports ?? [];
    return c.json(
      statusBody({ version, engine: state, restarts, waiting, memoryBytes, models, upstreams }),
    );
  });
  app.get('/paceline/v1/activity', async (c) => {
    const model = catalog().get(c.req.query('model') ?? '').id;
    const since = Number.parseInt(c.req.query('since') ?? '0', 10);
    return c.json(activityBody(await engine.activity(model, Number.isNaN(since) ? 0 : since)));
  });
  app.get('/paceline/v1/library', async (c) => c.json(libraryBody(await options.library.list())));

  app.post('/paceline/v1/models/load', async (c) => {
    const wanted = checkBody(loadSchema, await body(c));
    const model =
      'library' in wanted
        ? await options.library.take(wanted.library)
        : catalog().get(wanted.model).id;
    await engine.load(model, c.get('gone').signal);
    return c.json({ model, state: 'ready' });
  });
  app.post('/paceline/v1/models/unload', async (c) => {
    const model = catalog().get(checkBody(modelSchema, await body(c)).model).id;
    await engine.unload(model);
    return c.json({ model, state: 'unloaded' });
  });

  app.post('/paceline/v1/verify', async (c) => {
    const request = verifyRequest(await body(c), options.dialectContext(c));
    const model = catalog().get(request.model).id;
    const gone = c.get('gone');
    const events = engine.prove(
      { ...request, model },
      { signal: gone.signal, client: options.client(c) },
    );
    // What fails before anything is said gets its own status.
    const first = await events.next();
    return new Response(
      proofStream(first, events, () => gone.abort()),
      {
        headers: {
          'content-type': 'application/x-ndjson; charset=utf-8',
          'cache-control': 'no-cache',
        },
      },
    );
  });
}

type ProofBatches = AsyncGenerator<readonly ProofEvent[], void>;

function proofStream(
  first: IteratorResult<readonly ProofEvent[], void>,
  events: ProofBatches,
  abort: () => void,
): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder();
  let next: IteratorResult<readonly ProofEvent[], void> | undefined = first;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        next ??= await events.next();
        if (next.done === true) return controller.close();
        controller.enqueue(bytes.encode(next.value.map(proofLine).join('')));
        next = undefined;
      } catch (thrown) {
        controller.enqueue(bytes.encode(proofError(toFailure(thrown))));
        controller.close();
      }
    },
    cancel() {
      abort();
      void events.return().catch(() => {});
    },
  });
}
