/** What layers that fold what they have seen need of the kernels and of the sequences' states. */
import { PacelineError } from '../base/errors.js';
import { type NativeKernels, nativeKernels } from '../ggml/native/library.js';
import type { RecurrentSlice } from '../ggml/native/recurrent-slices.js';
import type { ForwardBatch, RecurrentTensors, SequenceTensors } from './model.js';

/**
 * @throws {PacelineError} `platform` without the native kernels: ggml's operations do not give a row
 *   the same bytes in every batch, and cannot undo rows.
 */
export function requireRecurrentKernels(): NativeKernels {
  return requireKernels('Recurrent layers');
}

/** @throws {PacelineError} `platform` without the native kernels, which `what` needs. */
export function requireKernels(what: string): NativeKernels {
  const { kernels, reason } = nativeKernels();
  if (kernels !== undefined) return kernels;
  throw new PacelineError('platform', `${what} need the native kernels: ${reason}`, {
    hint: 'Build them (npm run setup), or take a model that has plain attention in all layers.',
  });
}

/** What the kernels are told of a layer's states in each sequence of a batch. */
export function foldedSlices(batch: ForwardBatch, layer: number): readonly RecurrentSlice[] {
  return batch.sequences.map((sequence) => ({
    start: sequence.start,
    count: sequence.count,
    // Whoever computes the graph again may have put another sequence here.
    get from() {
      return foldedState(sequence.state, layer).from;
    },
    get to() {
      return foldedState(sequence.state, layer).to;
    },
    get logged() {
      return foldedState(sequence.state, layer).logged;
    },
  }));
}

/** A layer's folded state. @throws {PacelineError} `internal` where there is none. */
export function foldedState(state: SequenceTensors, layer: number): RecurrentTensors {
  const found = state.recurrent?.(layer);
  if (found !== undefined) return found;
  throw new PacelineError('internal', `A state has nothing folded for layer ${layer}`);
}
