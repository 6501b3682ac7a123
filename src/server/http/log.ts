/**
 * One line an event, on stderr: for people, or JSON for programs. Prompts and texts are not in it
 * unless that was asked for.
 */

export type LogLevel = 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export type Log = (level: LogLevel, message: string, fields?: LogFields) => void;

export interface LogOptions {
  readonly format: 'text' | 'json' | 'none';
  readonly write?: (line: string) => void;
  readonly now?: () => Date;
}

export function createLog(options: LogOptions): Log {
  const { format, now = () => new Date() } = options;
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`));
  if (format === 'none') return () => {};
  return (level, message, fields = {}) => {
    const time = now().toISOString();
    if (format === 'json') {
      write(JSON.stringify({ time, level, message, ...fields }));
      return;
    }
    const rest = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => ` ${key}=${shown(value)}`)
      .join('');
    write(`${time.slice(11, 23)} ${level.padEnd(5)} ${message}${rest}`);
  };
}

/** A value on one line, without control characters of a client's choosing. */
function shown(value: string | number | boolean | undefined): string {
  if (typeof value === 'number' && !Number.isInteger(value)) return value.toFixed(1);
  const text = String(value);
  return /^[\w./:-]+$/.test(text) ? text : JSON.stringify(text);
}
