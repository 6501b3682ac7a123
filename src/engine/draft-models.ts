/**
 * Finds and loads what can draft for a model: n-gram lookup always; a multi-token prediction block in
 * the model's own file; files that the caller names; and those that lie beside the embedded model.
 */
import { PacelineError } from '../base/errors.js';
import { assistantSource } from '../decode/assistant.js';
import { dflashSource } from '../decode/dflash.js';
import type { DrafterSource } from '../decode/drafter.js';
import { mtpSource } from '../decode/mtp.js';
import { ngramSource } from '../decode/ngram.js';
import type { DraftDevice } from '../decode/row-drafter.js';
import type { Accelerator } from '../ggml/accelerator.js';
import type { Backend } from '../ggml/backend.js';
import type { GgufFile } from '../gguf/reader.js';
import { loadDflashModel } from '../models/dflash.js';
import {
  dflashForm,
  hasMtpBlock,
  hasUsableMtpBlock,
  isAssistant,
  isDflash,
} from '../models/draft-kind.js';
import { loadAssistantModel } from '../models/gemma4-assistant.js';
import type { LanguageModel } from '../models/model.js';
import { loadMtpModel } from '../models/mtp.js';

/** A drafter's shared part with what frees its weights. */
export type LoadedDrafter = DrafterSource & Partial<Disposable>;

export interface DraftModelOptions {
  readonly target: LanguageModel;
  readonly backend: Backend;
  /** The card that they compute on; default: the CPU. */
  readonly place?: Accelerator | undefined;
  readonly contextLength: number;
  /** Positions that neural drafters look back on. */
  readonly window?: number | undefined;
  readonly selects?: DraftDevice['selects'];
  readonly signal?: AbortSignal | undefined;
}

/**
 * Loads all drafters of a model.
 * @param gguf the model's own file.
 * @param drafts files of draft models besides.
 * @throws {PacelineError} as reading and loading the files; `usage` for a file that is no drafter.
 */
export async function loadDrafters(
  gguf: GgufFile,
  drafts: readonly GgufFile[],
  options: DraftModelOptions,
): Promise<readonly LoadedDrafter[]> {
  const drafters: LoadedDrafter[] = [ngramSource()];
  try {
    if (hasUsableMtpBlock(gguf)) drafters.push(await loadMtp(gguf, options));
    for (const draft of drafts) drafters.push(await loadDraft(draft, options));
    return drafters;
  } catch (error) {
    for (const drafter of drafters) drafter[Symbol.dispose]?.();
    throw error;
  }
}

/** Loads the drafter of a file beside the model. */
async function loadDraft(draft: GgufFile, options: DraftModelOptions): Promise<LoadedDrafter> {
  if (isDflash(draft)) return loadDflash(draft, options);
  if (isAssistant(draft)) return loadAssistant(draft, options);
  if (hasMtpBlock(draft)) return loadMtp(draft, options);
  const [file] = draft.files;
  throw new PacelineError('usage', `${file} holds no drafter`, {
    hint: 'A draft model is a GGUF of architecture dflash or gemma4-assistant, or one with nextn tensors.',
    details: { file },
  });
}

async function loadAssistant(file: GgufFile, options: DraftModelOptions): Promise<LoadedDrafter> {
  const { target, backend, signal } = options;
  const model = await loadAssistantModel(file, target, { backend, signal });
  return assistantSource({ model, backend });
}

async function loadMtp(file: GgufFile, options: DraftModelOptions): Promise<LoadedDrafter> {
  const { target, backend, place, contextLength, window, selects, signal } = options;
  const model = await loadMtpModel(file, target, { backend, place, signal });
  return mtpSource({ model, backend, place, contextLength, window, selects });
}

async function loadDflash(file: GgufFile, options: DraftModelOptions): Promise<LoadedDrafter> {
  const { target, backend, contextLength, window, signal } = options;
  // Layers of several streams have kernels of the CPU alone.
  const { place, selects } = dflashForm(file).streams ? {} : options;
  const model = await loadDflashModel(file, target, { backend, place, signal });
  return dflashSource({ model, backend, place, contextLength, window, selects });
}
