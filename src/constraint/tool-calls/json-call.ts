/**
 * Calls that are JSON objects with a name and arguments: written, and read while they arrive, the
 * arguments as they come. Knows nothing of the marks around them.
 */
import type { Tool } from '../spec.js';
import type { CallEvents } from './events.js';
import type { CallWriter } from './format.js';
import type { Reading, TextReader } from './reader.js';

/** `{"name": ..., "arguments": {...}}`, with the format's name for the arguments. */
export function jsonCall(writer: CallWriter, tool: Tool, key: string): number {
  const { language, space } = writer;
  const text = (part: string) => language.literal(part);
  return language.concat(
    ...[text('{'), space, text('"name"'), space, text(':'), space, text(JSON.stringify(tool.name))],
    ...[space, text(','), space, text(JSON.stringify(key)), space, text(':'), space],
    ...[writer.argumentsOf(tool), space, text('}')],
  );
}

const argumentKeys = new Set(['arguments', 'parameters']);

/** Reads such an object, whatever the order of its keys. False: it is not one, or did not end. */
export function* readJsonCall(reader: TextReader, events: CallEvents): Reading<boolean> {
  let name: string | undefined;
  let held = '';
  let hasArguments = false;
  if ((yield* reader.next()) !== '{') return false;
  for (;;) {
    yield* reader.skipSpace();
    if (yield* reader.accept('}')) break;
    if (hasArguments || name !== undefined) yield* reader.accept(',');
    yield* reader.skipSpace();
    const key = yield* readString(reader);
    yield* reader.skipSpace();
    if (key === undefined || !(yield* reader.accept(':'))) return false;
    yield* reader.skipSpace();
    if (key === 'name') {
      name = yield* readString(reader);
      if (name === undefined) return false;
      events.start(name);
      events.delta(held);
    } else if (argumentKeys.has(key)) {
      hasArguments = true;
      const ended = yield* readArguments(reader, (json) => {
        if (name === undefined) held += json;
        else events.delta(json);
      });
      if (!ended) return false;
    } else if (!(yield* reader.json(() => {}))) return false;
    yield* reader.skipSpace();
    const next = yield* reader.peek();
    if (next !== ',' && next !== '}') return false;
    if (next === ',') yield* reader.next();
  }
  if (name !== undefined && !hasArguments) events.delta('{}');
  return name !== undefined;
}

/** Arguments as an object, or as a string that holds one, which some models write. */
function* readArguments(reader: TextReader, onJson: (json: string) => void): Reading<boolean> {
  if ((yield* reader.peek()) !== '"') return yield* reader.json(onJson);
  const inner = yield* readString(reader);
  if (inner === undefined) return false;
  onJson(inner);
  return true;
}

function* readString(reader: TextReader): Reading<string | undefined> {
  if ((yield* reader.peek()) !== '"') return undefined;
  let text = '';
  const ended = yield* reader.json((part) => {
    text += part;
  });
  try {
    const value: unknown = ended ? JSON.parse(text) : undefined;
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
