/** `paceline connect`: the settings that point a coding agent or an editor at the local server. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { Argument, type Command } from 'commander';
import { PacelineError } from '../../base/errors.js';
import { endpointUrl, servedModels } from '../../connect/endpoint.js';
import { type Endpoint, type Tool, type ToolName, tools } from '../../connect/tools.js';
import { addExamples } from '../help.js';
import { integer } from '../numbers.js';
import { note, print, printJson } from '../output.js';

interface ConnectFlags {
  readonly url: string;
  readonly model?: string;
  readonly ctx?: number;
  readonly apiKey?: string;
  readonly write?: boolean;
  readonly run?: boolean;
  readonly json?: boolean;
}

/** A context that agents can work in, where no server says what it has. */
const usualContext = 32_768;

/** Declares the command. */
export function defineConnect(program: Command): void {
  const command = program
    .command('connect')
    .summary('point a coding agent or an editor at the local server')
    .description(
      'Prints the settings that point a tool at the server, which is asked for its models if it ' +
        'runs. With --write they are written into the tool’s own file, whose other contents stay, ' +
        'after a backup. With --run the tool is started, and a server before it if none answers.',
    )
    .addArgument(new Argument('<tool>', 'which one').choices(Object.keys(tools)))
    .argument('[arguments...]', 'with --run: for the tool, after --')
    .option('--url <address>', 'the server', 'http://127.0.0.1:11711')
    .option('--model <name>', 'one of its models (default: its first; `default` if none runs)')
    .option(
      '--ctx <tokens>',
      'the model’s context (default: what the server says, or 32768)',
      integer(1),
    )
    .option('--api-key <key>', 'its key; also PACELINE_API_KEY')
    .option('--write', 'write the settings, after a backup')
    .option('--run', 'start the tool; its settings files stay as they are where that is possible')
    .option('--json', 'one JSON object on stdout')
    .action(connectCommand);
  addExamples(
    command,
    ['connect codex', 'what to write into ~/.codex/config.toml'],
    ['connect zed --write', 'written, after a backup'],
    ['connect --run claude-code -- --continue', 'started, with a server if none runs'],
  );
}

async function connectCommand(
  name: ToolName,
  further: readonly string[],
  flags: ConnectFlags,
): Promise<void> {
  const tool: Tool = tools[name];
  if (further.length > 0 && flags.run !== true) {
    throw new PacelineError('usage', `${further[0]} is for the tool, which is not started`, {
      hint: 'Add --run to start it.',
    });
  }
  if (flags.run === true) await runCommand(tool, further, flags);
  else await settingsCommand(tool, await endpointOf(flags), flags);
}

async function endpointOf(flags: ConnectFlags): Promise<Endpoint> {
  const url = endpointUrl(flags.url);
  const apiKey = flags.apiKey ?? (process.env.PACELINE_API_KEY || undefined);
  const models = await servedModels(url, apiKey);
  const model = flags.model ?? models?.[0]?.id ?? 'default';
  const served = models?.find(({ id }) => id === model);
  if (models !== undefined && served === undefined) {
    throw new PacelineError('model-not-found', `The server on ${url} has no model ${model}`, {
      hint: `It has ${models.map(({ id }) => id).join(', ')}.`,
    });
  }
  const contextLength = flags.ctx ?? served?.contextLength ?? usualContext;
  return { url, model, contextLength, ...(apiKey === undefined ? {} : { apiKey }) };
}

async function settingsCommand(tool: Tool, endpoint: Endpoint, flags: ConnectFlags): Promise<void> {
  const notes = tool.notes?.(endpoint) ?? [];
  if (tool.settings === undefined) {
    if (flags.write === true) throw notWritable(tool);
    if (flags.json === true) await printJson({ tool: tool.title, notes });
    else await print(`${notes.join('\n')}\n`);
    return;
  }
  const { planSettings, writeSettings } = await import('../../connect/write.js');
  const { changed } = await import('../../connect/change.js');
  const settings = tool.settings(endpoint, {
    home: homedir(),
    platform: process.platform,
    env: process.env,
    exists: existsSync,
  });
  const { file, format } = settings;
  if (flags.write !== true) {
    const text = changed(undefined, settings.changes, { format, file });
    if (flags.json === true) await printJson({ tool: tool.title, file, format, text, notes });
    else {
      note(`${tool.title} reads this from ${file}:`);
      await print(`${text.trimEnd()}\n`);
      for (const line of notes) note(line);
      note('`--write` puts it there, and leaves the rest of the file as it is.');
    }
    return;
  }
  const plan = await planSettings(settings);
  const backup = await writeSettings(plan, new Date());
  const written = plan.before !== plan.after;
  if (flags.json === true) {
    await printJson({ tool: tool.title, file, written, backup: backup ?? null, notes });
    return;
  }
  note(written ? `Wrote ${file}` : `${file} says so already`);
  if (backup !== undefined) note(`What it said before is in ${backup}`);
  for (const line of notes) note(line);
}

async function runCommand(
  tool: Tool,
  further: readonly string[],
  flags: ConnectFlags,
): Promise<void> {
  if (tool.launch === undefined) {
    throw new PacelineError('usage', `${tool.title} is no program that can be started from here`, {
      hint: 'Leave out --run to see its settings.',
    });
  }
  const { runTool, startServer } = await import('../../connect/launch.js');
  const url = endpointUrl(flags.url);
  const key = flags.apiKey ?? (process.env.PACELINE_API_KEY || undefined);
  const models = await servedModels(url, key);
  const server =
    models === undefined
      ? await startServer(
          process.argv[1] ?? '',
          serveArgs(url, flags),
          key === undefined ? {} : { PACELINE_API_KEY: key },
        )
      : undefined;
  try {
    const served = server?.models[0];
    const endpoint = await endpointOf(served === undefined ? flags : { ...flags, model: served });
    const launch = tool.launch(endpoint);
    if (flags.write === true) await settingsCommand(tool, endpoint, flags);
    else if (launch.needsSettings === true) {
      throw new PacelineError('usage', `${tool.title} reads its endpoint from its settings only`, {
        hint: 'Add --write.',
      });
    }
    process.exitCode = await runTool(launch, further);
  } finally {
    await server?.stop();
  }
}

/** How a server is started that answers on the address. */
function serveArgs(url: string, flags: ConnectFlags): readonly string[] {
  const { hostname, port, protocol } = new URL(url);
  if (protocol !== 'http:' || !['127.0.0.1', 'localhost', '[::1]'].includes(hostname)) {
    throw new PacelineError('network', `No server answers on ${url}`, {
      hint: 'Start it there; only one on this machine is started here.',
    });
  }
  const host = hostname === '[::1]' ? '::1' : hostname;
  return [
    flags.model ?? 'default',
    ...['--host', host, '--port', port === '' ? '80' : port, '--log-format', 'none'],
    ...(flags.ctx === undefined ? [] : ['--ctx', String(flags.ctx)]),
  ];
}

function notWritable({ title }: Tool): PacelineError {
  return new PacelineError('usage', `${title} keeps its settings where only it may write`, {
    hint: 'Leave out --write to see what to enter.',
  });
}
