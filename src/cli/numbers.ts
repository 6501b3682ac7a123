/** Parsers of flag values; what they refuse is wrong usage. */
import { InvalidArgumentError } from 'commander';

const integerPattern = /^[+-]?\d+$/;
const numberPattern = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function within(value: number, least: number, most: number, kind: string): number {
  if (value >= least && value <= most) return value;
  const open = value < least && most >= Number.MAX_SAFE_INTEGER;
  const range = open ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new InvalidArgumentError(`It must be ${kind} ${range}.`);
}

/** A whole number in a range. */
export function integer(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    if (!integerPattern.test(text)) throw new InvalidArgumentError('It must be a whole number.');
    return within(Number(text), least, most, 'a whole number');
  };
}

/** A number in a range. */
export function number(least: number, most = Number.MAX_VALUE): (text: string) => number {
  return (text) => {
    if (!numberPattern.test(text)) throw new InvalidArgumentError('It must be a number.');
    return within(Number(text), least, most, 'a number');
  };
}

/** Numbers separated by commas, each as `one` reads it. */
function listOf(one: (text: string) => number): (text: string) => number[] {
  return (text) => text.split(',').map((part) => one(part.trim()));
}

/** Whole numbers separated by commas, each in a range. */
export function integers(least: number, most: number): (text: string) => number[] {
  return listOf(integer(least, most));
}

/** Numbers separated by commas, each in a range. */
export function numbers(least: number, most: number): (text: string) => number[] {
  return listOf(number(least, most));
}

/** Words separated by commas, each one of a list. */
export function words<T extends string>(allowed: readonly T[]): (text: string) => T[] {
  return (text) =>
    text.split(',').map((part) => {
      const word = allowed.find((candidate) => candidate === part.trim());
      if (word !== undefined) return word;
      throw new InvalidArgumentError(`Each must be one of ${allowed.join(', ')}.`);
    });
}

/** Appends to a list: for flags that may be given several times. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}
