/** What drafters are worth on a model's answers, which end where the model ends them. */
import { basename } from 'node:path';
import { peerRunner } from '../../src/bench/bench.js';
import { measureDrafts, withEnds } from '../../src/bench/drafts.js';
import { PeerProcess } from '../../src/bench/peer.js';
import { type BenchRow, ratiosOf } from '../../src/bench/report.js';
import type { BenchText } from '../../src/bench/texts.js';
import { type DraftKind, loadModel, type Model } from '../../src/index.js';

export interface DraftersOptions {
  readonly path: string;
  /** A file with a drafter, in addition to n-grams. */
  readonly drafter?: string;
  readonly texts: (model: Model) => readonly BenchText[];
  readonly temperatures: readonly number[];
  /** The most tokens of an answer. */
  readonly tokens: number;
  readonly rounds: number;
  readonly threads: number;
  /** The entry of the peer's package, if it is to be measured. */
  readonly peer?: string | undefined;
  readonly onStep: (what: string) => void;
}

const contextLength = 1024;
const trained: readonly DraftKind[] = ['mtp', 'dflash'];

/**
 * Rows and ratios for each temperature. `tokens_per_step` of a row is the accepted length: drafted tokens
 * that a pass accepts, and the one that it adds.
 */
export async function compareDrafters(options: DraftersOptions) {
  const { path, drafter, threads, temperatures, rounds, tokens: generate, onStep } = options;
  const draftModels = drafter === undefined ? [] : [drafter];
  await using model = await loadModel(path, { contextLength, threads, draftModels });
  const own = model.runtime.drafterSources.map(({ name }) => name);
  const found = trained.filter((kind) => own.includes(kind));
  const kinds: DraftKind[] = [
    'none',
    ...(drafter === undefined ? ['ngram' as const] : found),
    'auto',
  ];
  await using peer =
    options.peer === undefined
      ? undefined
      : await PeerProcess.start({
          ...{ entry: options.peer, model: path, threads, context: contextLength },
        });
  const results: object[] = [];
  for (const temperature of temperatures) {
    const settings = { generate, temperature };
    const texts: BenchText[] = [];
    for (const text of options.texts(model)) {
      onStep(`${text.name} at ${temperature}: answers`);
      texts.push(await withEnds(model, text, settings));
    }
    const rows: BenchRow[] = [];
    const benched = measureDrafts(model, {
      ...{ kinds, texts, rounds, ...settings },
      peer: peer && peerRunner(peer),
      onRound: (done, total) => onStep(`at ${temperature}: round ${done + 1} of ${total}`),
    });
    for await (const some of benched) rows.push(...some);
    results.push({ temperature, rows, ratios: ratiosOf(rows) });
  }
  return {
    ...(drafter === undefined ? {} : { drafter: basename(drafter) }),
    kernels: model.info.kernels,
    kv_type: model.info.kvType,
    results,
  };
}
