/** Formats a date as Python's `strftime` in the C locale: English names on any machine. */

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September'],
  ...['October', 'November', 'December'],
];

const two = (value: number) => String(value).padStart(2, '0');

const dayOfYear = (date: Date) =>
  1 +
  Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) -
      Date.UTC(date.getFullYear(), 0, 1)) /
      86_400_000,
  );

function offset(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}${two(size % 60)}`;
}

const fields: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => (days[date.getDay()] as string).slice(0, 3),
  A: (date) => days[date.getDay()] as string,
  b: (date) => (months[date.getMonth()] as string).slice(0, 3),
  B: (date) => months[date.getMonth()] as string,
  c: (date) => strftime(date, '%a %b %e %H:%M:%S %Y'),
  d: (date) => two(date.getDate()),
  D: (date) => strftime(date, '%m/%d/%y'),
  e: (date) => String(date.getDate()).padStart(2, ' '),
  f: (date) => `${String(date.getMilliseconds()).padStart(3, '0')}000`,
  F: (date) => strftime(date, '%Y-%m-%d'),
  h: (date) => strftime(date, '%b'),
  H: (date) => two(date.getHours()),
  I: (date) => two(date.getHours() % 12 || 12),
  j: (date) => String(dayOfYear(date)).padStart(3, '0'),
  m: (date) => two(date.getMonth() + 1),
  M: (date) => two(date.getMinutes()),
  n: () => '\n',
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  R: (date) => strftime(date, '%H:%M'),
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  S: (date) => two(date.getSeconds()),
  t: () => '\t',
  T: (date) => strftime(date, '%H:%M:%S'),
  u: (date) => String(date.getDay() || 7),
  w: (date) => String(date.getDay()),
  x: (date) => strftime(date, '%m/%d/%y'),
  X: (date) => strftime(date, '%H:%M:%S'),
  y: (date) => two(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  z: offset,
  '%': () => '%',
};

/** The date in local time; a directive that is not known stays as it is, `%-d` has no padding. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([A-Za-z%])/g, (whole, bare: string, letter: string) => {
    const field = fields[letter];
    if (!field) return whole;
    const text = field(date);
    return bare ? text.replace(/^[0 ]+(?=.)/, '') : text;
  });
}
