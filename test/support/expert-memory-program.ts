/**
 * Generates with a bound on the memory for experts, in a process of its own, and prints as JSON what it held at
 * the end and at most. Usage: `FILE BYTES`.
 */
import { readFileSync } from 'node:fs';
import { loadModel } from '../../src/index.js';

const [file = '', bytes = ''] = process.argv.slice(2);
const options = { threads: 2, contextLength: 256, device: 'cpu', expertMemory: Number(bytes) };
const model = await loadModel(file, options);
const prompt = Array.from({ length: 100 }, (_, at) => 300 + ((at * at * 31) % 150));
const { tokens } = await model.generate(prompt, { maxTokens: 60, temperature: 2, seed: 1 });
globalThis.gc?.();
const status = readFileSync('/proc/self/status', 'utf8');
const kilobytes = (name: string) =>
  Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1]);
const { experts, info } = { experts: model.experts, info: model.info.experts };
await model.dispose();
console.log(
  JSON.stringify({
    tokens,
    held: kilobytes('VmRSS') * 1024,
    most: kilobytes('VmHWM') * 1024,
    experts,
    info,
  }),
);
