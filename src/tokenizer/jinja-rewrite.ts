/**
 * Changes a parsed template where the engine is stricter than Jinja, or lacks something, so that
 * templates mean what they mean in Python: a loop over nothing is empty, none and undefined can be
 * written as text, an undefined key finds nothing, and a few more filters exist. Works on the
 * tree alone; knows no template.
 */

interface Node {
  readonly type: string;
  [field: string]: unknown;
}

/** A variable or a member of one. */
interface Place extends Node {
  readonly type: 'Identifier' | 'MemberExpression';
}

/** Filters that the engine lacks, as functions of plain values. */
export const extraFilters: Readonly<Record<string, (...values: unknown[]) => unknown>> = {
  from_json: (text) => JSON.parse(String(text)) as unknown,
};

/** Fields whose items are written out when they are expressions. */
const bodies = ['body', 'alternate', 'defaultBlock'];

/** Rewrites a tree in place. */
export function rewriteProgram(value: unknown): void {
  const items =
    value instanceof Map ? [...value.keys(), ...value.values()] : Array.isArray(value) ? value : [];
  for (const item of items) rewriteProgram(item);
  if (items.length > 0 || !isNode(value)) return;
  for (const [field, child] of Object.entries(value)) {
    rewriteProgram(child);
    if (Array.isArray(child)) {
      const written = bodies.includes(field);
      child.forEach((item, index) => {
        child[index] = written && isNode(item) ? asWritten(item) : replacement(item);
      });
    } else {
      value[field] = replacement(child);
    }
  }
  if (value.type === 'For') emptyWhenUndefined(value);
  if (value.type === 'BinaryExpression') joinAsText(value);
  if (value.type === 'TestExpression') testAsPython(value);
  if (value.type === 'MemberExpression' && value.computed && isPlace(value.property)) {
    value.property = orElse(value.property, text(''));
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

/** Reading a place twice changes nothing. */
function isPlace(value: unknown): value is Place {
  return isNode(value) && (value.type === 'Identifier' || value.type === 'MemberExpression');
}

const identifier = (value: string): Node => ({ type: 'Identifier', value });
const text = (value: string): Node => ({ type: 'StringLiteral', value });
const filtered = (operand: Node, name: string, args: readonly Node[]): Node => ({
  type: 'FilterExpression',
  operand,
  filter: { type: 'CallExpression', callee: identifier(name), args },
});

/** `place`, or the other if it is undefined. */
const orElse = (place: Node, other: Node) => filtered(place, 'default', [other]);
const emptyList = (): Node => ({ type: 'ArrayLiteral', value: [] });

/** `yes` if the test holds for the place, else `no`. */
const ifTest = (place: Node, test: string, yes: Node, no: Node): Node => ({
  type: 'Ternary',
  condition: { type: 'TestExpression', operand: place, negate: false, test: identifier(test) },
  trueExpr: yes,
  falseExpr: no,
});

/** How Python writes a value: None, True, False, nothing if undefined, else `otherwise`. */
function asText(place: Node, otherwise = orElse(place, text(''))): Node {
  const notBoolean = ifTest(
    place,
    'true',
    text('True'),
    ifTest(place, 'false', text('False'), otherwise),
  );
  return ifTest(place, 'none', text('None'), notBoolean);
}

/** An expression that stands alone, so that its value is written out. */
function asWritten(node: Node): unknown {
  if (isPlace(node)) return asText(node);
  if (node.type !== 'TestExpression') return replacement(node);
  return { type: 'Ternary', condition: node, trueExpr: text('True'), falseExpr: text('False') };
}

/** The value itself, or what stands in for a filter. */
function replacement(value: unknown): unknown {
  if (!isNode(value) || value.type !== 'FilterExpression') return value;
  const filter = value.filter as Node;
  const called = filter.type === 'CallExpression';
  const name = (called ? (filter.callee as Node) : filter).value;
  if (typeof name !== 'string') return value;
  if (Object.hasOwn(extraFilters, name)) {
    const rest = called ? (filter.args as Node[]) : [];
    return { type: 'CallExpression', callee: identifier(name), args: [value.operand, ...rest] };
  }
  if (name === 'string' && isPlace(value.operand)) {
    return asText(value.operand, { ...value, operand: orElse(value.operand, text('')) });
  }
  return value;
}

function emptyWhenUndefined(loop: Node): void {
  const iterable = loop.iterable as Node;
  if (iterable.type === 'SelectExpression') {
    iterable.lhs = orElse(iterable.lhs as Node, emptyList());
  } else {
    loop.iterable = orElse(iterable, emptyList());
  }
}

function joinAsText(node: Node): void {
  if ((node.operator as { value?: unknown }).value !== '~') return;
  for (const side of ['left', 'right']) {
    const operand = node[side];
    if (isPlace(operand)) node[side] = asText(operand);
  }
}

/** Python can loop over undefined, as over a mapping; both count as sequences, too. */
function testAsPython(node: Node): void {
  const name = (node.test as Node).value;
  if ((name !== 'iterable' && name !== 'sequence') || !isPlace(node.operand)) return;
  const place = node.operand;
  node.operand = ifTest(place, 'mapping', emptyList(), orElse(place, emptyList()));
}
