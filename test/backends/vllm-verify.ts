/**
 * `paceline verify --backend` against vLLM: SmolLM2 where `npm run real-models` has fetched it, else the
 * embedded model. vLLM gets what the GGUF file holds as a checkpoint of F32; our engine gets that checkpoint
 * as a file of F32, so that both compute with the same weights, unrounded. Then vLLM that drafts by n-grams
 * is compared with vLLM that doesn't.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { defaultModelPath } from '../../src/base/paths.js';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { repository } from '../support/repository.js';
import { temporaryFile } from '../support/tiny-model.js';
import { writeCheckpoint } from './gguf-checkpoint.js';
import { VllmProcess } from './vllm-process.js';

interface Report {
  readonly texts: number;
  readonly identical: number;
  readonly tokens: number;
  readonly differences: readonly {
    readonly position: number;
    readonly said: readonly [string, string];
    readonly margins: readonly (number | undefined)[];
    readonly is_near_tie: boolean;
  }[];
  readonly logprobs?: { readonly compared: number; readonly mean: number; readonly max: number };
  readonly passed: boolean;
}

const { PACELINE_REAL_MODELS: folder = '' } = process.env;
const real = join(folder, 'smollm2-135m-instruct-q4_1.gguf');
const isReal = folder !== '' && existsSync(real);
const prompts = isReal
  ? ['The capital of France is', 'Water boils at', 'Once upon a time, there was a little']
  : ['const items = [', 'export function parse(text: string)', 'import { readFile } from'];
/** Its n-grams are 4 tokens long unless told otherwise, which short texts do not repeat. */
const drafting = {
  ...{ method: 'ngram', num_speculative_tokens: 4 },
  ...{ prompt_lookup_min: 1, prompt_lookup_max: 4 },
};

describe(`verify against vLLM with ${isReal ? 'SmolLM2-135M' : 'the embedded model'}`, () => {
  const instances: VllmProcess[] = [];
  const gguf = temporaryFile('verify.gguf');
  before(async () => {
    const checkpoint = temporaryFile('verify');
    await writeCheckpoint(isReal ? real : defaultModelPath(), checkpoint);
    await convertCheckpoint({ checkpoint, output: gguf, type: 'f32', threads: 1 });
    const speculative = ['--speculative-config', JSON.stringify(drafting)];
    for (const extra of [[], speculative]) {
      instances.push(await VllmProcess.start(checkpoint, ['--dtype', 'float32', ...extra]));
    }
  });
  after(async () => {
    for (const instance of instances) await instance[Symbol.asyncDispose]();
  });

  test('it and our engine say the same, but for near-ties', async (t) => {
    const report = await verify(gguf, ['--backend', instances[0]?.url ?? '']);
    tell(t, report);
    assert.equal(report.passed, true);
    assert.ok(report.tokens >= 24 * prompts.length * 0.5);
    // Both compute in F32: what they say of each token is nearly the same number.
    assert.ok((report.logprobs?.max ?? 1) < 0.05);
  });

  test('its own drafts leave its text as it is, but for near-ties', async (t) => {
    const [plain, drafts] = instances.map(({ url }) => url);
    const report = await verify('tiny', ['--backend', drafts ?? '', '--against', plain ?? '']);
    tell(t, report);
    assert.equal(report.passed, true);
    const metrics = await (await fetch(`${drafts}/metrics`)).text();
    const drafted = /^vllm:spec_decode_num_draft_tokens_total\{[^}]*\} (\S+)$/m.exec(metrics)?.[1];
    t.diagnostic(`${drafted} tokens drafted`);
    assert.ok(Number(drafted) > 0, 'it drafts');
  });
});

/** Runs the command; its report, whatever it finds. */
async function verify(model: string, flags: readonly string[]): Promise<Report> {
  const asked = prompts.flatMap((prompt) => ['--prompt', prompt]);
  const args = ['verify', model, ...flags, ...asked, '--gen', '24', '--threads', '1', '--json'];
  const child = spawn(process.execPath, [join(repository, 'dist/src/cli/main.js'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await new Promise((resolve) => child.once('close', resolve));
  return JSON.parse(output) as Report;
}

function tell(t: TestContext, { differences, ...report }: Report): void {
  const { texts, identical, tokens, logprobs } = report;
  t.diagnostic(JSON.stringify({ texts, identical, tokens, logprobs, differences }));
}
