/** What `paceline imatrix` does: reads a text or another file's matrix, and writes one. */
import { extname } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { collectImportance } from '../convert/imatrix.js';
import {
  type ImportanceMatrix,
  readImportance,
  writeImportance,
  writeOldImportance,
} from '../convert/imatrix-file.js';
import { readTextFile } from './input.js';
import { catchInterrupt } from './interrupt.js';
import { resolveModel } from './model-names.js';
import { print, printJson } from './output.js';
import { ProgressBar } from './progress-bar.js';

/** Values of the flags of `imatrix`. */
export interface ImatrixFlags {
  readonly text?: string;
  readonly output: string;
  readonly convert?: string;
  readonly ctx: number;
  readonly chunks?: number;
  readonly processOutput?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Runs the command. @throws {PacelineError} as `collectImportance` and `readImportance`. */
export async function imatrixCommand(
  model: string | undefined,
  flags: ImatrixFlags,
): Promise<void> {
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  const { output } = flags;
  try {
    const matrix = await make(model, flags, interrupt.signal, bar);
    const write = extname(output) === '.dat' ? writeOldImportance : writeImportance;
    await write(output, matrix, { signal: interrupt.signal });
    bar.clear();
    const { entries, chunkCount: chunks, chunkSize: chunk_size, datasets } = matrix;
    if (flags.json === true) {
      await printJson({ output, tensors: entries.size, chunks, chunk_size, datasets });
    } else {
      await print(`${entries.size} tensors, ${chunks} chunks\n${output}\n`);
    }
  } finally {
    bar.clear();
    interrupt.release();
  }
}

async function make(
  model: string | undefined,
  flags: ImatrixFlags,
  signal: AbortSignal,
  { onProgress }: ProgressBar,
): Promise<ImportanceMatrix> {
  const { text, convert, ctx, chunks, processOutput, threads } = flags;
  if (convert !== undefined) {
    if (model !== undefined || text !== undefined) {
      throw new PacelineError('usage', '--convert takes neither a model nor a text', {
        hint: 'paceline imatrix --convert imatrix.dat --output imatrix.gguf',
      });
    }
    return readImportance(convert, { signal });
  }
  if (model === undefined || text === undefined) {
    throw new PacelineError('usage', 'A model and --text are needed', {
      hint: 'paceline imatrix model.gguf --text calibration.txt',
    });
  }
  return collectImportance({
    model: (await resolveModel(model)).path,
    text: readTextFile(text),
    dataset: text,
    contextLength: ctx,
    ...(chunks === undefined ? {} : { chunks }),
    ...(threads === undefined ? {} : { threads }),
    processOutput: processOutput === true,
    onProgress,
    signal,
  });
}
