/** `paceline verify --backend URL MODEL`: two engines, asked for the same greedy texts. */

import { type ComparedEngine, type Comparison, compareEngines } from '../backends/compare.js';
import { createBackendEngine, parseUpstream } from '../backends/create.js';
import type { BackendEngine } from '../backends/engine.js';
import { errorCodes, PacelineError } from '../base/errors.js';
import { ResultBuilder } from '../chat/result.js';
import { loadModel } from '../engine/load.js';
import { verifyPrompts } from '../engine/verify/prompts.js';
import { deviceOptions } from './generation-flags.js';
import { catchInterrupt } from './interrupt.js';
import { resolveModel } from './model-names.js';
import { bold, print, printJson, snakeKeys } from './output.js';
import { ProgressBar } from './progress-bar.js';
import type { VerifyFlags } from './verify-command.js';

/** Nats by which the two best of a near-tie differ at most, where nobody says. */
const usualTolerance = 0.1;
/** Alternatives that are asked for, among which the other engine's choice is looked for. */
const alternatives = 5;
/** Differences that a person is told of, and characters of the prompt before each. */
const shown = 5;
const mostOfPrompt = 40;

export interface BackendVerifyFlags extends VerifyFlags {
  readonly backend: string;
  readonly against?: string;
}

/** Runs the command. Sets the exit code 7 at a difference that is no near-tie. */
export async function verifyBackendsCommand(
  model: string,
  flags: BackendVerifyFlags,
): Promise<void> {
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  const { signal } = interrupt;
  const ends: (() => Promise<void>)[] = [];
  try {
    const open = async (url: string): Promise<ComparedEngine> => {
      const { engine, served } = await attached(url, model);
      ends.push(() => engine.stop());
      return upstreamEngine(url, engine, served);
    };
    const first = await open(flags.backend);
    let second: ComparedEngine;
    if (flags.against === undefined) {
      const { path } = await resolveModel(model);
      const loaded = await loadModel(path, {
        contextLength: 1024 + flags.gen,
        ...deviceOptions(flags),
        onProgress: bar.onProgress,
        signal,
      });
      ends.push(() => loaded.dispose());
      second = {
        name: `this engine, ${path}`,
        async greedy(prompt, { maxTokens }) {
          const settings = { maxTokens, temperature: 0, logprobs: alternatives, signal } as const;
          const { text, logprobs = [] } = await loaded.generate(prompt, settings);
          const tokens = logprobs.map(({ top, ...chosen }) => ({
            ...chosen,
            bytes: [...chosen.bytes],
            top: top.map((other) => ({ ...other, bytes: [...other.bytes] })),
          }));
          return { text, tokens };
        },
      };
    } else {
      second = await open(flags.against);
    }
    const comparison = await compareEngines({
      engines: [first, second],
      prompts: flags.prompt ?? verifyPrompts.slice(0, flags.prompts ?? verifyPrompts.length),
      maxTokens: flags.gen,
      tolerance: flags.tolerance ?? usualTolerance,
      onProgress: bar.onProgress,
      signal,
    });
    bar.clear();
    if (flags.json === true) await printJson(snakeKeys(comparison) as Record<string, unknown>);
    else await print(renderComparison(comparison));
    if (!comparison.passed) process.exitCode = errorCodes['check-failed'].exit;
  } finally {
    bar.clear();
    interrupt.release();
    for (const end of ends) await end();
  }
}

/** An engine at a URL, and what it calls the model: by its name, or the only one that it has. */
async function attached(
  url: string,
  model: string,
): Promise<{ readonly engine: BackendEngine; readonly served: string }> {
  const { PACELINE_UPSTREAM_KEY: key } = process.env;
  const spec = { ...parseUpstream(url), ...(key ? { key } : {}) };
  const engine = await createBackendEngine({ upstreams: [spec], queueLimit: 16 });
  await engine.start();
  const ids = engine.models.map(({ id }) => id);
  const { modelId } = await import('../server/catalog.js');
  const names = [model, modelId(model), model.split('/').at(-1)];
  const served = ids.find((id) => names.includes(id)) ?? (ids.length === 1 ? ids[0] : undefined);
  if (served !== undefined) return { engine, served };
  await engine.stop();
  throw new PacelineError('model-not-found', `The engine at ${spec.url} has no model ${model}`, {
    hint: ids.length === 0 ? 'It does not answer.' : `It has: ${ids.slice(0, 20).join(', ')}.`,
  });
}

function upstreamEngine(url: string, engine: BackendEngine, model: string): ComparedEngine {
  const backend = engine.reports[0]?.backend ?? 'engine';
  return {
    name: `${backend} at ${url}, ${model}`,
    async greedy(prompt, { maxTokens, signal }) {
      const result = new ResultBuilder();
      const settings = { maxTokens, temperature: 0, logprobs: alternatives };
      const request = { model, input: { type: 'text', text: prompt }, settings } as const;
      for await (const batch of engine.run(request, { signal })) {
        for (const event of batch) result.add(event);
      }
      const [choice] = result.result.choices;
      return { text: choice?.text ?? '', tokens: choice?.logprobs ?? [] };
    },
  };
}

/** The report for a person. */
export function renderComparison(comparison: Comparison): string {
  const { engines, texts, identical, tokens, differences, nearTies, logprobs, passed } = comparison;
  const lines = [
    ...engines,
    '',
    `${identical} of ${texts} texts identical, ${tokens} tokens the same`,
  ];
  if (logprobs !== undefined) {
    const { mean, max } = logprobs;
    lines.push(
      `log-probabilities differ by ${mean.toFixed(4)} nats on average, ${max.toFixed(4)} at most`,
    );
  }
  if (differences.length > 0)
    lines.push(`${nearTies} of ${differences.length} differences are near-ties`);
  for (const { prompt, position, said, margins, isNearTie } of differences.slice(0, shown)) {
    const [a, b] = margins.map((margin) => (margin === undefined ? '?' : margin.toFixed(3)));
    lines.push(
      '',
      `${position} tokens after ${JSON.stringify(endOf(prompt))}${isNearTie ? ', a near-tie' : ''}:`,
      `  ${JSON.stringify(said[0])} by ${a} nats against ${JSON.stringify(said[1])} by ${b} nats`,
    );
  }
  if (differences.length > shown) lines.push('', `and ${differences.length - shown} more`);
  const verdict = differences.length === 0 ? 'agree' : 'agree but for near-ties';
  lines.push('', bold(passed ? verdict : 'differ'), '');
  return lines.join('\n');
}

/** The end of a prompt, from the beginning of a word where it is cut. */
function endOf(prompt: string): string {
  const end = prompt.slice(-mostOfPrompt);
  return end === prompt ? prompt : `…${end.replace(/^\S*\s(?=\S)/, '')}`;
}
