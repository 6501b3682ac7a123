/** A backend computes off the event loop, one graph at a time, and stops when asked. */
import assert from 'node:assert/strict';
import { cpus } from 'node:os';
import { describe, it } from 'node:test';
import { Allocation } from '../../src/ggml/allocation.js';
import { Backend } from '../../src/ggml/backend.js';
import { devices } from '../../src/ggml/devices.js';
import { defaultThreads, hostMemory, maximumThreads } from '../../src/ggml/host.js';
import type { Tensor } from '../../src/ggml/tensor.js';
import { GgmlType } from '../../src/ggml/types.js';
import { Workspace } from '../../src/ggml/workspace.js';

const size = 512;

/** A graph of `count` products that take about a millisecond each. */
function slowGraph(workspace: Workspace, matrix: Tensor, count: number) {
  const graph = workspace.begin();
  let x = graph.input('x', GgmlType.F32, [size, 64], new Float32Array(size * 64));
  for (let at = 0; at < count; at++) x = graph.mulMat(matrix, x);
  return { graph, result: graph.output(x) };
}

function setUp(threads = 1) {
  const backend = new Backend({ threads });
  const matrix = new Allocation(backend, [{ name: 'w', type: GgmlType.F32, shape: [size, size] }]);
  matrix.clear();
  const workspaces = [new Workspace(backend), new Workspace(backend)] as const;
  return {
    backend,
    matrix: matrix.tensors[0] as Tensor,
    workspaces,
    [Symbol.dispose]() {
      for (const workspace of workspaces) workspace.dispose();
      matrix.dispose();
      backend.dispose();
    },
  };
}

describe('a backend', () => {
  it('leaves the event loop free', async () => {
    using set = setUp();
    const { matrix, workspaces } = set;
    const { graph } = slowGraph(workspaces[0], matrix, 300);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await graph.compute();
    clearInterval(timer);
    assert.ok(ticks > 3, `${ticks} timers ran meanwhile`);
  });

  it('aborts between operations, and goes on afterwards', async () => {
    using set = setUp();
    const { backend, matrix, workspaces } = set;
    const { graph } = slowGraph(workspaces[0], matrix, 5000);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 20);
    await assert.rejects(graph.compute({ signal: controller.signal }), { code: 'aborted' });
    assert.equal(backend.busy, false);
    const next = slowGraph(workspaces[0], matrix, 2);
    await next.graph.compute();
    assert.equal(next.graph.read(next.result).length, size * 64);
  });

  it('does not begin what was aborted before', async () => {
    using set = setUp();
    const { matrix, workspaces } = set;
    const { graph } = slowGraph(workspaces[0], matrix, 1);
    await assert.rejects(graph.compute({ signal: AbortSignal.abort() }), { code: 'aborted' });
  });

  it('computes one graph after the other; only the aborted one stops', async () => {
    using set = setUp();
    const { matrix, workspaces } = set;
    const first = slowGraph(workspaces[0], matrix, 5000);
    const second = slowGraph(workspaces[1], matrix, 3);
    const controller = new AbortController();
    const order: string[] = [];
    const done = Promise.allSettled([
      first.graph.compute({ signal: controller.signal }).finally(() => order.push('first')),
      second.graph.compute().finally(() => order.push('second')),
    ]);
    assert.throws(() => workspaces[0].begin(), { code: 'graph' });
    setTimeout(() => controller.abort(), 5);
    const [a, b] = await done;
    assert.deepEqual([a?.status, b?.status, order], ['rejected', 'fulfilled', ['first', 'second']]);
  });

  it('takes no more threads than there are processors, and refuses none at all', () => {
    using backend = new Backend({ threads: 10_000 });
    assert.equal(backend.threads, maximumThreads());
    assert.throws(() => new Backend({ threads: 0 }), { code: 'usage' });
    assert.throws(() => new Backend({ threads: 1.5 }), { code: 'usage' });
    assert.ok(defaultThreads() >= 1 && defaultThreads() <= cpus().length);
  });

  it('cannot be used after it was disposed of', async () => {
    const { backend, matrix, workspaces } = setUp();
    const { graph } = slowGraph(workspaces[0], matrix, 1);
    backend.dispose();
    await assert.rejects(graph.compute(), { code: 'disposed' });
  });
});

describe('the machine', () => {
  it('has a CPU among its devices, with memory and features', () => {
    const [cpu] = devices().devices;
    assert.equal(cpu?.kind, 'cpu');
    assert.ok((cpu?.memoryTotal ?? 0) > 2 ** 28);
    assert.ok((cpu?.features.length ?? 0) > 0);
  });

  it('tells how much memory is available', () => {
    const { available, total } = hostMemory();
    assert.ok(available > 0 && available <= total);
  });
});
