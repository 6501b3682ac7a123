/** `auto` goes on with the CPU where a card has no memory; whoever named a card is told. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { onCpuInstead } from '../../src/engine/card-memory.js';

const full = new PacelineError('memory', 'Vulkan0 has 3 MiB free, and weights take 9 MiB', {
  details: { device: 'Vulkan0' },
});

it('goes on with the CPU only where nobody asked for the card', () => {
  assert.match(onCpuInstead(full, {}) ?? '', /^computing on the CPU: Vulkan0 has 3 MiB/);
  assert.match(onCpuInstead(full, { device: 'auto', gpuLayers: 'auto' }) ?? '', /CPU/);
  assert.equal(onCpuInstead(full, { device: 'Vulkan0' }), undefined);
  assert.equal(onCpuInstead(full, { gpuLayers: 4 }), undefined);
  assert.equal(onCpuInstead(new PacelineError('memory', 'of the host'), {}), undefined);
  assert.equal(onCpuInstead(new Error('another'), {}), undefined);
});
