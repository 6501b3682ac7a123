/**
 * What this machine has to compute with: the processor with the library build that fits it, and the
 * GPUs of opt-in packages that somebody installed. Listing loads the GPU libraries, so only
 * `paceline devices` does it.
 */
import { basename } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { callPointerFunction, readFeatureList } from './bindings.js';
import {
  findGpuPackages,
  type Ggml,
  ggmlVersion,
  type LibraryPackage,
  librariesIn,
  loadGgml,
} from './library.js';

export type DeviceKind = 'cpu' | 'gpu' | 'integrated-gpu' | 'accelerator';

export interface Device {
  /** ggml's name: `CPU`, `CUDA0`, `Vulkan0`, ... */
  readonly name: string;
  /** What the system calls it: `AMD EPYC 9R14`, `NVIDIA H200`. */
  readonly description: string;
  readonly kind: DeviceKind;
  /** Bytes; 0 when the driver does not say. */
  readonly memoryFree: number;
  readonly memoryTotal: number;
  /** The build of the library: `zen4`, `cuda`, `vulkan`. */
  readonly variant: string;
  /** What the library makes use of: `AVX512_VNNI`, ... */
  readonly features: readonly string[];
  readonly package: string;
}

export interface DeviceList {
  readonly ggmlVersion: string;
  readonly devices: readonly Device[];
  /** What is installed but cannot be used, and why. */
  readonly problems: readonly string[];
}

const kinds: readonly DeviceKind[] = ['cpu', 'gpu', 'integrated-gpu', 'accelerator'];

/**
 * Every device that ggml can use here. The CPU comes first.
 * @throws {PacelineError} `platform` when no library fits.
 */
export function devices(): DeviceList {
  const ggml = loadGgml();
  const { package: source, cpuVariant, cpuRegistration } = ggml;
  const found = devicesOf(ggml, cpuRegistration, cpuVariant, source);
  const problems: string[] = [];
  for (const gpuPackage of gpuPackages(problems)) {
    for (const path of librariesIn(gpuPackage.folder, '-(cuda|vulkan|metal|hip|sycl)')) {
      const variant = /ggml-([a-z]+)/.exec(basename(path))?.[1] ?? 'gpu';
      const registration = ggml.registry.ggml_backend_load(path);
      if (registration === 0) problems.push(`${gpuPackage.name}: its driver does not load`);
      else found.push(...devicesOf(ggml, registration, variant, gpuPackage));
    }
  }
  return { ggmlVersion, devices: found, problems };
}

function gpuPackages(problems: string[]): readonly LibraryPackage[] {
  try {
    return findGpuPackages();
  } catch (error) {
    if (!PacelineError.is(error)) throw error;
    problems.push(`${error.message}. ${error.hint ?? ''}`);
    return [];
  }
}

function devicesOf(
  { base }: Ggml,
  registration: number,
  variant: string,
  source: LibraryPackage,
): Device[] {
  const features = featuresOf(base.ggml_backend_reg_get_proc_address, registration);
  const count = base.ggml_backend_reg_dev_count(registration);
  return Array.from({ length: count }, (_, index) => {
    const device = base.ggml_backend_reg_dev_get(registration, index);
    const free = new BigUint64Array(1);
    const total = new BigUint64Array(1);
    base.ggml_backend_dev_memory(device, free, total);
    return {
      name: base.ggml_backend_dev_name(device) ?? '',
      description: base.ggml_backend_dev_description(device) ?? '',
      kind: kinds[base.ggml_backend_dev_type(device)] ?? 'accelerator',
      memoryFree: Number(free[0]),
      memoryTotal: Number(total[0]),
      variant,
      features,
      package: `${source.name}@${source.version}`,
    };
  });
}

function featuresOf(
  lookup: (registration: number, name: string) => number,
  registration: number,
): readonly string[] {
  const getFeatures = lookup(registration, 'ggml_backend_get_features');
  if (getFeatures === 0) return [];
  const list = readFeatureList(callPointerFunction(getFeatures, registration));
  return [...list].flatMap(([name, value]) =>
    value === '1' ? [name] : value === '0' ? [] : [`${name}=${value}`],
  );
}
