/**
 * Formats a date as Python's `strftime` on Linux in the C locale: English names on any machine,
 * local time without a zone, as `datetime.now()` has none.
 */

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September'],
  ...['October', 'November', 'December'],
];

const DAY = 86_400_000;

/** Midnight of the date's day, as if local time were universal. */
const midnight = (date: Date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());

const dayOfYear = (date: Date) =>
  1 + Math.round((midnight(date) - Date.UTC(date.getFullYear(), 0, 1)) / DAY);

/** The week of the year, the first beginning with that day of the week. */
const week = (date: Date, firstDay: number) =>
  Math.floor((dayOfYear(date) + 6 - ((date.getDay() - firstDay + 7) % 7)) / 7);

/** Year and week of ISO 8601: those of the week's Thursday. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(midnight(date) + (4 - (date.getDay() || 7)) * DAY);
  const year = thursday.getUTCFullYear();
  const number = 1 + Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / DAY / 7);
  return { year, week: number };
}

interface NumberField {
  readonly value: (date: Date) => number;
  readonly width: number;
  readonly fill: '0' | ' ';
}

const number = (width: number, value: (date: Date) => number, fill: '0' | ' ' = '0') => ({
  value,
  width,
  fill,
});

const numbers: Readonly<Record<string, NumberField>> = {
  C: number(2, (date) => Math.floor(date.getFullYear() / 100)),
  d: number(2, (date) => date.getDate()),
  e: number(2, (date) => date.getDate(), ' '),
  f: number(6, (date) => date.getMilliseconds() * 1000),
  g: number(2, (date) => isoWeek(date).year % 100),
  G: number(1, (date) => isoWeek(date).year),
  H: number(2, (date) => date.getHours()),
  I: number(2, (date) => date.getHours() % 12 || 12),
  j: number(3, dayOfYear),
  k: number(2, (date) => date.getHours(), ' '),
  l: number(2, (date) => date.getHours() % 12 || 12, ' '),
  m: number(2, (date) => date.getMonth() + 1),
  M: number(2, (date) => date.getMinutes()),
  s: number(1, (date) => Math.floor(date.getTime() / 1000)),
  S: number(2, (date) => date.getSeconds()),
  u: number(1, (date) => date.getDay() || 7),
  U: number(2, (date) => week(date, 0)),
  V: number(2, (date) => isoWeek(date).week),
  w: number(1, (date) => date.getDay()),
  W: number(2, (date) => week(date, 1)),
  y: number(2, (date) => date.getFullYear() % 100),
  Y: number(1, (date) => date.getFullYear()),
};

const texts: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => (days[date.getDay()] as string).slice(0, 3),
  A: (date) => days[date.getDay()] as string,
  b: (date) => (months[date.getMonth()] as string).slice(0, 3),
  B: (date) => months[date.getMonth()] as string,
  h: (date) => (months[date.getMonth()] as string).slice(0, 3),
  n: () => '\n',
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  P: (date) => (date.getHours() < 12 ? 'am' : 'pm'),
  t: () => '\t',
  z: () => '',
  Z: () => '',
  '%': () => '%',
};

const composed: Readonly<Record<string, string>> = {
  c: '%a %b %e %H:%M:%S %Y',
  D: '%m/%d/%y',
  F: '%Y-%m-%d',
  r: '%I:%M:%S %p',
  R: '%H:%M',
  T: '%H:%M:%S',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
};

/**
 * The date in local time. `-`, `_`, `0` and `^` after the `%` take away, choose or raise as in C; a
 * directive that is not known stays as it is.
 */
export function strftime(date: Date, format: string): string {
  return format.replace(
    /%([-_0^#]*)([0-9]{0,3})[EO]?([A-Za-z%])/g,
    (whole, flags: string, width: string, letter: string) => {
      const text = field(date, letter, flags, Number(width));
      if (text === undefined) return whole;
      return flags.includes('^') ? text.toUpperCase() : text;
    },
  );
}

function field(date: Date, letter: string, flags: string, width: number): string | undefined {
  const entry = numbers[letter];
  if (entry) {
    const digits = String(entry.value(date));
    if (flags.includes('-')) return digits;
    const fill = flags.includes('_') ? ' ' : flags.includes('0') ? '0' : entry.fill;
    return digits.padStart(Math.max(entry.width, width), fill);
  }
  const format = composed[letter];
  const text = format === undefined ? texts[letter]?.(date) : strftime(date, format);
  return text?.padStart(width, flags.includes('0') ? '0' : ' ');
}
