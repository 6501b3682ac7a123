/**
 * Numbers in JSON's notation as languages: bounds by comparing digits, multiples by the remainder
 * of the digits read so far. Integers are written without a point. Digits are bounded (20 before and
 * after the point, exponents to 99), so that a number always ends and is finite. Knows nothing of
 * schemas.
 */
import type { Language } from '../core/derivatives.js';
import { EMPTY, NOTHING } from '../core/expressions.js';
import { ByteSet } from '../core/symbols.js';
import type { NumberRules } from './clause.js';

const DIGITS = 20;
/** Doubles tell numbers of this many digits apart. */
const EXACT_DIGITS = 15;
/** Remainders that are told apart at most. */
const MAX_DIVISOR = 2_000n;

interface Decimal {
  readonly negative: boolean;
  /** Digits before and after the point, without zeros at their outer ends. */
  readonly whole: string;
  readonly fraction: string;
}

/** A double as the decimal that JavaScript writes for it. */
export function decimalOf(value: number): Decimal {
  const [mantissa = '', exponent = '0'] = String(Math.abs(value)).split('e');
  const [before = '', after = ''] = mantissa.split('.');
  const shift = Number(exponent);
  let whole = before;
  let fraction = after;
  if (shift > 0) {
    whole = before + after.padEnd(shift, '0').slice(0, shift);
    fraction = after.slice(shift);
  } else if (shift < 0) {
    fraction = before.padStart(-shift, '0') + after;
    whole = '0';
  }
  whole = whole.replace(/^0+/, '') || '0';
  return { negative: value < 0, whole, fraction: fraction.replace(/0+$/, '') };
}

/** The texts of the numbers that rules allow; undefined: not expressible, with the reason. */
export function numberText(language: Language, rules: NumberRules): number | { reason: string } {
  const writer = new NumberWriter(language);
  const { integer, least, most, multiples } = rules;
  const bounded = least !== undefined || most !== undefined;
  const parts = [
    integer ? writer.integers(rules) : bounded ? writer.decimals(rules) : writer.any(),
  ];
  for (const { value } of multiples) {
    const multiple = writer.multiples(value, integer);
    if (multiple === undefined) return { reason: `multiples of ${value} have too many remainders` };
    parts.push(multiple);
  }
  return parts.length === 1 ? (parts[0] as number) : language.both(parts);
}

class NumberWriter {
  private readonly digit: number;
  private readonly minus: number;
  private readonly point: number;

  constructor(private readonly language: Language) {
    this.digit = language.set(ByteSet.of([0x30, 0x39]));
    this.minus = language.literal('-');
    this.point = language.literal('.');
  }

  private digits(low: number, high: number): number {
    return low > high ? NOTHING : this.language.set(ByteSet.of([0x30 + low, 0x30 + high]));
  }

  /** Any digits, so many at most. */
  private some(most: number, least = 0): number {
    return this.language.repeat(this.digit, least, most);
  }

  private whole(most: number): number {
    const { language } = this;
    return language.either([
      language.literal('0'),
      language.concat(this.digits(1, 9), this.some(most - 1)),
    ]);
  }

  any(): number {
    const { language } = this;
    const exponent = language.concat(
      language.set(ByteSet.of([0x45, 0x45], [0x65, 0x65])),
      language.optional(language.set(ByteSet.of([0x2b, 0x2b], [0x2d, 0x2d]))),
      this.some(2, 1),
    );
    return language.concat(
      language.optional(this.minus),
      this.whole(DIGITS),
      language.optional(language.concat(this.point, this.some(DIGITS, 1))),
      language.optional(exponent),
    );
  }

  integers(rules: NumberRules): number {
    const { language } = this;
    const most = rules.multiples.length > 0 ? EXACT_DIGITS : DIGITS - 1;
    if (rules.least === undefined && rules.most === undefined && rules.multiples.length === 0) {
      const positive = language.concat(this.digits(1, 9), this.some(most - 1));
      return language.either([
        language.literal('0'),
        language.concat(language.optional(this.minus), positive),
      ]);
    }
    const cap = 10n ** BigInt(most) - 1n;
    let low = rules.least === undefined ? -cap : BigInt(Math.ceil(rules.least));
    let high = rules.most === undefined ? cap : BigInt(Math.floor(rules.most));
    if (
      rules.leastOpen &&
      low === BigInt(Math.ceil(rules.least ?? 0)) &&
      Number.isInteger(rules.least)
    )
      low += 1n;
    if (
      rules.mostOpen &&
      high === BigInt(Math.floor(rules.most ?? 0)) &&
      Number.isInteger(rules.most)
    )
      high -= 1n;
    // Numbers beyond the bound on digits only where the schema's own bound lies beyond it.
    if (low <= cap && high > cap) high = cap;
    if (high >= -cap && low < -cap) low = -cap;
    const parts = [NOTHING];
    if (high >= 0n) parts.push(this.range(low > 0n ? low : 0n, high));
    if (low < 0n) parts.push(language.concat(this.minus, this.range(high < 0n ? -high : 1n, -low)));
    return language.either(parts);
  }

  /** Whole numbers from low to high, both at least 0. */
  private range(low: bigint, high: bigint): number {
    if (low > high) return NOTHING;
    const [first, last] = [low.toString(), high.toString()];
    const parts: number[] = [];
    for (let length = first.length; length <= last.length; length++) {
      const from = length === first.length ? first : `1${'0'.repeat(length - 1)}`;
      const to = length === last.length ? last : '9'.repeat(length);
      parts.push(this.between(from, to));
    }
    return this.language.either(parts);
  }

  /** Digit strings of one length between two of them. */
  private between(low: string, high: string): number {
    const { language } = this;
    let same = 0;
    while (same < low.length && low[same] === high[same]) same++;
    const prefix = language.literal(low.slice(0, same));
    if (same === low.length) return prefix;
    const [from, to] = [Number(low[same]), Number(high[same])];
    const rest = low.length - same - 1;
    return language.concat(
      prefix,
      language.either([
        language.concat(language.literal(String(from)), this.atLeast(low.slice(same + 1))),
        language.concat(this.digits(from + 1, to - 1), this.some(rest, rest)),
        language.concat(language.literal(String(to)), this.atMost(high.slice(same + 1))),
      ]),
    );
  }

  private atLeast(digits: string): number {
    return this.bounded(digits, (digit) => this.digits(digit + 1, 9));
  }

  private atMost(digits: string): number {
    return this.bounded(digits, (digit) => this.digits(0, digit - 1));
  }

  /** These digits, or as many that are first different where `beyond` allows it. */
  private bounded(digits: string, beyond: (digit: number) => number): number {
    let result = EMPTY;
    for (let index = digits.length - 1; index >= 0; index--) {
      const rest = digits.length - 1 - index;
      const digit = Number(digits[index]);
      result = this.language.either([
        this.language.concat(this.digits(digit, digit), result),
        this.language.concat(beyond(digit), this.some(rest, rest)),
      ]);
    }
    return result;
  }

  /** Numbers between bounds, without exponents. */
  decimals(rules: NumberRules): number {
    const { least, most, leastOpen, mostOpen } = rules;
    const parts = [NOTHING];
    if (most === undefined || most > 0 || (most === 0 && !mostOpen)) {
      const low = least === undefined || least < 0 ? undefined : { value: least, open: leastOpen };
      parts.push(
        this.positive(low, most === undefined ? undefined : { value: most, open: mostOpen }),
      );
    }
    if (least === undefined || least < 0) {
      const low = most === undefined || most > 0 ? undefined : { value: -most, open: mostOpen };
      const high = least === undefined ? undefined : { value: -least, open: leastOpen };
      parts.push(this.language.concat(this.minus, this.positive(low, high)));
    }
    return this.language.either(parts);
  }

  private positive(
    low: { value: number; open: boolean } | undefined,
    high: { value: number; open: boolean } | undefined,
  ): number {
    const { language } = this;
    const [from, to] = [decimalOf(low?.value ?? 0), decimalOf(high?.value ?? 0)];
    // A text just inside an open bound must not round onto it.
    const open = [low?.open ? from : undefined, high?.open ? to : undefined].filter(
      (bound) => bound !== undefined,
    );
    const places = Math.min(
      DIGITS,
      ...open.map(({ whole, fraction }) => Math.max(EXACT_DIGITS - whole.length, fraction.length)),
    );
    const wholes = Math.max(DIGITS, from.whole.length + 1);
    const shape = language.concat(
      this.whole(high ? Math.max(to.whole.length, 1) : wholes),
      this.fraction(places),
    );
    const parts = [shape];
    if (low) parts.push(this.above(from, low.open, wholes));
    if (high) parts.push(this.below(to, high.open));
    return language.both(parts);
  }

  private fraction(places: number): number {
    if (places < 1) return EMPTY;
    return this.language.optional(this.language.concat(this.point, this.some(places, 1)));
  }

  private above({ whole, fraction }: Decimal, open: boolean, wholes: number): number {
    const { language } = this;
    const longest = 10n ** BigInt(wholes) - 1n;
    const larger = language.concat(this.range(BigInt(whole) + 1n, longest), this.fraction(DIGITS));
    const zeros = language.repeat(this.digits(0, 0), 0);
    let rest = open
      ? language.concat(zeros, this.digits(1, 9), this.some(DIGITS))
      : this.some(DIGITS);
    for (let index = fraction.length - 1; index >= 0; index--) {
      const digit = Number(fraction[index]);
      rest = language.either([
        language.concat(this.digits(digit, digit), rest),
        language.concat(this.digits(digit + 1, 9), this.some(DIGITS)),
      ]);
    }
    const same = language.concat(this.point, rest);
    const tail = fraction === '' && !open ? language.optional(same) : same;
    return language.either([larger, language.concat(language.literal(whole), tail)]);
  }

  private below({ whole, fraction }: Decimal, open: boolean): number {
    const { language } = this;
    const limit = BigInt(whole);
    const smaller =
      limit === 0n ? NOTHING : language.concat(this.range(0n, limit - 1n), this.fraction(DIGITS));
    let rest = open ? NOTHING : language.repeat(this.digits(0, 0), 0);
    for (let index = fraction.length - 1; index >= 0; index--) {
      const digit = Number(fraction[index]);
      rest = language.either([
        ...(index === 0 ? [] : [EMPTY]),
        language.concat(this.digits(digit, digit), rest),
        language.concat(this.digits(0, digit - 1), this.some(DIGITS)),
      ]);
    }
    const point = language.concat(this.point, rest);
    const same = fraction === '' && open ? NOTHING : language.optional(point);
    return language.either([smaller, language.concat(language.literal(whole), same)]);
  }

  /** Numbers that are whole multiples; undefined where the remainders are too many. */
  multiples(divisor: number, integer: boolean): number | undefined {
    const { whole, fraction } = decimalOf(divisor);
    const modulus = BigInt(whole + fraction);
    if (modulus > MAX_DIVISOR || fraction.length > 9) return undefined;
    const unit = Number(modulus);
    const places = fraction.length;
    const { language } = this;
    const states = new Map<number, number>();
    const state = (remainder: number, done: number): number => {
      const key = (done + 1) * unit + remainder;
      let rule = states.get(key);
      if (rule === undefined) {
        const left = places - Math.max(0, done);
        const accepts = done !== 0 && (remainder * 10 ** left) % unit === 0;
        rule = language.rule(() => expand(remainder, done, accepts), undefined, accepts);
        states.set(key, rule);
      }
      return language.call(rule);
    };
    // `done` is -1 before the point, then the number of digits after it.
    const expand = (remainder: number, done: number, accepts: boolean): number => {
      const parts = accepts ? [EMPTY] : [];
      if (done < places) {
        for (let digit = 0; digit < 10; digit++) {
          const next = state((remainder * 10 + digit) % unit, done < 0 ? -1 : done + 1);
          parts.push(language.concat(this.digits(digit, digit), next));
        }
      }
      if (done < 0 && !integer && places > 0) {
        parts.push(language.concat(this.point, state(remainder, 0)));
      }
      return language.either(parts);
    };
    return language.concat(language.optional(this.minus), state(0, -1));
  }
}
