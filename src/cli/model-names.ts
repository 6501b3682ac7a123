/**
 * From a model's name on the command line to its file, for every command that takes one. A model of the
 * hub that is not here is pulled where the command may do that: after a question on a terminal, or with
 * `--yes`. The hub's code is loaded only for names that need it.
 */
import { existsSync } from 'node:fs';
import { PacelineError } from '../base/errors.js';
import type { FoundModel, MissingModel } from '../hub/locate.js';
import { parseModelName } from '../hub/names.js';
import type { PlannedModel, PullPlan } from '../hub/plan.js';
import type { PullOptions } from '../hub/pull.js';
import { askYesNo, canAsk } from './ask.js';
import { programName } from './help.js';
import { note } from './output.js';
import type { ProgressBar } from './progress-bar.js';
import { bytes, printable } from './table.js';

/** What the names of models look like, for `--help`. */
export const modelArgument =
  'a path, `default`, a name from `paceline ls`, or hf:owner/repo[:quant or file]';

export interface ResolveOptions {
  /** Whether the command may pull: `ask` on a terminal, `yes` without a question; default: neither. */
  readonly pull?: 'ask' | 'yes' | undefined;
  /** False: remembered drafters are not wanted. */
  readonly drafters?: boolean | undefined;
  /** Whether this is a use of the model, to be remembered; default: yes. */
  readonly touch?: boolean | undefined;
  readonly bar?: ProgressBar | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Drafters of kinds that this version has. */
const usableKinds = ['mtp', 'assistant', 'dspark', 'dflash'];

/**
 * The file that a name means, with the drafters that are remembered of it.
 * @throws {PacelineError} `model-not-found` with the command that pulls it; what pulling throws.
 */
export async function resolveModel(
  model: string,
  options: ResolveOptions = {},
): Promise<Pick<FoundModel, 'path' | 'drafters'>> {
  if (model.trim() === '') {
    throw new PacelineError('usage', 'The name of the model is empty', {
      hint: `Give ${modelArgument}.`,
    });
  }
  const { kind } = parseModelName(model);
  const { locateModel, touchModel } = await import('../hub/locate.js');
  if (kind === 'default' || kind === 'path') {
    const found = await locateModel(model, {
      environment: { cache: '' },
      settings: { aliases: {}, drafters: {} },
    });
    if (!('path' in found)) throw missing(model, found);
    if (!existsSync(found.path)) {
      if (looksLikeText(model)) throw textAsModel(model);
      if (looksLikeRepository(model)) throw repositoryAsPath(model);
    }
    return found;
  }
  const { hubEnvironment } = await import('../hub/environment.js');
  const { readSettings } = await import('../hub/settings.js');
  const environment = hubEnvironment();
  const locate = async (): Promise<FoundModel | MissingModel> =>
    locateModel(model, { environment, settings: await readSettings() });
  let found = await locate();
  if ('path' in found && kind === 'alias' && !existsSync(found.path)) throw unknown(model);
  if (!('path' in found)) {
    const yes = options.pull === 'yes';
    if (!yes && !(options.pull === 'ask' && canAsk())) throw missing(model, found);
    const { pullModel } = await import('../hub/pull.js');
    await pullModel(model, {
      environment,
      ...pullHooks(options.bar, options.signal),
      accept: (plan) => acceptOnDemand(plan, yes, options.bar),
    });
    options.bar?.clear();
    found = await locate();
    if (!('path' in found)) throw missing(model, found);
  }
  if (options.touch !== false) {
    for (const path of [found.path, ...found.drafters]) await touchModel(path);
  }
  return options.drafters === false ? { path: found.path, drafters: [] } : found;
}

/** Whether somebody may have meant a prompt: words with spaces between them, and no file. */
function looksLikeText(model: string): boolean {
  return /\s/.test(model) && !/\.gguf$/i.test(model);
}

/** Whether somebody may have left out `hf:`. */
function looksLikeRepository(model: string): boolean {
  return /^[\w.-]*\w\/[\w.-]+$/.test(model) && !/\.gguf$/i.test(model);
}

function repositoryAsPath(model: string): PacelineError {
  return new PacelineError('model-not-found', `There is no file ${model}`, {
    hint: `If that is a repository of Hugging Face, write hf:${model}; a path is read from the current folder.`,
    details: { model },
  });
}

function textAsModel(text: string): PacelineError {
  const shown = printable(text.length > 60 ? `${text.slice(0, 60)}…` : text);
  const quoted = `"${shown.replace(/["\\$`]/g, '\\$&')}"`;
  return new PacelineError('model-not-found', `There is no model and no file called ${quoted}`, {
    hint: `If that is the prompt, name a model before it: \`${programName()} run default ${quoted}\`.`,
    details: { model: text },
  });
}

function unknown(model: string): PacelineError {
  return new PacelineError('model-not-found', `There is no model and no file called ${model}`, {
    hint: `\`paceline ls\` lists the models that are here; \`paceline pull hf:owner/repo --name ${model}\` gets one.`,
    details: { model },
  });
}

function missing(model: string, { text }: MissingModel): PacelineError {
  return new PacelineError('model-not-found', `${printable(model)} is not on this machine`, {
    hint: `Get it with \`paceline pull ${text}\`.`,
    details: { model: text },
  });
}

/** What a pull reports to: the bar, and notes that do not tear it. */
export function pullHooks(
  bar: ProgressBar | undefined,
  signal: AbortSignal | undefined,
): Pick<PullOptions, 'onProgress' | 'onNote' | 'signal'> {
  return {
    signal,
    onProgress: bar?.onProgress,
    onNote: (text) => {
      bar?.clear();
      note(printable(text));
    },
  };
}

/** One line about a model that could be pulled. */
export function planLine({ name, bytes: size, missingBytes, parts, why }: PlannedModel): string {
  const left =
    missingBytes === size
      ? ''
      : missingBytes === 0
        ? ', all here'
        : `, ${bytes(missingBytes)} to go`;
  const split = parts > 1 ? ` in ${parts} parts` : '';
  return `${printable(name)}: ${bytes(size)}${split}${left}${why === undefined ? '' : ` (${why})`}`;
}

/** Asks whether to take the drafters that a plan offers. */
export async function askForDrafters({ offered }: PullPlan): Promise<readonly PlannedModel[]> {
  if (offered.length === 0) return [];
  for (const drafter of offered) note(`drafter (${drafter.drafter}): ${planLine(drafter)}`);
  const usable = usableDrafters(offered);
  if (usable.length === 0) note('This version has no drafters of these kinds.');
  const question = `Pull ${offered.length === 1 ? 'the drafter' : 'the drafters'} too? Text stays the same and may come faster.`;
  const yes = await askYesNo(question, usable.length > 0);
  return yes ? (usable.length > 0 ? usable : offered) : [];
}

/** Those of kinds that this version has; of DSpark and DFlash, which are of one family, DSpark. */
export function usableDrafters(offered: readonly PlannedModel[]): readonly PlannedModel[] {
  const dspark = offered.some(({ drafter }) => drafter === 'dspark');
  return offered.filter(
    ({ drafter }) => usableKinds.includes(drafter ?? '') && !(dspark && drafter === 'dflash'),
  );
}

async function acceptOnDemand(
  plan: PullPlan,
  yes: boolean,
  bar: ProgressBar | undefined,
): Promise<readonly PlannedModel[]> {
  bar?.clear();
  note(planLine(plan.model));
  if (yes) return usableDrafters(plan.offered);
  if (!(await askYesNo('It is not here. Pull it now?', true))) {
    throw new PacelineError('model-not-found', `${printable(plan.model.name)} was not pulled`, {
      hint: `Get it later with \`paceline pull ${plan.model.name}\`.`,
      details: { model: plan.model.name },
    });
  }
  return askForDrafters(plan);
}
