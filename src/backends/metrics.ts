/**
 * Metrics of other engines under our names. Only families that a descriptor names are read, so that an
 * upstream decides neither how many there are nor what they are called.
 */
import type { Upstream } from './routing/upstream.js';

const mostBytes = 4 * 2 ** 20;
const patienceMs = 1000;

/** In Prometheus's text format, each sample with its backend and upstream; those that don't answer are left out. */
export async function readBackendMetrics(
  upstreams: readonly Upstream[],
  signal: AbortSignal,
): Promise<string> {
  const texts = await Promise.all(upstreams.map((upstream) => samplesOf(upstream, signal)));
  const families = new Map<string, string[]>();
  for (const [index, samples] of texts.entries()) {
    const { backend, id } = upstreams[index] as Upstream;
    for (const [name, value] of samples) {
      const line = sampleText(name, { backend: backend.name, upstream: id }, value);
      families.set(name, [...(families.get(name) ?? []), line]);
    }
  }
  return [...families]
    .map(([name, lines]) =>
      familyText({
        name,
        type: name.endsWith('_total') ? 'counter' : 'gauge',
        help: 'As the backend itself tells it',
        lines,
      }),
    )
    .join('');
}

/** One family of this server's in Prometheus's text format. */
export function familyText(family: {
  /** Without `paceline_`. */
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  /** Its samples, by `sampleText`. */
  readonly lines: readonly string[];
}): string {
  const { name, help, type, lines } = family;
  return `# HELP paceline_${name} ${help}\n# TYPE paceline_${name} ${type}\n${lines.join('')}`;
}

/** A sample of an upstream. */
export function sampleText(
  name: string,
  { backend, upstream }: { readonly backend: string; readonly upstream: string },
  value: number,
): string {
  return `paceline_${name}{backend="${backend}",upstream="${upstream}"} ${value}\n`;
}

async function samplesOf(
  { backend, client }: Upstream,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  if (backend.metricsPath === undefined) return new Map();
  try {
    const together = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
    const text = await client.text(backend.metricsPath, mostBytes, { signal: together });
    return translatedSamples(text, backend.metrics);
  } catch {
    // That it does not answer is told by the metric that says whether it is up.
    return new Map();
  }
}

/** Samples of the families that have a name of ours, those of one family added up. */
export function translatedSamples(
  text: string,
  names: Readonly<Record<string, string>>,
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, family = '', number] = /^([a-zA-Z_:][\w:]*)(?:\{.*\})?\s+([^\s]+)/.exec(line) ?? [];
    const name = Object.hasOwn(names, family) ? names[family] : undefined;
    const value = Number(number);
    if (name === undefined || !Number.isFinite(value)) continue;
    found.set(name, (found.get(name) ?? 0) + value);
  }
  return found;
}
