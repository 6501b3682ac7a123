/** Without fitting libraries there is an error that says what to install. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import {
  checkGgmlVersion,
  findCpuPackage,
  findGpuPackages,
  ggmlVersion,
  loadGgml,
  packageVersion,
} from '../../src/ggml/library.js';

const nothing = () => undefined;
const platformError = (pattern: RegExp) => (error: unknown) =>
  PacelineError.is(error) &&
  error.code === 'platform' &&
  pattern.test(`${error.message} ${error.hint}`);

describe('the libraries of ggml', () => {
  it('are found and of the pinned version', () => {
    const { package: found, cpuVariant } = loadGgml();
    assert.equal(found.version, packageVersion);
    assert.notEqual(cpuVariant, '');
  });

  it('are missed with the command that installs them', () => {
    const wanted = { platform: 'linux', arch: 'x64', findPackage: nothing };
    const pattern = /linux-x64.*npm install @node-llama-cpp\/linux-x64@3\.22\.1/s;
    assert.throws(() => findCpuPackage(wanted), platformError(pattern));
  });

  it('do not exist for every platform', () => {
    const wanted = { platform: 'aix', arch: 'ppc64' };
    assert.throws(
      () => findCpuPackage(wanted),
      platformError(/aix-ppc64.*linux-x64, linux-arm64/s),
    );
  });

  it('must be of the pinned version', () => {
    const findPackage = (name: string) => ({ name, version: '3.0.0', folder: '/nowhere' });
    assert.throws(() => findCpuPackage({ findPackage }), platformError(/3\.0\.0, not 3\.22\.1/));
    assert.throws(() => checkGgmlVersion('0.9.9', '/lib'), platformError(/0\.9\.9, not 0\.25\.1/));
    assert.throws(() => checkGgmlVersion(null, '/lib'), platformError(/null/));
    assert.doesNotThrow(() => checkGgmlVersion(ggmlVersion, '/lib'));
  });

  it('for GPUs are found when installed', () => {
    const installed = {
      name: '@node-llama-cpp/linux-x64-vulkan',
      version: packageVersion,
      folder: '/gpu',
    };
    const findPackage = (name: string) => (name === installed.name ? installed : undefined);
    const found = findGpuPackages({ platform: 'linux', arch: 'x64', findPackage });
    assert.deepEqual(found, [installed]);
    assert.deepEqual(findGpuPackages({ findPackage: nothing }), []);
  });
});
