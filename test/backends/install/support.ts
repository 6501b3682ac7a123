/** A backend of the tests' own, and folders that go away with the process. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackendDescriptor, RecordedPart } from '../../../src/backends/descriptor.js';
import {
  type Installed,
  type InstallOptions,
  installBackend,
} from '../../../src/backends/install/install.js';
import type { Machine } from '../../../src/backends/install/machine.js';
import { vllm } from '../../../src/backends/vllm.js';
import { inParts, packed, type ReleaseDouble } from './release-double.js';

export const repository = 'acme/engine';
export const engineName = 'engine-x64.tar.gz';

/** A machine with Strix Halo's chip. */
export const strixHalo: Machine = {
  platform: 'linux-x64',
  devices: ['rocm', 'cpu'],
  chips: ['gfx1151'],
};

/** vLLM's descriptor with one archive of the double's. */
export function engineOf(tag: string, recorded: readonly RecordedPart[] = []): BackendDescriptor {
  return {
    ...vllm,
    installations: [
      {
        ...{ kind: 'archive', variant: 'rocm', version: tag, tested: 'In tests.' },
        ...{ platforms: ['linux-x64'], devices: ['rocm'], downloadBytes: 1e6, installedBytes: 1e6 },
        assets: [{ repository, tag, name: engineName, chips: ['gfx1151'], recorded }],
        program: ['bin/engine', '--first'],
      },
    ],
  };
}

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'paceline-backends-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Publishes a version in three parts; `bin/engine` says its name, or sleeps when it is told to. */
export function publish(double: ReleaseDouble, tag: string, padding = 0): Buffer {
  const archive = packed(
    {
      'bin/engine': `#!/bin/sh\n[ "$1" = sleep ] && sleep 60\necho ${tag}\n`,
      'bin/data': 'no program',
      'lib/site/bin/clang': '#!/bin/sh\n',
      'lib/site/module.py': '#!/usr/bin/env python3\n',
    },
    padding,
  );
  double.release(repository, tag, inParts(engineName, archive, 3));
  return archive;
}

/** Installs without pauses between tries. */
export function install(
  double: ReleaseDouble,
  data: string,
  backend: BackendDescriptor,
  more: InstallOptions = {},
): Promise<Installed> {
  return installBackend(backend, {
    ...{ data, machine: strixHalo, endpoint: new URL(double.url) },
    http: { pauseMs: 1, silenceMs: 2000, tries: 6 },
    ...more,
  });
}

/** What is in the backend's folder. */
export function contentOf(data: string): string[] {
  return readdirSync(join(data, 'backends', 'vllm')).sort();
}
