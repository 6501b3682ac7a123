import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { kvTypes } from '../../src/cache/kv-names.js';
import { cacheType, chooseKvType, usualKvType } from '../../src/cache/kv-type.js';
import { typeName } from '../../src/ggml/types.js';

/** A layer with heads of this length. */
const layer = (head: number, heads = 2) => ({ heads, keys: heads * head, values: heads * head });
const none = { heads: 0, keys: 0, values: 0 };

function refused(...patterns: readonly RegExp[]) {
  return (error: unknown) => {
    assert.ok(PacelineError.is(error) && error.code === 'usage', String(error));
    const said = `${error.message} ${error.hint}`;
    for (const pattern of [...patterns, /--kv f16/]) assert.match(said, pattern);
    return true;
  };
}

describe('the type of a KV cache', () => {
  it('is usually i16 with AVX-512 where all heads fit, and f16 elsewhere', () => {
    for (const head of [64, 128, 192, 256]) {
      for (const path of ['amx', 'avx512vbmi', 'avx512'])
        assert.equal(usualKvType([layer(head)], path), 'i16');
      for (const path of ['avxvnni', 'avx2', 'neon', 'scalar', undefined]) {
        assert.equal(usualKvType([layer(head)], path), 'f16');
      }
    }
    for (const head of [16, 80, 96, 320]) assert.equal(usualKvType([layer(head)], 'amx'), 'f16');
  });

  it('depends on every layer that keeps something', () => {
    assert.equal(usualKvType([layer(64), layer(80)], 'amx'), 'f16');
    assert.equal(usualKvType([layer(64), { ...layer(64), values: 96 }], 'amx'), 'f16');
    assert.equal(usualKvType([layer(64, 4), none, layer(128, 9)], 'amx'), 'i16');
    assert.equal(usualKvType([none], 'amx'), 'f16');
    assert.equal(usualKvType([], 'amx'), 'f16');
  });

  it('is what was asked for', () => {
    for (const type of kvTypes) {
      assert.equal(chooseKvType(type, [layer(64)], 'avx2'), type);
      assert.equal(typeName(cacheType(type)).toLowerCase(), type);
    }
    assert.equal(chooseKvType('f16', [layer(64)], 'amx'), 'f16');
    assert.equal(chooseKvType(undefined, [layer(64)], 'amx'), 'i16');
    assert.equal(chooseKvType(undefined, [layer(64)], undefined), 'f16');
  });

  it('is refused where the heads or the machine do not allow it', () => {
    assert.throws(() => chooseKvType('i16', [layer(64), layer(80)], 'amx'), refused(/i16.* 80 /));
    assert.throws(() => chooseKvType('i16', [layer(320)], 'avx2'), refused(/320.* 256/));
    assert.throws(() => chooseKvType('i16', [layer(64)], undefined), refused(/native kernels/));
    // Two heads are a whole block, but none of them is.
    assert.throws(() => chooseKvType('q8_0', [layer(16)], 'amx'), refused(/q8_0.* 16 /));
  });
});
