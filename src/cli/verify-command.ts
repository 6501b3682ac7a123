/** Runs `paceline verify` and reports what it found, for a person or as JSON. */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { basename } from 'node:path';
import { errorCodes } from '../base/errors.js';
import { packageVersion } from '../base/package-version.js';
import { loadModel } from '../engine/load.js';
import { draftFilesOf } from '../engine/model-path.js';
import type { DraftKind, KvType, ModelInfo } from '../engine/types.js';
import { verifyPrompts } from '../engine/verify/prompts.js';
import {
  type NearTies,
  type VerifyDifference,
  type VerifyFlip,
  type VerifyOutcome,
  verifyModel,
} from '../engine/verify/verify.js';
import { ggmlVersion } from '../ggml/library.js';
import { type DeviceFlags, deviceOptions } from './generation-flags.js';
import { catchInterrupt } from './interrupt.js';
import { resolveModel } from './model-names.js';
import { bold, print, printJson, snakeKeys } from './output.js';
import { ProgressBar } from './progress-bar.js';
import { bytes, printable, table } from './table.js';

/** Values of the flags of `verify`. */
export interface VerifyFlags extends DeviceFlags {
  readonly gen: number;
  readonly temps: readonly number[];
  readonly seeds: readonly number[];
  readonly threads?: readonly number[];
  readonly chunks: readonly number[];
  readonly draft?: readonly DraftKind[];
  readonly draftModel?: readonly string[];
  readonly prompts?: number;
  readonly prompt?: readonly string[];
  readonly tokensOnly?: boolean;
  readonly tolerance?: number;
  readonly kv?: KvType;
  readonly json?: boolean;
}

interface HashedFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What somebody else needs to know to repeat the check. */
interface Circumstances {
  readonly model: HashedFile & {
    readonly name: string | undefined;
    readonly architecture: string;
  };
  readonly draft_models: readonly HashedFile[];
  readonly machine: {
    readonly cpu: string | undefined;
    readonly cores: number;
    readonly memory_bytes: number;
    readonly platform: string;
  };
  readonly versions: { readonly paceline: string; readonly ggml: string; readonly node: string };
  readonly kernels: string;
  /** What was chosen to compute on; missing where there was nothing to choose from. */
  readonly device?: string;
  readonly kv_type: string;
  readonly settings: {
    readonly tokens_each: number;
    readonly temperatures: readonly number[];
    readonly seeds: readonly number[];
    readonly threads: readonly number[];
    readonly prefill_chunks: readonly number[];
  };
}

/** Runs the command. Sets the exit code 7 when something differs. */
export async function verifyCommand(model: string, flags: VerifyFlags): Promise<void> {
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  const { signal } = interrupt;
  try {
    const { path, drafters } = await resolveModel(model);
    const known = drafters.length > 0 ? drafters : undefined;
    const draftModels = draftFilesOf(path, flags.draftModel ?? known);
    const prompts = flags.prompt ?? verifyPrompts.slice(0, flags.prompts ?? verifyPrompts.length);
    let info: ModelInfo | undefined;
    let threads = flags.threads;
    const open = async (count: number | undefined) => {
      const loaded = await loadModel(path, {
        contextLength: 1024 + flags.gen,
        draftModels,
        ...(count === undefined ? {} : { threads: count }),
        ...(flags.kv === undefined ? {} : { kvType: flags.kv }),
        ...deviceOptions(flags),
        onProgress: bar.onProgress,
        signal,
      });
      info ??= loaded.info;
      return loaded;
    };
    if (threads === undefined) {
      await using first = await open(undefined);
      const { threads: usual } = first.info;
      threads = usual > 1 ? [usual, 1] : [1];
    }
    const outcome = await verifyModel({
      open,
      prompts,
      temperatures: flags.temps,
      seeds: flags.seeds,
      maxTokens: flags.gen,
      threads,
      chunks: flags.chunks,
      drafts: flags.draft,
      tokensOnly: flags.tokensOnly === true,
      tolerance: flags.tolerance,
      exact: flags.exact,
      onProgress: bar.onProgress,
      signal,
    });
    bar.clear();
    const circumstances = await describe({ path, draftModels, info, flags, threads });
    if (flags.json === true)
      await printJson({
        ...(snakeKeys(outcome) as Record<string, unknown>),
        ...circumstances,
      });
    else await print(renderVerify(outcome, circumstances));
    if (!outcome.passed) process.exitCode = errorCodes['check-failed'].exit;
  } finally {
    bar.clear();
    interrupt.release();
  }
}

async function describe(check: {
  readonly path: string;
  readonly draftModels: readonly string[];
  readonly info: ModelInfo | undefined;
  readonly flags: VerifyFlags;
  readonly threads: readonly number[];
}): Promise<Circumstances> {
  const { path, draftModels, info, flags, threads } = check;
  const processors = cpus();
  return {
    model: {
      ...(await hashed(path)),
      name: info?.name,
      architecture: info?.architecture ?? '',
    },
    draft_models: await Promise.all(draftModels.map(hashed)),
    machine: {
      cpu: processors[0]?.model,
      cores: processors.length,
      memory_bytes: totalmem(),
      platform: `${process.platform}-${process.arch}`,
    },
    versions: { paceline: packageVersion(), ggml: ggmlVersion, node: process.versions.node },
    kernels: info?.kernels ?? '',
    ...(info?.device === undefined ? {} : { device: info.device }),
    kv_type: info?.kvType ?? '',
    settings: {
      tokens_each: flags.gen,
      temperatures: flags.temps,
      seeds: flags.seeds,
      threads,
      prefill_chunks: flags.chunks,
    },
  };
}

async function hashed(path: string): Promise<HashedFile> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return { path, bytes: statSync(path).size, sha256: hash.digest('hex') };
}

/** The report as a person posts it. */
function renderVerify(outcome: VerifyOutcome, about: Circumstances): string {
  const { model, machine, versions, settings } = about;
  const facts = table([
    [
      'model',
      `${printable(model.name ?? model.path)}, ${model.architecture}, ${bytes(model.bytes)}`,
    ],
    ['sha256', model.sha256],
    ...about.draft_models.map(({ path, sha256 }) => [
      'drafter',
      `${printable(basename(path))}, ${sha256}`,
    ]),
    ['machine', `${machine.cpu ?? 'unknown CPU'}, ${machine.cores} cores, ${machine.platform}`],
    ['kernels', about.kernels],
    ...(about.device === undefined ? [] : [['device', about.device]]),
    ['KV cache', about.kv_type],
    ['versions', `paceline ${versions.paceline}, ggml ${versions.ggml}, node ${versions.node}`],
    [
      'texts',
      `${outcome.texts} of ${settings.tokens_each} tokens, temperatures ` +
        `${settings.temperatures.join(', ')}, seeds ${settings.seeds.join(', ')}`,
    ],
  ]);
  const rows = outcome.variations.map((row) => [
    row.variation,
    `${row.texts}`,
    `${row.rows}`,
    row.drafted > 0 ? `${row.accepted}/${row.drafted}` : '',
    ...(row.flips === undefined
      ? []
      : [`${row.differingRows}`, (row.largestDifference ?? 0).toExponential(1), `${row.flips}`]),
    row.differences > 0
      ? `${row.differences} differ`
      : row.differingRows
        ? 'within tolerance'
        : 'identical',
  ]);
  const closely = outcome.nearTies === undefined ? [] : ['rows differ', 'by at most', 'flips'];
  const header = ['varied', 'texts', 'rows of logits', 'accepted', ...closely, 'result'];
  const verdict = outcome.identical
    ? `identical: ${outcome.rows} rows of logits, to the byte\n`
    : outcome.passed && outcome.nearTies !== undefined
      ? nearTiesVerdict(outcome.nearTies)
      : `different: see below\n`;
  const differences = outcome.differences.map(renderDifference).join('');
  const flips = outcome.nearTies?.list.map(renderFlip).join('') ?? '';
  return `${facts}\n${table(rows, header)}\n${bold(verdict)}${differences}${flips}`;
}

function nearTiesVerdict({ tolerance, rows, differingRows, flips, ...rest }: NearTies): string {
  const share = ((100 * differingRows) / Math.max(1, rows)).toFixed(1);
  return (
    `within ${tolerance}: ${differingRows} of ${rows} rows of logits (${share}%) depend on what else ` +
    `was computed, by at most ${rest.largestDifference.toExponential(2)}; ${flips} texts flipped\n`
  );
}

function renderFlip(flip: VerifyFlip): string {
  const side = ({ token, gap, top }: VerifyFlip['expected']) =>
    `token ${token}, top two ${gap.toExponential(2)} apart ` +
    `(${top.map(({ token: id, logit }) => `${id}: ${logit}`).join(', ')})`;
  return (
    `\n${flip.variation}, temperature ${flip.temperature}, seed ${flip.seed}, ` +
    `prompt ${JSON.stringify(flip.prompt.slice(0, 60))}\n` +
    `  flipped at position ${flip.position}, where logits differ by ` +
    `${flip.difference.toExponential(2)}\n` +
    `  expected ${side(flip.expected)}\n  found    ${side(flip.found)}\n`
  );
}

function renderDifference(d: VerifyDifference): string {
  const side = ({ token, top }: VerifyDifference['expected']) =>
    `token ${token}, logits ${top.map(({ token: id, logit }) => `${id}: ${logit}`).join(', ')}`;
  return (
    `\n${d.variation}, temperature ${d.temperature}, seed ${d.seed}, ` +
    `prompt ${JSON.stringify(d.prompt.slice(0, 60))}\n` +
    `  first difference (${d.kind}) at position ${d.position}\n` +
    `  expected ${side(d.expected)}\n  found    ${side(d.found)}\n`
  );
}
