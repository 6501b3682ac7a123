/** Engines of fake upstreams, and requests to them. */
import type { TestContext } from 'node:test';
import { type CreateBackendOptions, createBackendEngine } from '../../src/backends/create.js';
import type { BackendName } from '../../src/backends/descriptor.js';
import type { BackendEngine } from '../../src/backends/engine.js';
import type { TextEvent } from '../../src/chat/events.js';
import type { TextRequest } from '../../src/chat/request.js';
import { ResultBuilder, type TextResult } from '../../src/chat/result.js';
import { type FakeOptions, FakeUpstream } from './fake-upstream.js';

export interface FakeEngine {
  readonly engine: BackendEngine;
  readonly upstreams: readonly FakeUpstream[];
}

/** An engine in front of fake upstreams, which ends with the test. */
export async function fakeEngine(
  t: TestContext,
  fakes: readonly FakeOptions[],
  options: Partial<CreateBackendOptions> & { readonly backend?: BackendName } = {},
): Promise<FakeEngine> {
  const { backend = 'openai', ...rest } = options;
  const upstreams = await Promise.all(fakes.map((fake) => new FakeUpstream(fake).start()));
  const engine = await createBackendEngine({
    queueLimit: 64,
    healthMs: 20,
    patienceMs: 5000,
    breaker: { firstPauseMs: 20, longestPauseMs: 100 },
    upstreams: upstreams.map(({ url }) => ({ url, backend })),
    ...rest,
  });
  await engine.start();
  t.after(async () => {
    await engine.stop();
    await Promise.all(upstreams.map((upstream) => upstream.kill()));
  });
  return { engine, upstreams };
}

export function chatRequest(more: Partial<TextRequest> = {}): TextRequest {
  return {
    model: 'fake',
    input: { type: 'chat', messages: [{ role: 'user', content: 'Count' }] },
    settings: {},
    ...more,
  };
}

export const never = new AbortController().signal;

/** Runs a request to its end. */
export async function finished(
  engine: BackendEngine,
  request: TextRequest,
  options: { readonly signal?: AbortSignal; readonly onEvent?: (event: TextEvent) => void } = {},
): Promise<TextResult> {
  const result = new ResultBuilder();
  for await (const batch of engine.run(request, { signal: options.signal ?? never })) {
    for (const event of batch) {
      options.onEvent?.(event);
      result.add(event);
    }
  }
  return result.result;
}
