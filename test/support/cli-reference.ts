/**
 * docs/cli.md, made from the command line's own definitions, so that it cannot differ from --help.
 * `npm run docs` writes it, a test compares it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Argument, Command, Option } from 'commander';
import { exitCodes } from '../../src/cli/failure.js';
import { examplesOf, optionText } from '../../src/cli/help.js';
import { createProgram, environment } from '../../src/cli/program.js';
import { repository } from './repository.js';

const path = 'docs/cli.md';

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function usage(command: Command): string {
  const argument = (item: Argument): string => {
    const name = item.variadic ? `${item.name()}...` : item.name();
    return item.required ? `<${name}>` : `[${name}]`;
  };
  const words = command.registeredArguments.map(argument);
  return ['paceline', fullName(command), ...words, '[flags]'].join(' ');
}

function describeOption(option: Option): string {
  return `| \`${option.flags}\` | ${cell(optionText(option))} |`;
}

/** A command's name with those of the commands that it is under: `cache ls`. */
function fullName(command: Command): string {
  const { parent } = command;
  const above = parent === null || parent.parent === null ? '' : `${fullName(parent)} `;
  return `${above}${command.name()}`;
}

function describeCommand(command: Command): string {
  const parts = [`## ${fullName(command)}`, '', '```sh', usage(command), '```', ''];
  parts.push(command.description(), '');
  if (command.registeredArguments.length > 0) {
    for (const argument of command.registeredArguments) {
      const standard =
        argument.defaultValue === undefined ? '' : ` (default: \`${argument.defaultValue}\`)`;
      parts.push(`- \`${argument.name()}\`: ${argument.description}${standard}`);
    }
    parts.push('');
  }
  const groups = new Map<string, Option[]>();
  for (const option of command.options.filter(({ hidden }) => !hidden)) {
    const group = option.helpGroupHeading ?? 'Flags:';
    groups.set(group, [...(groups.get(group) ?? []), option]);
  }
  for (const [group, options] of groups) {
    parts.push(`| ${group.replace(/:$/, '')} | |`, '| --- | --- |');
    parts.push(...options.map(describeOption), '');
  }
  const examples = examplesOf(command).map(([line, what]) => `# ${what}\npaceline ${line}`);
  parts.push('```sh', examples.join('\n\n'), '```', '');
  return parts.join('\n');
}

/** The whole document. */
export function cliReference(): string {
  const program = createProgram();
  const commands = program.createHelp().visibleCommands(program);
  const parts = [
    '# The command line',
    '',
    'Made from the definitions in `src/cli/` by `npm run docs`; do not edit.',
    '',
    `${program.description()} A model is a path to a GGUF file, \`default\` (the embedded one), \`hf:owner/repo[:quant or file]\`, or a name from \`paceline ls\`.`,
    '',
    'With `--json` a command prints exactly one JSON object on stdout, and everything else on stderr;',
    'an error is `{"error": {"code", "message", "hint", "details"}}` ([errors.md](errors.md)).',
    'Progress bars and colours appear only on a terminal.',
    '',
    '| exit code | meaning |',
    '| --- | --- |',
    ...exitCodes.map(([code, meaning]) => `| ${code} | ${meaning} |`),
    '',
    '| environment | meaning |',
    '| --- | --- |',
    ...environment.map(([name, meaning]) => `| \`${name}\` | ${meaning} |`),
    '',
    ...commands.flatMap((command) => [command, ...command.commands].map(describeCommand)),
  ];
  return `${parts.join('\n').trimEnd()}\n`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(join(repository, path), cliReference());
}
