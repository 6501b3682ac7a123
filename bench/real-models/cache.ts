/** The first token of a prompt that is new, and of one that an earlier process has read, from the disk. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GenerateOptions, loadModel } from '../../src/index.js';
import { StatePeer } from '../prefix-peer.js';

export interface CacheOptions {
  readonly path: string;
  readonly text: string;
  /** Tokens of the prompts. */
  readonly lengths: readonly number[];
  readonly threads: number;
  /** The entry of the peer's package, if it is to be measured. */
  readonly peer: string | undefined;
  readonly onStep: (done: number) => void;
}

const greedy = { maxTokens: 16, temperature: 0, draft: 'none' } satisfies GenerateOptions;

/** One row a length. Times are those to the first token, in milliseconds; tokens must be the same. */
export async function measureCache({ path, text, lengths, threads, peer, onStep }: CacheOptions) {
  const contextLength = Math.max(...lengths) + 64;
  const root = mkdtempSync(join(tmpdir(), 'paceline-hits-'));
  const once = async (folder: string, length: number) => {
    const cache = { folder, budget: 40e9 };
    await using model = await loadModel(path, { contextLength, threads, cache });
    const tokens = model.tokenizer.encode(text).slice(0, length);
    // What a first pass allocates is not what is measured.
    using warm = model.createSession();
    await warm.generate(tokens.slice(-64).reverse(), { ...greedy, maxTokens: 1, cache: false });
    using session = model.createSession();
    const answer = await session.generate(tokens, greedy);
    const { queueMs, restoreMs, prefillMs } = answer.timings;
    return {
      prompt: tokens,
      first_ms: queueMs + restoreMs + prefillMs,
      cached_tokens: answer.cachedTokens,
      tokens: answer.tokens,
    };
  };
  try {
    const rows: object[] = [];
    for (const [index, length] of lengths.entries()) {
      onStep(index);
      const folder = join(root, String(length));
      const { prompt, ...cold } = await once(folder, length);
      const { prompt: _, ...disk } = await once(folder, length);
      const theirs = peer === undefined ? {} : await byPeer({ path, threads, peer, root, prompt });
      rows.push({
        prompt_tokens: prompt.length,
        cold_ms: cold.first_ms,
        disk_ms: disk.first_ms,
        cached_tokens: disk.cached_tokens,
        same_tokens: cold.tokens.join() === disk.tokens.join(),
        ratio: cold.first_ms / disk.first_ms,
        ...theirs,
      });
    }
    return rows;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** The same prompt by the peer: new, and from its state file in another process. */
async function byPeer(options: {
  readonly path: string;
  readonly threads: number;
  readonly peer: string;
  readonly root: string;
  readonly prompt: readonly number[];
}) {
  const { path: model, threads, peer: entry, root, prompt } = options;
  const file = join(root, 'peer.state');
  const run = async (request: { load?: string; save?: string }) => {
    const context = prompt.length + 64;
    await using peer = await StatePeer.start({ entry, model, threads, context, sequences: 1 });
    const { loadMs, firstMs } = await peer.run({ at: 0, prompt, ...request });
    return loadMs + firstMs;
  };
  const cold = await run({ save: file });
  const disk = await run({ load: file });
  rmSync(file);
  return { peer_cold_ms: cold, peer_file_ms: disk };
}
