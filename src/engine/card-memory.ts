/** What to do when a card has less memory than its driver said when the model was planned. */
import { PacelineError } from '../base/errors.js';
import { planModel } from '../models/load.js';
import type { Placement } from '../models/placement.js';
import type { PreparedLoad } from './load-plan.js';
import type { LoadOptions } from './types.js';

/** Whether a card had no memory, which its name in the details tells (`Accelerator.outOfMemory`). */
function isOfCard(error: unknown): error is PacelineError {
  return (
    PacelineError.is(error) && error.code === 'memory' && typeof error.details?.device === 'string'
  );
}

/**
 * The error of a load that a card had no memory for, with how many layers would fit into what is free
 * there now that the load's own memory has been given back; other errors as they are.
 */
export function sayWhatFits(error: unknown, prepared: PreparedLoad | undefined): unknown {
  if (prepared === undefined || !isOfCard(error)) return error;
  const { source, plan, contextLength } = prepared;
  const { placement: wish } = plan;
  if (wish === undefined) return error;
  let where: Placement;
  try {
    const placement = { ...wish, layers: undefined };
    ({ placement: where } = planModel(source, { ...plan, placement, contextLength }));
  } catch {
    return error; // the host has none either
  }
  const fits = where.cards.reduce((sum, { layers }) => sum + layers, 0);
  const enough = fits >= (wish.layers ?? where.layerCount);
  const hint =
    fits === 0
      ? 'Not one layer would fit: use a smaller --ctx, or --device cpu.'
      : enough
        ? `The driver says that there is room for ${fits} layers: ask for fewer (--gpu-layers), or use --device cpu.`
        : `${fits} layers would fit (--gpu-layers ${fits}); a smaller --ctx makes room for more.`;
  return new PacelineError('memory', error.message, {
    ...{ hint, cause: error },
    details: { ...error.details, fits },
  });
}

/**
 * Why a model is loaded once more for the CPU alone; undefined: it is not, since the error is none of a
 * card's, or somebody asked for this card.
 */
export function onCpuInstead(
  error: unknown,
  { device = 'auto', gpuLayers = 'auto' }: Pick<LoadOptions, 'device' | 'gpuLayers'>,
): string | undefined {
  if (device !== 'auto' || gpuLayers !== 'auto' || !isOfCard(error)) return undefined;
  return `computing on the CPU: ${error.message}`;
}
