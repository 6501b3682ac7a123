/** Walks over a template's tree: the parts of a node, the names that it reads and writes. */
import { partsOf } from './expression-parser.js';
import type { Expression, Statement, Target } from './nodes.js';

/** The expressions directly within an expression. */
export function childrenOf(node: Expression): readonly (Expression | undefined)[] {
  switch (node.kind) {
    case 'constant':
    case 'name':
      return [];
    case 'list':
    case 'tuple':
      return node.items;
    case 'dict':
      return node.pairs.flatMap((pair) => [pair.key, pair.value]);
    case 'binary':
    case 'and':
    case 'or':
      return [node.left, node.right];
    case 'unary':
    case 'attribute':
      return [node.value];
    case 'compare':
      return [node.first, ...node.rest.map((item) => item.value)];
    case 'concat':
      return node.parts;
    case 'condition':
      return [node.test, node.yes, node.no];
    case 'item':
      return [node.value, node.key];
    case 'slice':
      return [node.value, node.start, node.stop, node.step];
    case 'call':
      return [node.callee, ...partsOf(node)];
    default:
      return [node.value, ...partsOf(node)];
  }
}

/** Filters that need the running template. */
const contextual = new Set(['map', 'select', 'reject', 'selectattr', 'rejectattr', 'random']);

/** Whether an expression has no variable and no call in it, so that Jinja computes it at once. */
export function isConstant(node: Expression): boolean {
  if (node.kind === 'name' || node.kind === 'call') return false;
  if (node.kind === 'filter' && contextual.has(node.name)) return false;
  return childrenOf(node).every((child) => !child || isConstant(child));
}

/** The expressions directly within a statement. */
function expressionsOf(node: Statement): readonly (Expression | undefined)[] {
  switch (node.kind) {
    case 'output':
    case 'with':
      return node.values;
    case 'if':
      return node.branches.map((branch) => branch.test);
    case 'for':
      return [node.iterable, node.test];
    case 'set':
    case 'autoescape':
      return [node.value];
    case 'set-block':
    case 'filter-block':
      return [node.filter];
    case 'macro':
      return node.presets;
    case 'call-block':
      return [node.call, ...node.presets];
    default:
      return [];
  }
}

/** The statements directly within a statement. */
function bodiesOf(node: Statement): readonly Statement[] {
  if (node.kind === 'if') return [...node.branches.flatMap((item) => item.body), ...node.otherwise];
  if (node.kind === 'for') return [...node.body, ...node.otherwise];
  return 'body' in node ? node.body : [];
}

/** The names of plain variables in a target. */
export function targetNames(target: Target): string[] {
  if (target.kind === 'name') return [target.name];
  return target.kind === 'tuple' ? target.items.flatMap(targetNames) : [];
}

/** All statements within others, and they themselves. */
export function* allStatements(body: readonly Statement[]): Generator<Statement> {
  for (const node of body) {
    yield node;
    yield* allStatements(bodiesOf(node));
  }
}

/**
 * Which of the names are read before anything in the body writes them, in the order of the source;
 * named blocks are looked at on their own. Jinja decides so what a macro takes and whether `self`
 * and `super` exist.
 */
export function undeclared(
  body: readonly Statement[],
  names: readonly string[],
): ReadonlySet<string> {
  const wanted = new Set(names);
  const found = new Set<string>();
  const read = (node: Expression | undefined): void => {
    if (!node) return;
    if (node.kind === 'name' && wanted.has(node.name)) found.add(node.name);
    childrenOf(node).forEach(read);
  };
  const write = (target: Target) => {
    for (const name of targetNames(target)) wanted.delete(name);
  };
  const visit = (node: Statement): void => {
    if (node.kind === 'block') return;
    if (node.kind === 'for' || node.kind === 'set-block') write(node.target);
    if (node.kind === 'set') write(node.target);
    if (node.kind === 'with') node.targets.forEach(write);
    if (node.kind === 'macro' || node.kind === 'call-block') {
      for (const name of node.parameters) wanted.delete(name);
    }
    expressionsOf(node).forEach(read);
    bodiesOf(node).forEach(visit);
  };
  body.forEach(visit);
  return found;
}
