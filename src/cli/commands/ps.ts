/** `paceline ps`: what a running server has in memory. */
import type { Command } from 'commander';
import { PacelineError } from '../../base/errors.js';
import { addExamples } from '../help.js';
import { note, print, printJson } from '../output.js';
import { bytes, printable, table } from '../table.js';

interface PsFlags {
  readonly url: string;
  readonly apiKey?: string;
  readonly json?: boolean;
}

/** A model as `/api/ps` has it. */
interface Process {
  readonly name: string;
  readonly size: number;
  readonly context_length?: number;
  readonly expires_at: string;
}

/** Declares the command. */
export function definePs(program: Command): void {
  const command = program
    .command('ps')
    .summary('show what a running server has in memory')
    .description('Asks a running server which models are in memory, and until when.')
    .option('--url <address>', 'the server', 'http://127.0.0.1:11711')
    .option('--api-key <key>', 'its key; also PACELINE_API_KEY')
    .option('--json', 'one JSON object on stdout')
    .action(psCommand);
  addExamples(command, ['ps', 'what the server on this machine has in memory']);
}

async function psCommand(flags: PsFlags): Promise<void> {
  const { models } = await ask(flags);
  if (flags.json === true) {
    await printJson({ models });
    return;
  }
  if (models.length === 0) {
    note('No model is in memory.');
    return;
  }
  const rows = models.map(({ name, size, context_length: context, expires_at: expires }) => [
    printable(name),
    bytes(size),
    String(context ?? ''),
    expires.startsWith('9999') ? 'never' : expires,
  ]);
  await print(table(rows, ['model', 'size', 'context', 'unloaded']));
}

async function ask({ url, apiKey }: PsFlags): Promise<{ readonly models: readonly Process[] }> {
  const key = apiKey ?? process.env.PACELINE_API_KEY;
  let response: Response;
  try {
    response = await fetch(new URL('/api/ps', url), {
      headers: key ? { authorization: `Bearer ${key}` } : {},
      signal: AbortSignal.timeout(10_000),
    });
  } catch (cause) {
    throw new PacelineError('network', `No server answers on ${url}`, {
      hint: 'Start one with `paceline serve`, or give its address with --url.',
      cause,
    });
  }
  const body = (await response.json().catch(() => ({}))) as {
    models?: readonly Process[];
    error?: string;
  };
  if (response.ok && Array.isArray(body.models)) return { models: body.models };
  const denied = response.status === 401 || response.status === 403;
  throw new PacelineError(
    denied ? 'unauthorized' : 'network',
    `The server answered ${response.status}: ${body.error ?? 'nothing that makes sense here'}`,
    { hint: denied ? 'Give its key with --api-key.' : 'Is it a Paceline server?' },
  );
}
