/**
 * What help looks like: defaults and choices as one would type them, and examples, which the
 * reference in `docs/cli.md` shows too.
 */
import type { Command, Option } from 'commander';

/** What the person typed to start this program. */
export function programName(): string {
  return process.env.PACELINE_COMMAND ?? 'paceline';
}

/** A command line and what it does. */
export type Example = readonly [line: string, what: string];

const examples = new WeakMap<Command, readonly Example[]>();

/** Adds examples to a command; each line is without the program's name. */
export function addExamples(command: Command, ...lines: readonly Example[]): Command {
  examples.set(command, lines);
  return command.addHelpText('after', () => `\nExamples:\n${exampleLines(command).join('\n')}`);
}

/** The examples of a command. */
export function examplesOf(command: Command): readonly Example[] {
  return examples.get(command) ?? [];
}

function exampleLines(command: Command): string[] {
  const lines = examplesOf(command);
  const width = Math.max(...lines.map(([line]) => line.length));
  return lines.map(([line, what]) => `  paceline ${line.padEnd(width)}  # ${what}`);
}

/** A default or a choice as one would type it. */
function typed(value: unknown): string {
  return Array.isArray(value) ? value.join(',') : String(value);
}

/** The description of a flag with its choices and its default. */
export function optionText(option: Option): string {
  const notes: string[] = [];
  const known = option.argChoices?.every((choice) => option.description.includes(choice));
  if (option.argChoices !== undefined && !known) {
    notes.push(`one of ${option.argChoices.join(', ')}`);
  }
  const standard = option.defaultValueDescription ?? option.defaultValue;
  if (standard !== undefined && !option.negate) notes.push(`default: ${typed(standard)}`);
  return `${option.description}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`;
}
