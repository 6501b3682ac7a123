// An engine as far as its starter can tell: it listens where it is told to, says what it does, and has a
// worker process in a group of its own, as engines with several devices have.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';

const [, , port, workerFile, mode] = process.argv;
if (mode === 'fail') {
  console.error('RuntimeError: no device was found');
  process.exit(3);
}
const worker = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
  detached: true,
  stdio: 'ignore',
});
worker.unref();
const { writeFileSync } = await import('node:fs');
writeFileSync(workerFile, JSON.stringify({ engine: process.pid, worker: worker.pid }));
console.log('Loading weights');
console.log('Capturing CUDA graph');
const chunk = (value) => `data: ${JSON.stringify(value)}\n\n`;
createServer(async (request, response) => {
  if (request.method === 'GET') {
    response.end(JSON.stringify({ data: [{ id: 'fake', owned_by: 'vllm' }] }));
    return;
  }
  for await (const _ of request);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(chunk({ choices: [{ delta: { content: `pid ${process.pid}` } }] }));
  response.write(chunk({ choices: [{ delta: {}, finish_reason: 'stop' }] }));
  response.end('data: [DONE]\n\n');
}).listen(Number(port), '127.0.0.1');
