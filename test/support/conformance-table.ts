/** The table of docs/upstreams.md of what each engine passes, from what `npm run test:backends` has found. */
import { readRepositoryFile } from './repository.js';

/** How many tests there are, and the names of those that fail. */
interface Outcome {
  readonly tests: number;
  readonly failed: readonly string[];
}

/** Why a test fails, always or sometimes. */
type Reason = string | { readonly sometimes: string };

/** Columns that are there before somebody has run the engine. */
const always = ['paceline', 'llama-server', 'vllm', 'ollama', 'openai'];

function read<T>(name: string): Readonly<Record<string, T>> {
  return JSON.parse(readRepositoryFile(`test/backends/${name}.json`)) as Record<string, T>;
}

/** A row for each test that some engine does not pass, with the reason. */
export function conformanceTable(): string {
  const results = read<Outcome>('conformance');
  const reasons = read<Readonly<Record<string, Reason>>>('conformance-reasons');
  const backends = [...new Set([...always, ...Object.keys(results)])];
  const tests = [...new Set(Object.values(results).flatMap(({ failed }) => failed))];
  const passed = ({ tests: all, failed }: Outcome): string => `${all - failed.length} of ${all}`;
  const cell = (test: string, backend: string): string => {
    const outcome = results[backend];
    if (outcome === undefined) return '';
    if (!outcome.failed.includes(test)) return 'yes';
    const reason = reasons[backend]?.[test] ?? 'not known';
    return typeof reason === 'string' ? `no: ${reason}` : `not always: ${reason.sometimes}`;
  };
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  return [
    row(['', ...backends.map((name) => `\`${name}\``)]),
    row(['---', ...backends.map(() => '---')]),
    row([
      'passed',
      ...backends.map((name) => {
        const outcome = results[name];
        return outcome === undefined ? 'not run yet' : passed(outcome);
      }),
    ]),
    ...tests.map((test) => row([test, ...backends.map((backend) => cell(test, backend))])),
    '',
  ].join('\n');
}
