import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { hubEnvironment } from '../../src/hub/environment.js';
import { temporaryFile } from '../support/tiny-model.js';

const at = (env: Record<string, string>) => hubEnvironment(env, '/home/ada');

test('the cache lies where huggingface_hub has it', () => {
  assert.equal(at({}).cache, '/home/ada/.cache/huggingface/hub');
  assert.equal(at({ XDG_CACHE_HOME: '/x' }).cache, '/x/huggingface/hub');
  assert.equal(at({ HF_HOME: '~/hf' }).cache, '/home/ada/hf/hub');
  assert.equal(at({ HF_HOME: '$BASE/hf', BASE: '/b' }).cache, '/b/hf/hub');
  assert.equal(at({ HF_HOME: '/h', HUGGINGFACE_HUB_CACHE: '/old' }).cache, '/old');
  assert.equal(at({ HF_HUB_CACHE: '/c', HUGGINGFACE_HUB_CACHE: '/old' }).cache, '/c');
});

test('the endpoint is an http address', () => {
  assert.equal(at({}).endpoint.href, 'https://huggingface.co/');
  assert.equal(
    at({ HF_ENDPOINT: 'https://mirror.example/hub/' }).endpoint.href,
    'https://mirror.example/hub',
  );
  for (const HF_ENDPOINT of ['mirror.example', 'ftp://mirror.example', 'http://u:p@mirror']) {
    assert.throws(() => at({ HF_ENDPOINT }), { code: 'usage', message: /HF_ENDPOINT/ });
  }
});

test('the token comes from the environment or the file', () => {
  const path = temporaryFile('token');
  writeFileSync(path, 'hf_file\n');
  assert.equal(at({}).token, undefined);
  assert.equal(at({ HF_TOKEN_PATH: path }).token, 'hf_file');
  assert.equal(at({ HF_TOKEN_PATH: path, HF_TOKEN: ' hf_env ' }).token, 'hf_env');
  assert.equal(at({ HUGGING_FACE_HUB_TOKEN: 'hf_old' }).token, 'hf_old');
  assert.equal(at({ HF_TOKEN: 'hf_env', HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' }).token, undefined);
  assert.throws(() => at({ HF_TOKEN: 'hf_\r\nx-evil: 1' }), { code: 'usage' });
});

test('switches are read as the Python library reads them', () => {
  for (const value of ['1', 'on', 'YES', 'true']) {
    assert.equal(at({ HF_HUB_OFFLINE: value }).offline, true);
    assert.equal(at({ HF_HUB_DISABLE_SYMLINKS: value }).symlinks, false);
  }
  assert.equal(at({ TRANSFORMERS_OFFLINE: '1' }).offline, true);
  for (const value of ['', '0', 'no']) assert.equal(at({ HF_HUB_OFFLINE: value }).offline, false);
});
