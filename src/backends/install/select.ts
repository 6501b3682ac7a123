/** Which of a backend's installations suits a machine, and which archive of it. Decides; asks nothing. */
import { PacelineError } from '../../base/errors.js';
import type {
  ArchiveInstallation,
  BackendDescriptor,
  Installation,
  Platform,
  ReleaseAsset,
} from '../descriptor.js';
import type { Machine } from './machine.js';

export interface Choice {
  /** One of those that `Installation` names. */
  readonly variant?: string | undefined;
  /** A chip, instead of those that were found: `gfx1151`. */
  readonly chip?: string | undefined;
}

export interface Selection {
  readonly installation: Installation;
  /** Of archives: the one for the chip. */
  readonly asset?: ReleaseAsset;
  readonly chip?: string;
}

/**
 * The installation for a machine: the variant that was asked for, or the first that its devices and
 * chips can run.
 * @throws {PacelineError} `usage` for unknown variants and backends without installations, `platform`
 *   when none suits.
 */
export function selectInstallation(
  backend: BackendDescriptor,
  machine: Machine,
  { variant, chip }: Choice = {},
): Selection {
  const { installations, title, name } = backend;
  if (installations.length === 0) {
    throw new PacelineError('usage', `${title} is not installed by Paceline`, {
      hint:
        name === 'paceline'
          ? 'It is this program: use `paceline serve`.'
          : `Start it yourself, then attach to it: paceline serve --upstream ${name}=URL`,
      details: { backend: name },
    });
  }
  const named = installations.filter((one) => variant === undefined || one.variant === variant);
  if (named.length === 0) {
    throw new PacelineError('usage', `${title} has no installation ${JSON.stringify(variant)}`, {
      hint: `There are: ${installations.map((one) => one.variant).join(', ')}.`,
      details: { backend: name, variant },
    });
  }
  const chips = chip === undefined ? machine.chips : [chip];
  const reasons: string[] = [];
  for (const installation of named) {
    if (!installation.platforms.includes(machine.platform as Platform)) {
      reasons.push(`${installation.variant} is for ${installation.platforms.join(', ')}`);
      continue;
    }
    const wanted = variant !== undefined || (chip !== undefined && installation.kind === 'archive');
    // Whoever names a variant may be preparing a disk for another machine.
    if (!wanted && !installation.devices.some((device) => machine.devices.includes(device))) {
      reasons.push(`${installation.variant} needs ${installation.devices.join(' or ')}`);
      continue;
    }
    if (installation.kind !== 'archive') return { installation };
    const found = assetFor(installation, chips);
    if (found !== undefined) return { installation, ...found };
    const known = installation.assets.flatMap((asset) => asset.chips).join(', ');
    const here = chips.length === 0 ? 'no chip was found' : `not for ${chips.join(', ')}`;
    reasons.push(`${installation.variant} is built for ${known} (${here})`);
  }
  throw new PacelineError(
    'platform',
    `${title} has no installation for this machine (${machine.platform}, ${machine.devices.join(', ')}): ${reasons.join('; ')}`,
    {
      hint: `Run it on a machine that it supports and attach to it: paceline serve --upstream ${name}=URL`,
      details: { backend: name, platform: machine.platform, devices: machine.devices, chips },
    },
  );
}

function assetFor(
  { assets }: ArchiveInstallation,
  chips: readonly string[],
): { asset: ReleaseAsset; chip?: string } | undefined {
  for (const chip of chips) {
    const asset = assets.find((one) => one.chips.includes(chip));
    if (asset !== undefined) return { asset, chip };
  }
  const general = assets.find((one) => one.chips.length === 0);
  return general === undefined ? undefined : { asset: general };
}
