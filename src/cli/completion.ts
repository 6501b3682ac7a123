/**
 * Completion scripts for shells, made from the definitions of the commands: their names, their flags,
 * and for values the choices or file names. The scripts start no program while one types.
 */
import type { Argument, Command, Option } from 'commander';

/** The shells that scripts are made for. */
export const completionShells = ['bash', 'zsh', 'fish'] as const;

interface Flag {
  readonly names: readonly string[];
  readonly description: string;
  /** Nothing, a word of a list, a file, or what cannot be guessed. */
  readonly value: 'none' | 'choice' | 'file' | 'other';
  readonly choices: readonly string[];
}

interface Words {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  /** What its arguments may be, besides file names. */
  readonly words: readonly string[];
}

/** The script for a shell. */
export function completionScript(
  program: Command,
  shell: (typeof completionShells)[number],
): string {
  const commands = program.createHelp().visibleCommands(program).map(wordsOf);
  return { bash, zsh, fish }[shell](commands);
}

function wordsOf(command: Command): Words {
  const visible = command.options.filter((option) => !option.hidden);
  return {
    name: command.name(),
    summary: command.summary(),
    flags: [...visible.map(flagOf), { ...flagless, names: ['--help'], description: 'show help' }],
    words: command.registeredArguments.flatMap(argumentWords),
  };
}

const flagless: Omit<Flag, 'names' | 'description'> = { value: 'none', choices: [] };

function flagOf(option: Option): Flag {
  return {
    names: [option.short, option.long].filter((name) => name !== undefined),
    description: firstClause(option.description),
    value: kindOfValue(option),
    choices: option.argChoices ?? [],
  };
}

function kindOfValue(option: Option): Flag['value'] {
  if (!option.required && !option.optional) return 'none';
  if (option.argChoices !== undefined) return 'choice';
  return option.flags.endsWith('<file>') ? 'file' : 'other';
}

function argumentWords(argument: Argument): readonly string[] {
  if (argument.argChoices !== undefined) return argument.argChoices;
  return argument.name() === 'model' ? ['default'] : [];
}

/** Up to the first comma, bracket or the like: what fits beside a flag. */
function firstClause(text: string): string {
  return text.startsWith('{') ? text : (/^[^,;:(]*/.exec(text)?.[0] ?? text).trim();
}

function single(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A line for several patterns of a case, or none. */
function lines(patterns: readonly string[], line: (all: string) => string): string[] {
  return patterns.length === 0 ? [] : [line(patterns.join('|'))];
}

/** Works in bash 3.2 too. */
function bash(commands: readonly Words[]): string {
  const cases = commands.map(({ name, flags, words }) => {
    const named = (value: Flag['value']) => flags.filter((flag) => flag.value === value);
    const patterns = (value: Flag['value']) => named(value).flatMap((flag) => flag.names);
    const values = [
      ...named('choice').map(
        (flag) =>
          `        ${flag.names.join('|')}) COMPREPLY=($(compgen -W ${single(flag.choices.join(' '))} -- "$word")); return ;;`,
      ),
      ...lines(
        patterns('file'),
        (all) => `        ${all}) COMPREPLY=($(compgen -f -- "$word")); return ;;`,
      ),
      ...lines(patterns('other'), (all) => `        ${all}) return ;;`),
    ];
    const names = flags.flatMap((flag) => flag.names);
    return [
      `    ${name})`,
      ...(values.length > 0 ? ['      case "$before" in', ...values, '      esac'] : []),
      `      if [[ $word == -* ]]; then COMPREPLY=($(compgen -W ${single(names.join(' '))} -- "$word"))`,
      `      else COMPREPLY=($(compgen -f -W ${single(words.join(' '))} -- "$word")); fi ;;`,
    ].join('\n');
  });
  const names = commands.map(({ name }) => name);
  return `# bash completion of paceline, made by \`paceline completion bash\`
_paceline() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W ${single([...names, 'help', '--help', '--version'].join(' '))} -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
    help) COMPREPLY=($(compgen -W ${single(names.join(' '))} -- "$word")) ;;
${cases.join('\n')}
  esac
}
complete -o filenames -F _paceline paceline
`;
}

/** Brackets, colons and the like mean something in the specifications of `_arguments`. */
function zshText(text: string): string {
  return text.replace(/[[\]:\\]/g, '\\$&');
}

function zsh(commands: readonly Words[]): string {
  const described = commands.map(({ name, summary }) => single(`${name}:${zshText(summary)}`));
  const cases = commands.map(({ name, flags, words }) => {
    const specifications = flags.flatMap(({ names, description, value, choices }) =>
      names.map((flag) => {
        const after = {
          none: '',
          choice: `:value:(${choices.join(' ')})`,
          file: ':file:_files',
          other: ':value: ',
        }[value];
        return single(`${flag}[${zshText(description)}]${after}`);
      }),
    );
    const others =
      words.length > 0
        ? single(`*:argument:{_alternative "words:word:(${words.join(' ')})" "files:file:_files"}`)
        : single('*:argument:_files');
    return `    ${name}) _arguments ${[...specifications, others].join(' ')} ;;`;
  });
  return `#compdef paceline
# zsh completion of paceline, made by \`paceline completion zsh\`
_paceline() {
  local -a commands=(${described.join(' ')} 'help:show the help of a command')
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
    help) _describe command commands ;;
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _paceline ]]; then _paceline "$@"; else compdef _paceline paceline; fi
`;
}

function fish(commands: readonly Words[]): string {
  const lines = commands.flatMap(({ name, summary, flags, words }) => {
    const seen = `-n ${single(`__fish_seen_subcommand_from ${name}`)}`;
    return [
      `complete -c paceline -n __fish_use_subcommand -f -a ${name} -d ${single(summary)}`,
      ...(words.length > 0 ? [`complete -c paceline ${seen} -a ${single(words.join(' '))}`] : []),
      ...flags.map(({ names, description, value, choices }) => {
        const parts = names.map((flag) =>
          flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
        );
        const after = {
          none: '',
          choice: ` -x -a ${single(choices.join(' '))}`,
          file: ' -r',
          other: ' -x',
        }[value];
        return `complete -c paceline ${seen} ${parts.join(' ')}${after} -d ${single(description)}`;
      }),
    ];
  });
  const names = commands.map(({ name }) => name).join(' ');
  return `# fish completion of paceline, made by \`paceline completion fish\`
${lines.join('\n')}
complete -c paceline -n __fish_use_subcommand -f -a help -d 'show the help of a command'
complete -c paceline -n ${single('__fish_seen_subcommand_from help')} -f -a ${single(names)}
`;
}
