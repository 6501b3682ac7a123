/**
 * What this machine has for other engines: its platform, the families of its devices, and the chips of
 * AMD's cards as ROCm's builds name them. Read from the kernel's files; nothing is loaded or started.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DeviceFamily, Platform } from '../descriptor.js';

export interface Machine {
  /** `process.platform` and `process.arch`, known to descriptors or not. */
  readonly platform: Platform | string;
  /** The best first; `cpu` is always there. */
  readonly devices: readonly DeviceFamily[];
  /** `gfx1151`; cards of their own before those in a processor. */
  readonly chips: readonly string[];
}

/**
 * This machine.
 * @param root where the kernel's files are, for tests.
 */
export function thisMachine(root = '/'): Machine {
  const chips = process.platform === 'linux' ? amdChips(root) : [];
  const devices: DeviceFamily[] = [];
  if (process.platform === 'linux' && existsSync(join(root, 'proc/driver/nvidia/version'))) {
    devices.push('cuda');
  }
  if (chips.length > 0) devices.push('rocm');
  if (process.platform === 'darwin') devices.push('metal');
  return { platform: `${process.platform}-${process.arch}`, devices: [...devices, 'cpu'], chips };
}

/** Chips inside processors. */
const integrated = /^gfx(902|90c|103[3567]|1103|115\d)$/;

/** What the kernel's compute driver lists; a processor's own node has the version 0. */
function amdChips(root: string): string[] {
  const nodes = join(root, 'sys/class/kfd/kfd/topology/nodes');
  const found = listOf(nodes).flatMap((node) => {
    const properties = textOf(join(nodes, node, 'properties'));
    return chipName(Number(/^gfx_target_version (\d+)$/m.exec(properties)?.[1] ?? 0)) ?? [];
  });
  found.sort((a, b) => Number(integrated.test(a)) - Number(integrated.test(b)));
  return [...new Set(found)];
}

/** `110501` is `gfx1151`: major, minor and stepping, the last in hexadecimal. */
export function chipName(version: number): string | undefined {
  if (!Number.isSafeInteger(version) || version <= 0) return undefined;
  const [major, minor, stepping] = [
    Math.floor(version / 10_000),
    Math.floor(version / 100) % 100,
    version % 100,
  ];
  return `gfx${major}${minor.toString(16)}${stepping.toString(16)}`;
}

function listOf(folder: string): string[] {
  try {
    return readdirSync(folder).sort((a, b) => Number(a) - Number(b));
  } catch {
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
