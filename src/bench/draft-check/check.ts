/**
 * Whether a draft model fits its target, and if not, why: what its file says, how often it is right in
 * this engine, how often it was in training, and with which other rows it would be right.
 */
import { PacelineError, throwIfAborted } from '../../base/errors.js';
import type { OnProgress } from '../../base/progress.js';
import type { DrafterSource } from '../../decode/drafter.js';
import { loadModel } from '../../engine/load.js';
import type { Model } from '../../engine/model.js';
import { verifyPrompts } from '../../engine/verify/prompts.js';
import { type GgufFile, readGguf } from '../../gguf/reader.js';
import { dflashForm, dflashFormText, hasMtpBlock, isDflash } from '../../models/draft-kind.js';
import { continueText } from '../continue-text.js';
import { promptTokens, type TextPrompt } from '../text-prompts.js';
import { type Disguise, DraftMeter, metered } from './meter.js';
import { suspectsFor } from './suspects.js';

export interface DraftCheckOptions {
  /** Paths. */
  readonly model: string;
  readonly draft: string;
  /** Default: those of `verify`. */
  readonly prompts?: readonly TextPrompt[] | undefined;
  /** Tokens of each text. Default 64. */
  readonly tokens?: number;
  /** Default 0. */
  readonly temperatures?: readonly number[];
  readonly threads?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One thing that was looked at. */
export interface DraftFinding {
  readonly name:
    | 'form'
    | 'tensors'
    | 'vocabulary'
    | 'template'
    | 'taps'
    | 'rows'
    | 'acceptance'
    | 'cause';
  /** `wrong` makes drafts useless or needs mending; `doubtful` may explain bad ones. */
  readonly state: 'right' | 'doubtful' | 'wrong';
  readonly finding: string;
  readonly hint?: string;
}

export interface DraftCheckReport {
  readonly kind: 'mtp' | 'dflash';
  readonly findings: readonly DraftFinding[];
  /** Share of right guesses by position, given that those before were right; measured here. */
  readonly acceptance: readonly number[];
  /** Guesses that were right in a row, on average. */
  readonly rightInARow: number;
  /** What training saw on held-out text, if the file says so. */
  readonly trained: readonly number[] | undefined;
  /** The same with other rows than the drafter asks for. */
  readonly tried: readonly { readonly name: string; readonly rightInARow: number }[];
  /** No finding is `wrong`. */
  readonly fits: boolean;
}

/** Guesses below this share at the first position are worth looking for a cause. */
const lowFirst = 0.4;
/** Measured against trained at the first position. */
const muchLess = 0.75;
/** How much better other rows must be, to be what it was trained on. */
const muchBetter = 1.3;

/**
 * Checks a draft model.
 * @throws {PacelineError} as `loadModel`; `usage` for a file that holds no drafter.
 */
export async function checkDraft(options: DraftCheckOptions): Promise<DraftCheckReport> {
  const { signal, onProgress, threads } = options;
  await using target = await readGguf(options.model, { signal });
  await using draft = await readGguf(options.draft, { signal });
  const kind = kindOf(draft, options.draft);
  const findings: DraftFinding[] = [vocabulary(target, draft), template(target, draft)].filter(
    (finding) => finding !== undefined,
  );
  await using model = await loadModel(options.model, {
    draftModels: [options.draft],
    ...(threads === undefined ? {} : { threads }),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  const source = model.runtime.drafterSources.findLast(({ name }) => name === kind);
  if (source === undefined) throw new PacelineError('internal', `No ${kind} was loaded`);
  findings.unshift({ name: 'tensors', state: 'right', finding: 'all there, in shapes that fit' });
  const { layerCount } = model.runtime.model.hyperparameters;
  if (kind === 'dflash') {
    const finding = dflashFormText(dflashForm(draft));
    findings.unshift({ name: 'form', state: 'right', finding });
    findings.push(taps(draft, layerCount));
  }

  const meter = await measure(model, source, options, 'measuring');
  const trained = draft.optionalNumberArray('paceline.draft.acceptance');
  findings.push(acceptance(meter, trained), ...rows(meter, draft, kind));
  const tried: { name: string; rightInARow: number }[] = [];
  for (const suspect of suspectsFor(source, layerCount)) {
    const other = await measure(model, source, options, suspect.name, suspect.disguise);
    tried.push({ name: suspect.name, rightInARow: other.rightInARow });
    if (other.rightInARow > muchBetter * meter.rightInARow + 0.05) {
      const { meaning: finding, hint } = suspect;
      findings.push({ name: 'cause', state: 'wrong', finding, hint });
    }
  }
  const low = findings.some(({ name, state }) => name === 'acceptance' && state !== 'right');
  if (low && !findings.some(({ name }) => name === 'cause')) findings.push(unknownCause(trained));
  return {
    kind,
    findings,
    acceptance: meter.acceptance,
    rightInARow: meter.rightInARow,
    trained,
    tried,
    fits: findings.every(({ state }) => state !== 'wrong'),
  };
}

function kindOf(draft: GgufFile, path: string): 'mtp' | 'dflash' {
  if (isDflash(draft)) return 'dflash';
  if (hasMtpBlock(draft)) return 'mtp';
  throw new PacelineError('usage', `${path} holds no drafter`, {
    hint: 'A draft model is a GGUF of architecture dflash, or one with nextn tensors.',
    details: { file: path },
  });
}

/** Guesses are token ids: a drafter of another vocabulary guesses noise. */
function vocabulary(target: GgufFile, draft: GgufFile): DraftFinding | undefined {
  const own = draft.optionalStringArray('tokenizer.ggml.tokens');
  const wanted = target.optionalStringArray('tokenizer.ggml.tokens');
  if (own === undefined || wanted === undefined) return undefined;
  const different = Math.abs(own.length - wanted.length) + differences(own, wanted);
  if (different === 0) {
    return { name: 'vocabulary', state: 'right', finding: `${own.length} tokens, all the same` };
  }
  return {
    name: 'vocabulary',
    state: different > own.length / 100 ? 'wrong' : 'doubtful',
    finding: `${different} of ${wanted.length} tokens of the target are others in the drafter`,
    hint: 'Take a drafter that was trained for this tokenizer.',
  };
}

function differences(a: readonly string[], b: readonly string[]): number {
  const common = Math.min(a.length, b.length);
  let count = 0;
  for (let at = 0; at < common; at++) if (a[at] !== b[at]) count++;
  return count;
}

function template(target: GgufFile, draft: GgufFile): DraftFinding | undefined {
  const key = 'tokenizer.chat_template';
  const [own, wanted] = [draft.optionalString(key), target.optionalString(key)];
  if (own === undefined || wanted === undefined) return undefined;
  return own === wanted
    ? { name: 'template', state: 'right', finding: 'the same chat template' }
    : {
        name: 'template',
        state: 'doubtful',
        finding: 'the drafter was trained with another chat template',
        hint: 'Answers begin and end in another way than it learnt; the rest is not touched.',
      };
}

function taps(draft: GgufFile, layers: number): DraftFinding {
  const { taps: own } = dflashForm(draft);
  const late = own.filter((tap) => tap >= layers - 1).length;
  return late === own.length && own.length > 1
    ? {
        name: 'taps',
        state: 'doubtful',
        finding: `all taps are among the last layers: ${own.join(', ')} of ${layers}`,
        hint: 'Rows of the middle tell more; the usual choice is evenly spread.',
      }
    : { name: 'taps', state: 'right', finding: `inputs of layers ${own.join(', ')} of ${layers}` };
}

function acceptance(meter: DraftMeter, trained: readonly number[] | undefined): DraftFinding {
  const [first = 0] = meter.acceptance;
  const percent = (share: number) => `${Math.round(share * 100)}%`;
  const finding = `${percent(first)} of first guesses right, ${meter.rightInARow.toFixed(2)} in a row`;
  const [was] = trained ?? [];
  if (was !== undefined && first < muchLess * was) {
    const hint = 'Training counted on text of its own; other prompts may be harder.';
    return {
      name: 'acceptance',
      state: 'doubtful',
      finding: `${finding}; training saw ${percent(was)}`,
      hint,
    };
  }
  const low = first < (was === undefined ? lowFirst : Math.min(lowFirst, muchLess * was));
  return { name: 'acceptance', state: low ? 'doubtful' : 'right', finding };
}

/** Rows of another size come from another place, another norm, or another target. */
function rows(meter: DraftMeter, draft: GgufFile, kind: 'mtp' | 'dflash'): DraftFinding[] {
  const hidden = draft.optionalNumber('paceline.draft.hidden_rms');
  const all = draft.optionalNumberArray('paceline.draft.tap_rms') ?? [];
  const mean = Math.sqrt(all.reduce((sum, size) => sum + size * size, 0) / all.length);
  const was = kind === 'mtp' ? hidden : all.length === 0 ? undefined : mean;
  const is = meter.rootMeanSquare;
  if (was === undefined || is === undefined || !(was > 0)) return [];
  const ratio = is / was;
  const same = ratio > 0.7 && ratio < 1.4;
  return [
    {
      name: 'rows',
      state: same ? 'right' : 'doubtful',
      finding: `rows of size ${is.toPrecision(3)}, in training ${was.toPrecision(3)}`,
      ...(same
        ? {}
        : { hint: 'It may have been trained for another model, or one quantised otherwise.' }),
    },
  ];
}

function unknownCause(trained: readonly number[] | undefined): DraftFinding {
  const hint =
    trained === undefined
      ? 'Compare with what its authors measured; it may have been trained too little, or for other text.'
      : 'Give --prompts like those of its training; train longer where even those are guessed badly.';
  const finding = 'not found: with other rows it is no better';
  return { name: 'cause', state: 'doubtful', finding, hint };
}

async function measure(
  model: Model,
  source: DrafterSource,
  options: DraftCheckOptions,
  task: string,
  disguise?: Disguise,
): Promise<DraftMeter> {
  const { tokens = 64, temperatures = [0], signal, onProgress } = options;
  const prompts = options.prompts ?? verifyPrompts.map((text) => ({ text }));
  const meter = new DraftMeter();
  const total = prompts.length * temperatures.length;
  for (const [at, prompt] of prompts.entries()) {
    for (const [turn, temperature] of temperatures.entries()) {
      throwIfAborted(signal);
      const done = at * temperatures.length + turn;
      onProgress?.({ task, done, total, unit: 'steps' });
      await continueText(model, promptTokens(model, prompt), {
        sources: [metered(source, meter, disguise)],
        mode: source.name,
        tokens,
        temperature,
        seed: at,
        mayEnd: true,
        signal,
      });
    }
  }
  return meter;
}
