/** What `paceline experts` does. */
import { basename } from 'node:path';
import { writeFileAtomically } from '../base/files.js';
import { type QualityTable, qualityTable } from '../bench/experts/quality.js';
import { ExpertSelector, type Keep } from '../bench/experts/select.js';
import { compareUses, type ExpertStatistics } from '../bench/experts/statistics.js';
import { usePage } from '../bench/experts/use-page.js';
import { checkOutput } from '../convert/output.js';
import { pruneModel } from '../convert/prune.js';
import { writeSubset } from '../models/expert-subset.js';
import type { SelectionMethod } from '../models/selection-methods.js';
import { heatMap } from './heat-map.js';
import { readTextFile } from './input.js';
import { catchInterrupt } from './interrupt.js';
import { resolveModel } from './model-names.js';
import { print, printJson, snakeKeys } from './output.js';
import { ProgressBar } from './progress-bar.js';
import { bytes, table } from './table.js';

interface ReadingFlags {
  readonly ctx: number;
  readonly passages?: number;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Values of the flags of `experts stat`. */
export interface StatFlags extends ReadingFlags {
  readonly text: readonly string[];
  readonly html?: string;
  readonly force?: boolean;
}

/** Values of the flags of `experts select`. */
export interface SelectFlags extends ReadingFlags {
  readonly text: string;
  readonly keep: Keep;
  readonly method: SelectionMethod;
  readonly uneven?: boolean;
  readonly seed: number;
  readonly output: string;
  readonly force?: boolean;
}

/** Values of the flags of `experts table`. */
export interface TableFlags extends ReadingFlags {
  readonly text: string;
  readonly heldOut: string;
  readonly keep: readonly Keep[];
  readonly methods: readonly SelectionMethod[];
  readonly uneven?: boolean;
  readonly seed: number;
}

/** Values of the flags of `experts prune`. */
export interface PruneFlags {
  readonly experts: string;
  readonly output: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Runs `work` with a progress bar and Ctrl-C. */
async function working<T>(
  work: (how: Pick<Parameters<typeof qualityTable>[0], 'onProgress' | 'signal'>) => Promise<T>,
): Promise<T> {
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  try {
    return await work({ onProgress: bar.onProgress, signal: interrupt.signal });
  } finally {
    bar.clear();
    interrupt.release();
  }
}

const reading = ({ ctx, passages, threads }: ReadingFlags) => ({
  ...{ contextLength: ctx, passages, threads },
});

/** Runs `experts stat`. @throws {PacelineError} as `ExpertSelector`. */
export async function statCommand(model: string, flags: StatFlags): Promise<void> {
  if (flags.html !== undefined) checkOutput(flags.html, { replace: flags.force });
  const { path } = await resolveModel(model);
  const texts: ExpertStatistics[] = await working(async (how) => {
    const found: ExpertStatistics[] = [];
    for (const file of flags.text) {
      const options = { model: path, text: readTextFile(file), ...reading(flags), ...how };
      using selector = await ExpertSelector.open(options);
      found.push({ name: basename(file), ...(await selector.statistics()) });
    }
    return found;
  });
  const likeness = compareUses(texts);
  if (flags.html !== undefined) {
    const page = new TextEncoder().encode(usePage({ model: basename(path), texts, likeness }));
    await writeFileAtomically(flags.html, (sink) => sink.write(page));
  }
  if (flags.json === true) {
    await printJson({
      model: path,
      texts: texts.map(({ name, tokens, layers }) => ({
        ...{ name, tokens },
        layers: layers.map(({ layer, experts, used, byToken, mass, chosen, easyEp }) => ({
          ...{ layer, experts, used, by_token: byToken },
          ...{ mass: [...mass], chosen: [...chosen], easy_ep: [...easyEp] },
        })),
      })),
      likeness: snakeKeys(likeness),
    });
    return;
  }
  for (const text of texts) await print(`${heatMap(text)}\n`);
  if (likeness.length > 0) {
    const rows = likeness.map(({ first, second, mean, layers }) => [
      ...[`${first}, ${second}`, mean.toFixed(3)],
      layers.map(({ cosine }) => cosine.toFixed(2)).join(' '),
    ]);
    await print(table(rows, ['how alike', 'mean', 'by layer']));
  }
}

/** Runs `experts select`. @throws {PacelineError} as `ExpertSelector`. */
export async function selectCommand(model: string, flags: SelectFlags): Promise<void> {
  const { keep, method, uneven, seed, output } = flags;
  checkOutput(output, { replace: flags.force });
  const { path } = await resolveModel(model);
  const { subset, whole } = await working(async (how) => {
    const options = { model: path, text: readTextFile(flags.text), ...reading(flags), ...how };
    using selector = await ExpertSelector.open(options);
    const byToken = selector.mixtures.filter((mixture) => mixture.byToken);
    const chosen = await selector.select({ keep, method, uneven, seed });
    return { subset: chosen, whole: new Set(byToken.map(({ layer }) => layer)) };
  });
  await writeSubset(output, subset);
  if (flags.json === true) return printJson({ output, ...snakeKeysOf(subset) });
  const row = (layer: number, count: number) => [
    ...[`layer ${layer}`, `${count} of ${subset.experts[layer]}`],
    whole.has(layer) ? 'tokens choose: all are kept' : '',
  ];
  const kept = subset.kept.flatMap((ids, layer) =>
    ids.length > 0 ? [row(layer, ids.length)] : [],
  );
  await print(`${table(kept)}${output}\n`);
}

const snakeKeysOf = (value: object) => snakeKeys(value) as Record<string, unknown>;

/** Runs `experts table`. @throws {PacelineError} as `qualityTable`. */
export async function tableCommand(model: string, flags: TableFlags): Promise<void> {
  const { keep, methods, uneven, seed } = flags;
  const { path } = await resolveModel(model);
  const result = await working((how) =>
    qualityTable({
      ...{ model: path, keeps: keep, methods, uneven, seed, ...reading(flags), ...how },
      text: readTextFile(flags.text),
      heldOut: readTextFile(flags.heldOut),
    }),
  );
  if (flags.json === true) await printJson(snakeKeys(result));
  else await print(qualityText(result));
}

/** The table for people. */
function qualityText({ rows, tokens, bytes: size }: QualityTable): string {
  const cells = rows.map((row) => [
    row.method,
    `${row.kept} of ${row.experts}`,
    row.natsPerToken.toFixed(4),
    row.method === 'full'
      ? ''
      : `${row.moreNatsPerToken < 0 ? '' : '+'}${row.moreNatsPerToken.toFixed(4)}`,
    row.natsPerByte.toFixed(4),
    row.tokensPerSecond.toFixed(0),
    bytes(row.weightBytes),
  ]);
  const header = [
    'method',
    'experts',
    'nats a token',
    'more',
    'nats a byte',
    'tokens/s',
    'weights',
  ];
  return `${table(cells, header)}${tokens} tokens of ${size} bytes\n`;
}

/** Runs `experts prune`. @throws {PacelineError} as `pruneModel`. */
export async function pruneCommand(model: string, flags: PruneFlags): Promise<void> {
  const { path } = await resolveModel(model);
  const { experts: subset, output, force } = flags;
  const result = await working((how) =>
    pruneModel({ model: path, subset, output, replace: force === true, ...how }),
  );
  if (flags.json === true) return printJson(snakeKeys(result));
  const { kept, experts, sourceBytes } = result;
  await print(
    `${output}: ${kept} of ${experts} experts, ${bytes(result.bytes)} of ${bytes(sourceBytes)}\n`,
  );
}
