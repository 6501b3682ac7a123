/** Jinja's global functions, and those that Hugging Face adds for chat templates. */
import { spend, spendItems } from './budget.js';
import { Fault, typeFault } from './faults.js';
import { Cycler, Joiner } from './objects.js';
import { dictOf, makeRange } from './sequences.js';
import { strftime } from './strftime.js';
import { requireText } from './string-methods.js';
import { toText } from './text.js';
import { Callable, Dict, type Keywords, Namespace, type Value } from './values.js';

/** What a template says with `raise_exception`. */
export class RaisedFault extends Fault {
  constructor(message: string) {
    super('TemplateError', message);
  }
}

/** `dict(...)`: of a mapping or pairs, then of names. */
function makeDict(args: readonly Value[], keywords: Keywords): Dict {
  if (args.length > 1) throw typeFault(`dict expected at most 1 argument, got ${args.length}`);
  const [first] = args;
  const dict = first === undefined ? new Dict() : dictOf(first);
  spendItems(dict.size + keywords.size);
  for (const [name, value] of keywords) dict.set(name, value);
  return dict;
}

/** One argument, by position or by its name. */
function only(name: string, args: readonly Value[], keywords: Keywords): Value {
  const [value = keywords.get(name)] = args;
  if (value === undefined || args.length + keywords.size !== 1) {
    throw typeFault(`exactly one argument is needed: ${name}`);
  }
  return value;
}

function refuseKeywords(keywords: Keywords): void {
  if (keywords.size > 0) throw typeFault('no keyword arguments are allowed');
}

/** @param now what `strftime_now` formats */
export function globalNames(now: Date): Map<string, Value> {
  const functions: Record<string, Callable['call']> = {
    range: (args, keywords) => {
      refuseKeywords(keywords);
      return makeRange(args);
    },
    dict: makeDict,
    namespace: (args, keywords) => new Namespace(makeDict(args, keywords)),
    cycler: (args, keywords) => {
      refuseKeywords(keywords);
      return new Cycler(args);
    },
    joiner: (args, keywords) =>
      new Joiner(args.length + keywords.size === 0 ? ', ' : only('sep', args, keywords)),
    lipsum: () => {
      throw new Fault('TemplateRuntimeError', 'lipsum is random text, which no prompt may hold');
    },
    raise_exception: (args, keywords) => {
      throw new RaisedFault(toText(only('message', args, keywords)));
    },
    strftime_now: (args, keywords) => {
      const format = requireText(only('format', args, keywords));
      spend(format.length * 16);
      return strftime(now, format);
    },
  };
  return new Map(
    Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)] as const),
  );
}
