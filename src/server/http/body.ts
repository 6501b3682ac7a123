/** Bodies of requests: bounded in bytes and depth, strictly UTF-8, JSON whatever the type says. */
import { PacelineError } from '../../base/errors.js';

/** Deeper than any real request, and far from what exhausts a stack. */
const deepest = 200;

/**
 * The body as JSON. The content type is not looked at: `curl -d` sends another one.
 * @throws {PacelineError} `too-large`; `usage` for what is no JSON.
 */
export async function readJson(request: Request, limit: number): Promise<unknown> {
  const text = await readText(request, limit);
  if (text.trim() === '') {
    throw new PacelineError('usage', 'The body is empty', { hint: 'Send a JSON object.' });
  }
  if (depthOf(text) > deepest) {
    throw new PacelineError('usage', `The body is nested deeper than ${deepest} levels`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PacelineError('usage', `The body is not JSON: ${reason}`, {
      hint: text.startsWith("'")
        ? 'The quotes around it were sent too: this shell wants double quotes, with \\" inside.'
        : 'Send a JSON object; its strings have double quotes.',
    });
  }
}

async function readText(request: Request, limit: number): Promise<string> {
  const announced = Number(request.headers.get('content-length') ?? 0);
  if (announced > limit) throw tooLarge(limit);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (request.body !== null) {
    for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > limit) throw tooLarge(limit);
      chunks.push(chunk);
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new PacelineError('usage', 'The body is not valid UTF-8');
  }
}

function tooLarge(limit: number): PacelineError {
  return new PacelineError('too-large', `The body has more than ${limit} bytes`, {
    hint: 'Start the server with a larger --body-limit.',
  });
}

/** How deep brackets nest outside of strings. */
function depthOf(text: string): number {
  let depth = 0;
  let most = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === 0x5c) at += 1;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) {
      inString = true;
    } else if (code === 0x7b || code === 0x5b) {
      depth += 1;
      if (depth > most) most = depth;
    } else if (code === 0x7d || code === 0x5d) {
      depth -= 1;
    }
  }
  return most;
}
