/**
 * Refuses files that hold more than their architecture computes: another norm, sinks, a shared
 * expert or further layers would be left out in silence, and the text would be another model's.
 * What is known not to change the text is let through by name. Knows no architecture.
 */
import { PacelineError } from '../base/errors.js';
import { shown } from '../gguf/cursor.js';
import type { Metadata } from './metadata.js';
import type { WeightLoader } from './weights.js';

/** Names that the message lists before it counts. */
const listed = 4;

/**
 * Compares the tensors of a file with what a model declared of them.
 * @throws {PacelineError} `unsupported-architecture` naming the first tensors that nothing reads;
 *   `broken-file` when layers follow after `block_count`.
 */
export function refuseUnread(
  metadata: Metadata,
  tensors: ReadonlyMap<string, unknown>,
  loader: WeightLoader,
): void {
  const { known } = loader;
  const blocks = metadata.count('block_count');
  const trunk = metadata.trunkLayers;
  const unread: string[] = [];
  for (const name of tensors.keys()) {
    const block = blockOf(name);
    if (known.has(name) || isHarmless(name)) continue;
    if (block !== undefined && block >= blocks) {
      throw metadata.bad('block_count', `is ${blocks}, but there is a tensor ${shown(name)}`);
    }
    // Blocks behind the trunk are drafters, which check their own tensors.
    if (block === undefined || block < trunk) unread.push(name);
  }
  if (unread.length > 0) throw unreadTensors(metadata.architecture, unread);
}

/** The error for tensors that an architecture has no use for. */
export function unreadTensors(architecture: string, names: readonly string[]): PacelineError {
  const more = names.length > listed ? ` and ${names.length - listed} more` : '';
  const list = names.slice(0, listed).map(shown).join(', ') + more;
  return new PacelineError(
    'unsupported-architecture',
    `The file has tensors that "${shown(architecture)}" does not compute with: ${list}`,
    {
      hint:
        'It is a variant of this architecture that is not supported; without these tensors its ' +
        'text would be wrong. Take another model, or another conversion of it.',
      details: { architecture, tensors: names.slice(0, 100), count: names.length },
    },
  );
}

function blockOf(name: string): number | undefined {
  const digits = /^blk\.(\d+)\./.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Ranges that a calibration found for inputs: activations are scaled by their own range here. */
function isHarmless(name: string): boolean {
  return name.endsWith('.input_scale');
}
