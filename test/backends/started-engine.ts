/** A fake engine that is started as a real one is, and a server that is killed beside it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BackendDescriptor } from '../../src/backends/descriptor.js';
import { backendNamed } from '../../src/backends/registry.js';
import { eventually } from '../server/support.js';
import { repository } from '../support/repository.js';

export const fakeProgram = join(repository, 'test/backends/fake-engine.mjs');

/** vLLM's description with the fake's arguments. */
export function fakeBackend(folder: string, mode = 'well'): BackendDescriptor {
  const vllm = backendNamed('vllm');
  if (vllm.launch === undefined) throw new Error('vLLM is not started');
  const workerFile = join(folder, '{servedName}.json');
  const launch = { ...vllm.launch, arguments: ['{port}', workerFile, mode] };
  return { ...vllm, launch };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie is dead: its parent has not looked yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && process.platform !== 'linux';
  }
}

/** Kills a server with a started engine by SIGKILL, and waits until nothing of the engine lives. */
export async function killServer(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'paceline-orphans-'));
  const url = (path: string): string => pathToFileURL(join(repository, 'dist', path)).href;
  const source = `
    const { ManagedModel } = await import(${JSON.stringify(url('src/backends/managed/managed-model.js'))});
    const backend = ${JSON.stringify(fakeBackend(folder))};
    const model = await ManagedModel.create({ id: 'fake', model: 'm', pinned: true }, {
      backend, program: [process.execPath, ${JSON.stringify(fakeProgram)}], slots: 1, logFolder: ${JSON.stringify(folder)},
    });
    await model.ensure(new AbortController().signal);
    console.log('ready');
    setInterval(() => {}, 1000);
  `;
  const file = join(folder, 'server.mjs');
  writeFileSync(file, source);
  const server = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(server.stdout, 'data');
    const { engine, worker } = JSON.parse(readFileSync(join(folder, 'fake.json'), 'utf8')) as {
      engine: number;
      worker: number;
    };
    assert.ok(isAlive(engine) && isAlive(worker));
    server.kill('SIGKILL');
    await eventually(() => !isAlive(engine) && !isAlive(worker), 'the end of the orphans');
  } finally {
    server.kill('SIGKILL');
  }
}
