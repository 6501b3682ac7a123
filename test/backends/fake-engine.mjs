// An engine as far as its starter can tell: it listens where it is told to, says what it does, and has a
// worker process in a group of its own, as engines with several devices have. In the mode `alone` it has
// none, and takes its time between words. In the mode `sick` its first three answers fail, in the mode
// `once` it does not start again, and in the mode `unwell` it says so of itself from its first answer on.
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';

const [, , port, workerFile, mode] = process.argv;
if (mode === 'fail' || (mode === 'once' && existsSync(workerFile))) {
  console.error('RuntimeError: no device was found');
  process.exit(3);
}
if (mode !== 'alone') {
  const worker = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
    detached: true,
    stdio: 'ignore',
  });
  worker.unref();
  writeFileSync(workerFile, JSON.stringify({ engine: process.pid, worker: worker.pid }));
}
console.log('Loading weights');
console.log('Capturing CUDA graph');
const chunk = (value) => `data: ${JSON.stringify(value)}\n\n`;
let failures = mode === 'sick' ? 3 : 0;
let well = true;
createServer(async (request, response) => {
  if (request.method === 'GET') {
    if (!well) response.writeHead(503);
    response.end(JSON.stringify({ data: [{ id: 'fake', owned_by: 'vllm' }] }));
    return;
  }
  for await (const _ of request);
  well = mode !== 'unwell';
  if (failures > 0) {
    failures -= 1;
    response.writeHead(500).end();
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const word of mode === 'alone'
    ? ['one ', 'two ', 'three ', 'four ']
    : [`pid ${process.pid}`]) {
    if (mode === 'alone') await setTimeout(10);
    response.write(chunk({ choices: [{ delta: { content: word } }] }));
  }
  response.write(chunk({ choices: [{ delta: {}, finish_reason: 'stop' }] }));
  response.end('data: [DONE]\n\n');
}).listen(Number(port), '127.0.0.1');
