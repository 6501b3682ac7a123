/** Settings files keep what changes do not name, whatever their format. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse as parseToml } from '@decimalturn/toml-patch';
import { parse as parseJson } from 'jsonc-parser';
import { parse as parseYaml } from 'yaml';
import { PacelineError } from '../../src/base/errors.js';
import { type Change, changed, type SettingsFormat } from '../../src/connect/change.js';

const changes: readonly Change[] = [
  { path: ['model'], value: 'new "quoted" \\ name' },
  { path: ['name'], initial: 'first' },
  { path: ['providers', 'paceline'], value: { url: 'http://x/v1', limit: 5, on: true } },
];

const cases: readonly {
  readonly format: SettingsFormat;
  readonly parse: (text: string) => unknown;
  readonly text: string;
  readonly kept: readonly string[];
}[] = [
  {
    format: 'json',
    parse: (text) => parseJson(text),
    text: '// top\n{\n\t"name": "mine", // why\n\t"model": "old",\n\t"providers": { "a": {} },\n}\n',
    kept: ['// top', '// why', '"name": "mine"', '"a": {}'],
  },
  {
    format: 'toml',
    parse: (text) => parseToml(text) as unknown,
    text: '# top\nname = "mine" # why\nmodel = "old"\n\n[providers.a]\nurl = "b" # keep\n\n[[list]]\nx = 1\n',
    kept: ['# top', '# why', '[providers.a]', 'url = "b" # keep', '[[list]]'],
  },
  {
    format: 'yaml',
    parse: (text) => parseYaml(text) as unknown,
    text: '# top\nname: mine # why\nmodel: old\nproviders:\n  a:\n    url: b # keep\n',
    kept: ['# top', 'name: mine # why', 'url: b # keep'],
  },
];

describe('changes to settings', () => {
  for (const { format, parse, text, kept } of cases) {
    it(`${format}: keep the rest, hold, and are made once`, () => {
      const options = { format, file: `settings.${format}` };
      const result = changed(text, changes, options);
      for (const piece of kept) assert.ok(result.includes(piece), `${piece} is lost:\n${result}`);
      const data = parse(result) as { model: string; name: string; providers: object };
      assert.equal(data.model, 'new "quoted" \\ name');
      assert.equal(data.name, 'mine');
      assert.deepEqual(Object.keys(data.providers).sort(), ['a', 'paceline']);
      assert.equal(changed(result, changes, options), result);
      const fresh = changed(undefined, changes, options);
      assert.equal((parse(fresh) as { name: string }).name, 'first');
      assert.equal(changed(fresh, changes, options), fresh);
      assert.equal(changed(' \n', changes, options), fresh);
    });

    it(`${format}: what can't be read is refused and not replaced`, () => {
      const options = { format, file: `settings.${format}` };
      for (const broken of [`${text}\n"x: [`, 'providers = = 1', '{"providers": ]}']) {
        assert.throws(
          () => changed(broken, changes, options),
          (error) => PacelineError.is(error) && error.code === 'broken-file',
          broken,
        );
      }
    });
  }

  it('replaces the entry of one name in a list, and adds it where there is none', () => {
    const options = { format: 'json', file: 'list.json' } as const;
    const entry = (size: number) => [{ path: [], entry: { name: 'p', ...{ size } } }];
    const first = changed('[{"name": "other"}]', entry(1), options);
    const second = changed(first, entry(2), options);
    assert.deepEqual(parseJson(second), [{ name: 'other' }, { name: 'p', size: 2 }]);
    assert.equal(changed(second, entry(2), options), second);
    assert.throws(() => changed('{"a": 1}', entry(1), options), /not a list/);
  });

  it('a change below something that is no object is refused', () => {
    const options = { format: 'json', file: 'x.json' } as const;
    const change = [{ path: ['a', 'b'], value: 1 }];
    assert.throws(() => changed('{"a": [1]}', change, options), /a in x\.json is not an object/);
  });

  it('survives random cuts of a file', () => {
    for (const { format, text } of cases) {
      for (let end = 0; end < text.length; end++) {
        const options = { format, file: 'cut' };
        try {
          const result = changed(text.slice(0, end), changes, options);
          assert.equal(changed(result, changes, options), result);
        } catch (error) {
          assert.ok(PacelineError.is(error), `${format} ${end}: ${error}`);
        }
      }
    }
  });
});
