/**
 * The parts of docs/upstreams.md that come from the descriptors and from `npm run test:backends`.
 * `npm run docs` writes them, a test compares them.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type FieldSupport, requestFields } from '../../src/backends/descriptor.js';
import { backends } from '../../src/backends/registry.js';
import { conformanceTable } from './conformance-table.js';
import { readRepositoryFile, repository } from './repository.js';

const path = 'docs/upstreams.md';

function row(cells: readonly string[]): string {
  return `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
}

function supported(support: FieldSupport): string {
  if (support.by === 'backend') return `\`${support.as}\``;
  return support.by === 'us' ? `by Paceline: ${support.how}` : `refused: ${support.why}`;
}

/** The part from the descriptors. */
export function backendReference(): string {
  const overview = backends.map(({ name, title, services, launch, installations }) =>
    row([
      `\`${name}\``,
      title,
      services.join(', '),
      launch === undefined ? 'attached' : 'attached, or started',
      installations.map(({ variant, version }) => `${variant} ${version}`).join('; ') || '–',
    ]),
  );
  const parts = backends.map((backend) => {
    const { title, summary, homepage, targets, installations, fields, notes } = backend;
    const places = targets.map(
      ({ platforms, devices }) => `${platforms.join(', ')} (${devices.join(', ')})`,
    );
    return [
      `### ${title}`,
      '',
      `${summary} <${homepage}>`,
      ...(places.length > 0 ? ['', `Runs on ${places.join('; ')}.`] : []),
      ...installations.flatMap(({ variant, tested }) => ['', `\`${variant}\`: ${tested}`]),
      ...notes.flatMap((note) => ['', note]),
      '',
      row(['field', 'served by']),
      row(['---', '---']),
      ...requestFields.map((field) => row([`\`${field}\``, supported(fields[field])])),
      '',
    ].join('\n');
  });
  return [
    row(['name', 'engine', 'serves', 'how', 'installations']),
    row(['---', '---', '---', '---', '---']),
    ...overview,
    '',
    ...parts,
  ].join('\n');
}

/** The document with its made parts. */
export function backendDocument(): string {
  const parts = { conformance: conformanceTable(), backends: backendReference() };
  return Object.entries(parts).reduce((text, [name, part]) => {
    const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
    const before = text.slice(0, text.indexOf(begin) + begin.length);
    return `${before}\n\n${part}\n${text.slice(text.indexOf(end))}`;
  }, readRepositoryFile(path));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(join(repository, path), backendDocument());
}
