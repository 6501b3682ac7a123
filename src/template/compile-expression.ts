/**
 * Expressions to functions that compute them. Evaluation follows Python's order, counts a step each
 * and notes the place of whatever may fail.
 */
import { callValue, getAttribute, getItem, missing } from './attributes.js';
import { checkLength, spend, spendItems } from './budget.js';
import { Fault, isFault, SyntaxFault, typeFault } from './faults.js';
import { type Frame, nameReader, softFrame } from './frames.js';
import { escapeText } from './html.js';
import type { Arguments, CallNode, Expression, FilterNode } from './nodes.js';
import { binary, compare, unary } from './operators.js';
import { findFilter, findTest } from './registry.js';
import type { Evaluate, Filter, Runtime } from './runtime.js';
import { listOf, sliceOf, truthy } from './sequences.js';
import { toText } from './text.js';
import {
  Dict,
  type Keywords,
  Markup,
  noKeywords,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** @throws {SyntaxFault} for unknown filters and tests, as Jinja does */
export function compileExpression(node: Expression, frame: Frame): Evaluate {
  const { at } = node;
  const compile = (part: Expression) => compileExpression(part, frame);
  switch (node.kind) {
    case 'constant': {
      const { value } = node;
      return () => value;
    }
    case 'name':
      return counted(nameReader(frame, node.name));
    case 'list': {
      const items = node.items.map(compile);
      return (environment, runtime) => {
        spendItems(items.length);
        return items.map((item) => item(environment, runtime));
      };
    }
    case 'tuple': {
      const items = node.items.map(compile);
      return (environment, runtime) => {
        spendItems(items.length);
        return new Tuple(items.map((item) => item(environment, runtime)));
      };
    }
    case 'dict': {
      const pairs = node.pairs.map(({ key, value }) => [compile(key), compile(value)] as const);
      return (environment, runtime) => {
        spendItems(pairs.length);
        const dict = new Dict();
        for (const [key, value] of pairs) {
          const place = key(environment, runtime);
          const item = value(environment, runtime);
          runtime.at = at;
          dict.set(place, item);
        }
        return dict;
      };
    }
    case 'binary': {
      const { operator } = node;
      const [left, right] = [compile(node.left), compile(node.right)];
      return (environment, runtime) => {
        const first = left(environment, runtime);
        const second = right(environment, runtime);
        spend();
        runtime.at = at;
        return binary(operator, first, second);
      };
    }
    case 'and': {
      const [left, right] = [compile(node.left), compile(node.right)];
      return (environment, runtime) => {
        const first = left(environment, runtime);
        return truthy(first) ? right(environment, runtime) : first;
      };
    }
    case 'or': {
      const [left, right] = [compile(node.left), compile(node.right)];
      return (environment, runtime) => {
        const first = left(environment, runtime);
        return truthy(first) ? first : right(environment, runtime);
      };
    }
    case 'unary': {
      const { operator } = node;
      const value = compile(node.value);
      if (operator === 'not') return (environment, runtime) => !truthy(value(environment, runtime));
      return (environment, runtime) => {
        const operand = value(environment, runtime);
        runtime.at = at;
        return unary(operator, operand);
      };
    }
    case 'compare': {
      const first = compile(node.first);
      const rest = node.rest.map((item) => ({ ...item, value: compile(item.value) }));
      return (environment, runtime) => {
        let left = first(environment, runtime);
        for (const { comparison, value } of rest) {
          const right = value(environment, runtime);
          runtime.at = at;
          if (!compare(comparison, left, right)) return false;
          left = right;
        }
        return true;
      };
    }
    case 'concat':
      return compileConcat(node.parts.map(compile), frame);
    case 'condition': {
      const soft = softFrame(frame);
      const test = compileExpression(node.test, soft);
      const yes = compileExpression(node.yes, soft);
      const no = node.no && compileExpression(node.no, soft);
      return (environment, runtime) => {
        if (truthy(test(environment, runtime))) return yes(environment, runtime);
        if (no) return no(environment, runtime);
        return new Undefined('the inline if-expression evaluated to false and has no else');
      };
    }
    case 'attribute': {
      const { name } = node;
      const value = compile(node.value);
      return (environment, runtime) => {
        const owner = value(environment, runtime);
        spend();
        runtime.at = at;
        return getAttribute(owner, name);
      };
    }
    case 'item': {
      const [value, key] = [compile(node.value), compile(node.key)];
      return (environment, runtime) => {
        const owner = value(environment, runtime);
        const place = key(environment, runtime);
        spend();
        runtime.at = at;
        return getItem(owner, place);
      };
    }
    case 'slice': {
      const value = compile(node.value);
      const parts = [node.start, node.stop, node.step].map((part) => part && compile(part));
      return (environment, runtime) => {
        const owner = value(environment, runtime);
        const [start = null, stop = null, step = null] = parts.map((part) =>
          part ? part(environment, runtime) : null,
        );
        spend();
        runtime.at = at;
        return frame.isConstant
          ? constantSlice(owner, start, stop, step)
          : sliceOf(owner, start, stop, step);
      };
    }
    case 'call':
      return compileCall(node, frame);
    case 'filter':
      return compileFilter(node, frame);
    default: {
      const value = compile(node.value);
      const run = lookUp('test', node.name, at, frame);
      if (node.name === 'sameas' && isFreshLiteral(node.args[0])) {
        return compileSameAsLiteral(value, run, node, frame);
      }
      const given = compileArguments(node, frame);
      return (environment, runtime) => {
        const first = value(environment, runtime);
        const { args, keywords } = given(environment, runtime, [first]);
        spend();
        runtime.at = at;
        return run(runtime, args, keywords);
      };
    }
  }
}

/** A slice that Jinja computes before rendering: what cannot be sliced is undefined. */
function constantSlice(owner: Value, start: Value, stop: Value, step: Value): Value {
  try {
    return sliceOf(owner, start, stop, step);
  } catch (error) {
    if (isFault(error, 'TypeError')) return missing(owner, null);
    throw error;
  }
}

function counted(evaluate: Evaluate): Evaluate {
  return (environment, runtime) => {
    spend();
    return evaluate(environment, runtime);
  };
}

/** A literal that Python makes anew: no value can be the same object. */
function isFreshLiteral(node: Expression | undefined): boolean {
  if (node?.kind !== 'constant') return false;
  const { value } = node;
  if (typeof value === 'bigint') return value < -5n || value > 256n;
  return typeof value === 'number' || (typeof value === 'string' && value.length > 1);
}

function compileSameAsLiteral(
  value: Evaluate,
  run: Filter,
  node: Expression & Arguments,
  frame: Frame,
): Evaluate {
  const given = compileArguments(node, frame);
  return (environment, runtime) => {
    const { args, keywords } = given(environment, runtime, [value(environment, runtime)]);
    run(runtime, args, keywords);
    return false;
  };
}

function compileConcat(parts: readonly Evaluate[], frame: Frame): Evaluate {
  const marks = frame.autoescape === true;
  return (environment, runtime) => {
    const values = parts.map((part) => part(environment, runtime));
    spend();
    if (marks && values.some((value) => value instanceof Markup)) {
      return new Markup(joined(values.map((value) => escapeText(value).text)));
    }
    return joined(values.map(toText));
  };
}

function joined(texts: readonly string[]): string {
  let result = '';
  for (const text of texts) {
    checkLength(result.length + text.length);
    result += text;
  }
  return result;
}

interface Given {
  readonly args: Value[];
  readonly keywords: Keywords;
}

type Gather = (environment: Parameters<Evaluate>[0], runtime: Runtime, first: Value[]) => Given;

/** Evaluates arguments after those that are there already. */
function compileArguments(node: Arguments & { readonly at: number }, frame: Frame): Gather {
  const args = node.args.map((arg) => compileExpression(arg, frame));
  const named = node.keywords.map(
    ({ name, value }) => [name, compileExpression(value, frame)] as const,
  );
  const rest = node.rest && compileExpression(node.rest, frame);
  const restKeywords = node.restKeywords && compileExpression(node.restKeywords, frame);
  if (named.length === 0 && !rest && !restKeywords) {
    return (environment, runtime, first) => {
      for (const arg of args) first.push(arg(environment, runtime));
      return { args: first, keywords: noKeywords };
    };
  }
  return (environment, runtime, first) => {
    for (const arg of args) first.push(arg(environment, runtime));
    if (rest) {
      const values = rest(environment, runtime);
      runtime.at = node.at;
      for (const value of listOf(values)) first.push(value);
    }
    const keywords = new Map<string, Value>();
    for (const [name, value] of named) keywords.set(name, value(environment, runtime));
    if (restKeywords) addKeywords(keywords, restKeywords(environment, runtime));
    return { args: first, keywords };
  };
}

function addKeywords(keywords: Map<string, Value>, more: Value): void {
  if (!(more instanceof Dict)) {
    throw typeFault(`argument after ** must be a mapping, not ${typeName(more)}`);
  }
  for (const [key, value] of more.pairs()) {
    const name = textOf(key);
    if (name === undefined) throw typeFault('keywords must be strings');
    if (keywords.has(name)) throw typeFault(`got multiple values for keyword argument '${name}'`);
    keywords.set(name, value);
  }
}

/** @param caller a further keyword argument for the body of a `call` block */
export function compileCall(
  node: CallNode,
  frame: Frame,
  caller?: (environment: Parameters<Evaluate>[0], runtime: Runtime) => Value,
): Evaluate {
  const { at } = node;
  const callee = compileExpression(node.callee, frame);
  const gather = compileArguments(node, frame);
  return (environment, runtime) => {
    const value = callee(environment, runtime);
    const { args, keywords } = gather(environment, runtime, []);
    spend();
    runtime.at = at;
    if (!caller) return callValue(value, args, keywords);
    const all = new Map(keywords);
    if (all.has('caller')) throw typeFault("got multiple values for keyword argument 'caller'");
    all.set('caller', caller(environment, runtime));
    return callValue(value, args, all);
  };
}

/** @param text the value of a filter that a block's text goes through */
export function compileFilter(node: FilterNode, frame: Frame, text?: Evaluate): Evaluate {
  const { at } = node;
  const value = node.value ? filterValue(node.value, frame, text) : text;
  if (!value) throw new SyntaxFault('a filter has no value', at);
  const run = lookUp('filter', node.name, at, frame);
  const gather = compileArguments(node, frame);
  return (environment, runtime) => {
    const first = value(environment, runtime);
    const { args, keywords } = gather(environment, runtime, [first]);
    spend();
    runtime.at = at;
    return run(runtime, args, keywords);
  };
}

function filterValue(node: Expression, frame: Frame, text: Evaluate | undefined): Evaluate {
  if (node.kind === 'filter' && text) return compileFilter(node, frame, text);
  return compileExpression(node, frame);
}

/** A filter or a test by name; one that does not exist fails here or, in a condition, when called. */
function lookUp(kind: 'filter' | 'test', name: string, at: number, frame: Frame): Filter {
  const found = kind === 'filter' ? findFilter(name) : findTest(name);
  if (found) return found;
  const message = `No ${kind} named '${name}'.`;
  if (!frame.isSoft) throw new SyntaxFault(message, at);
  return () => {
    throw new Fault('TemplateRuntimeError', message);
  };
}
