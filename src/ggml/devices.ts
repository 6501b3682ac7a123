/**
 * What this machine has to compute with: the processor with the library build that fits it, and the
 * graphics cards of opt-in packages that somebody installed (on macOS, Metal comes with the CPU's).
 * Libraries of cards are loaded once a process, when somebody first asks for cards.
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

/** A card, and where ggml has it. */
export interface Card extends Device {
  /** Address of the `ggml_backend_device`. */
  readonly address: number;
}

export interface DeviceList {
  readonly ggmlVersion: string;
  readonly devices: readonly Device[];
  /** What is installed but cannot be used, and why. */
  readonly problems: readonly string[];
}

export interface Cards {
  readonly cards: readonly Card[];
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
  const own = devicesOf(ggml, cpuRegistration, cpuVariant, source);
  const { cards, problems } = findCards();
  const found = [...own, ...cards].map(({ address: _, ...device }): Device => device);
  return { ggmlVersion, devices: found, problems };
}

interface Registration {
  readonly address: number;
  readonly variant: string;
  readonly source: LibraryPackage;
}

/** Libraries stay loaded, and ggml would list the cards of one that is loaded twice twice. */
let registered: { registrations: readonly Registration[]; problems: readonly string[] } | undefined;

/**
 * The cards, with what is free on them now.
 * @throws {PacelineError} `platform` when no library fits the CPU.
 */
export function findCards(): Cards {
  const ggml = loadGgml();
  registered ??= register(ggml);
  const { registrations, problems } = registered;
  const cards = registrations.flatMap(({ address, variant, source }) =>
    devicesOf(ggml, address, variant, source),
  );
  return { cards, problems };
}

function register(ggml: Ggml) {
  const problems: string[] = [];
  const registrations: Registration[] = [];
  for (const source of [ggml.package, ...gpuPackages(problems)]) {
    for (const path of librariesIn(source.folder, '-(cuda|vulkan|metal|hip|sycl)')) {
      const variant = /ggml-([a-z]+)/.exec(basename(path))?.[1] ?? 'gpu';
      const address = ggml.registry.ggml_backend_load(path);
      if (address === 0) problems.push(`${source.name}: its driver does not load`);
      else if (ggml.base.ggml_backend_reg_dev_count(address) === 0) {
        problems.push(`${source.name}: its driver finds no ${variant} device`);
      } else registrations.push({ address, variant, source });
    }
  }
  return { registrations, problems };
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
): Card[] {
  const features = featuresOf(base.ggml_backend_reg_get_proc_address, registration);
  const count = base.ggml_backend_reg_dev_count(registration);
  return Array.from({ length: count }, (_, index) => {
    const address = base.ggml_backend_reg_dev_get(registration, index);
    const free = new BigUint64Array(1);
    const total = new BigUint64Array(1);
    base.ggml_backend_dev_memory(address, free, total);
    return {
      name: base.ggml_backend_dev_name(address) ?? '',
      description: base.ggml_backend_dev_description(address) ?? '',
      kind: kinds[base.ggml_backend_dev_type(address)] ?? 'accelerator',
      memoryFree: Number(free[0]),
      memoryTotal: Number(total[0]),
      variant,
      features,
      package: `${source.name}@${source.version}`,
      address,
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
