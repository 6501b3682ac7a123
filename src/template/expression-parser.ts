/** Tokens to expressions, by Jinja's grammar. Bounds how deep and how tall trees get. */

import type { Arguments, CallNode, Expression, FilterNode, Target } from './nodes.js';
import type { Operator } from './numbers.js';
import type { Comparison } from './operators.js';
import type { TokenStream } from './token-stream.js';

/** Expressions within expressions; Python's own parser gives up earlier. */
const MAX_DEPTH = 100;
/** Operators on the way from a tree's root to a leaf. */
const MAX_HEIGHT = 500;

const comparisons: Readonly<Record<string, Comparison>> = {
  '==': 'eq',
  '!=': 'ne',
  '<': 'lt',
  '<=': 'lteq',
  '>': 'gt',
  '>=': 'gteq',
};

export interface TupleOptions {
  /** Names and constants only, for targets. */
  readonly simplified?: boolean;
  readonly withCondition?: boolean;
  /** Names that end the tuple besides the end of the tag. */
  readonly endNames?: readonly string[];
  readonly parenthesized?: boolean;
}

type Draft<Node> = Node extends unknown ? Omit<Node, 'height'> : never;

export class ExpressionParser {
  private depth = 0;

  constructor(protected readonly stream: TokenStream) {}

  /** A node with the height that follows from its parts. */
  private tall<Node extends Expression>(
    node: Draft<Node>,
    ...parts: readonly (Expression | undefined)[]
  ): Node {
    let height = 1;
    for (const part of parts) if (part) height = Math.max(height, part.height + 1);
    if (height > MAX_HEIGHT) this.stream.fail('an expression is too long', node.at);
    return { ...node, height } as unknown as Node;
  }

  private deeper<T>(parse: () => T): T {
    if (++this.depth > MAX_DEPTH) this.stream.fail('expressions are nested too deeply');
    const result = parse();
    this.depth--;
    return result;
  }

  parseExpression(withCondition = true): Expression {
    return this.deeper(() => (withCondition ? this.parseCondition() : this.parseOr()));
  }

  private parseCondition(): Expression {
    const { stream } = this;
    let { at } = stream.current;
    let yes = this.parseOr();
    while (stream.skip('name', 'if')) {
      const test = this.parseOr();
      const no = stream.skip('name', 'else') ? this.deeper(() => this.parseCondition()) : undefined;
      yes = this.tall({ kind: 'condition', test, yes, no, at }, test, yes, no);
      at = stream.current.at;
    }
    return yes;
  }

  private parseOr(): Expression {
    let left = this.parseAnd();
    while (this.stream.isName('or')) {
      const { at } = this.stream.next();
      const right = this.parseAnd();
      left = this.tall({ kind: 'or', left, right, at }, left, right);
    }
    return left;
  }

  private parseAnd(): Expression {
    let left = this.parseNot();
    while (this.stream.isName('and')) {
      const { at } = this.stream.next();
      const right = this.parseNot();
      left = this.tall({ kind: 'and', left, right, at }, left, right);
    }
    return left;
  }

  private parseNot(): Expression {
    if (!this.stream.isName('not')) return this.parseComparison();
    const { at } = this.stream.next();
    const value = this.deeper(() => this.parseNot());
    return this.tall({ kind: 'unary', operator: 'not', value, at }, value);
  }

  private parseComparison(): Expression {
    const { stream } = this;
    const first = this.parseSum();
    const rest: { comparison: Comparison; value: Expression }[] = [];
    const { at } = stream.current;
    for (;;) {
      const comparison = this.comparison();
      if (comparison === undefined) break;
      rest.push({ comparison, value: this.parseSum() });
    }
    if (rest.length === 0) return first;
    return this.tall(
      { kind: 'compare', first, rest, at },
      first,
      ...rest.map((item) => item.value),
    );
  }

  private comparison(): Comparison | undefined {
    const { stream } = this;
    if (stream.current.type === 'operator') {
      const comparison = comparisons[stream.current.text];
      if (comparison !== undefined) stream.next();
      return comparison;
    }
    if (stream.skip('name', 'in')) return 'in';
    const { following } = stream;
    if (!stream.isName('not') || following.type !== 'name' || following.text !== 'in') {
      return undefined;
    }
    stream.next();
    stream.next();
    return 'notin';
  }

  private chain(operators: readonly Operator[], operand: () => Expression): Expression {
    const { stream } = this;
    let left = operand();
    while (stream.current.type === 'operator') {
      const operator = operators.find((item) => item === stream.current.text);
      if (operator === undefined) break;
      const { at } = stream.next();
      const right = operand();
      left = this.tall({ kind: 'binary', operator, left, right, at }, left, right);
    }
    return left;
  }

  private parseSum(): Expression {
    return this.chain(['+', '-'], () => this.parseConcat());
  }

  private parseConcat(): Expression {
    const { stream } = this;
    const { at } = stream.current;
    const first = this.parseProduct();
    const parts = [first];
    while (stream.skip('operator', '~')) parts.push(this.parseProduct());
    return parts.length === 1 ? first : this.tall({ kind: 'concat', parts, at }, ...parts);
  }

  private parseProduct(): Expression {
    return this.chain(['*', '/', '//', '%'], () => this.parsePower());
  }

  private parsePower(): Expression {
    return this.chain(['**'], () => this.parseUnary(true));
  }

  private parseUnary(withFilter: boolean): Expression {
    const { stream } = this;
    let node: Expression;
    if (stream.isOperator('-') || stream.isOperator('+')) {
      const { at, text } = stream.next();
      const value = this.deeper(() => this.parseUnary(false));
      const operator = text === '-' ? '-' : '+';
      node = this.tall({ kind: 'unary', operator, value, at }, value);
    } else node = this.parsePrimary();
    node = this.parsePostfix(node);
    return withFilter ? this.parseFilters(node) : node;
  }

  private parsePrimary(): Expression {
    const { stream } = this;
    const { type, text, value, at } = stream.current;
    switch (type) {
      case 'name':
        stream.next();
        if (/^([tT]rue|[fF]alse)$/.test(text)) {
          return this.constant(text.toLowerCase() === 'true', at);
        }
        if (/^[nN]one$/.test(text)) return this.constant(null, at);
        return this.tall({ kind: 'name', name: text, at });
      case 'string': {
        let joined = '';
        while (stream.current.type === 'string') joined += stream.next().text;
        return this.constant(joined, at);
      }
      case 'integer':
      case 'float':
        stream.next();
        return this.constant(value ?? 0, at);
      default:
        if (stream.skip('operator', '(')) {
          const tuple = this.parseTuple({ parenthesized: true });
          stream.expect('operator', ')');
          return tuple;
        }
        if (stream.isOperator('[')) return this.parseList();
        if (stream.isOperator('{')) return this.parseDict();
        return stream.fail(`unexpected ${stream.describe()}`);
    }
  }

  private constant(value: null | boolean | bigint | number | string, at: number): Expression {
    return this.tall({ kind: 'constant', value, at });
  }

  /** One expression, or several with commas as a tuple. */
  parseTuple(options: TupleOptions = {}): Expression {
    const { stream } = this;
    const { at } = stream.current;
    const { withCondition = true, endNames = [] } = options;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) stream.expect('operator', ',');
      const ends = ['variable_end', 'block_end'].includes(stream.current.type);
      if (ends || stream.isOperator(')') || stream.isName(...endNames)) break;
      items.push(options.simplified ? this.parsePrimary() : this.parseExpression(withCondition));
      if (!stream.isOperator(',')) break;
      isTuple = true;
    }
    const [first] = items;
    if (!isTuple && first) return first;
    if (!isTuple && !options.parenthesized) {
      stream.fail(`expected an expression, got ${stream.describe()}`);
    }
    return this.tall({ kind: 'tuple', items, at }, ...items);
  }

  private parseList(): Expression {
    const { stream } = this;
    const { at } = stream.expect('operator', '[');
    const items: Expression[] = [];
    while (!stream.isOperator(']')) {
      if (items.length > 0) stream.expect('operator', ',');
      if (stream.isOperator(']')) break;
      items.push(this.parseExpression());
    }
    stream.expect('operator', ']');
    return this.tall({ kind: 'list', items, at }, ...items);
  }

  private parseDict(): Expression {
    const { stream } = this;
    const { at } = stream.expect('operator', '{');
    const pairs: { key: Expression; value: Expression }[] = [];
    while (!stream.isOperator('}')) {
      if (pairs.length > 0) stream.expect('operator', ',');
      if (stream.isOperator('}')) break;
      const key = this.parseExpression();
      stream.expect('operator', ':');
      pairs.push({ key, value: this.parseExpression() });
    }
    stream.expect('operator', '}');
    const parts = pairs.flatMap((pair) => [pair.key, pair.value]);
    return this.tall({ kind: 'dict', pairs, at }, ...parts);
  }

  private parsePostfix(start: Expression): Expression {
    const { stream } = this;
    let node = start;
    for (;;) {
      if (stream.isOperator('.')) node = this.parseAttribute(node);
      else if (stream.isOperator('[')) node = this.parseSubscript(node);
      else if (stream.isOperator('(')) node = this.parseCall(node);
      else return node;
    }
  }

  private parseFilters(start: Expression): Expression {
    const { stream } = this;
    let node = start;
    for (;;) {
      if (stream.isOperator('|')) node = this.parseFilter(node);
      else if (stream.isName('is')) node = this.parseTest(node);
      else if (stream.isOperator('(')) node = this.parseCall(node);
      else return node;
    }
  }

  private parseAttribute(value: Expression): Expression {
    const { stream } = this;
    const { at } = stream.next();
    const token = stream.next();
    if (token.type === 'name') {
      return this.tall({ kind: 'attribute', value, name: token.text, at }, value);
    }
    if (token.type !== 'integer') stream.fail('expected a name or a number', token.at);
    const key = this.constant(token.value ?? 0, token.at);
    return this.tall({ kind: 'item', value, key, at }, value);
  }

  private parseSubscript(value: Expression): Expression {
    const { stream } = this;
    const { at } = stream.next();
    const items: Expression[] = [];
    let slice: Expression | undefined;
    while (!stream.isOperator(']')) {
      if (items.length > 0 || slice) stream.expect('operator', ',');
      if (slice) stream.fail('a slice cannot be part of a tuple');
      const item = stream.isOperator(':') ? undefined : this.parseExpression();
      if (stream.isOperator(':')) {
        if (items.length > 0) stream.fail('a slice cannot be part of a tuple');
        slice = this.parseSlice(value, item, at);
      } else if (item) items.push(item);
    }
    stream.expect('operator', ']');
    if (slice) return slice;
    const [first] = items;
    const key =
      items.length === 1 && first
        ? first
        : this.tall<Expression>({ kind: 'tuple', items, at }, ...items);
    return this.tall({ kind: 'item', value, key, at }, value, key);
  }

  private parseSlice(value: Expression, start: Expression | undefined, at: number): Expression {
    const { stream } = this;
    stream.expect('operator', ':');
    const part = () =>
      stream.isOperator(']') || stream.isOperator(',') ? undefined : this.parseExpression();
    const stop = stream.isOperator(':') ? undefined : part();
    const step = stream.skip('operator', ':') ? part() : undefined;
    return this.tall({ kind: 'slice', value, start, stop, step, at }, value, start, stop, step);
  }

  private parseCall(callee: Expression): CallNode {
    const { at } = this.stream.current;
    const given = this.parseArguments();
    return this.tall<CallNode>({ kind: 'call', callee, ...given, at }, callee, ...partsOf(given));
  }

  private parseArguments(): Arguments {
    const { stream } = this;
    const { at } = stream.expect('operator', '(');
    const args: Expression[] = [];
    const keywords: { name: string; value: Expression }[] = [];
    let rest: Expression | undefined;
    let restKeywords: Expression | undefined;
    const ensure = (valid: boolean) => {
      if (!valid) stream.fail('invalid arguments of a call', at);
    };
    let first = true;
    while (!stream.isOperator(')')) {
      if (!first) {
        stream.expect('operator', ',');
        if (stream.isOperator(')')) break;
      }
      first = false;
      const { current, following } = stream;
      if (stream.skip('operator', '*')) {
        ensure(!rest && !restKeywords);
        rest = this.parseExpression();
      } else if (stream.skip('operator', '**')) {
        ensure(!restKeywords);
        restKeywords = this.parseExpression();
      } else if (
        current.type === 'name' &&
        following.type === 'operator' &&
        following.text === '='
      ) {
        ensure(!restKeywords);
        stream.next();
        stream.next();
        ensure(!keywords.some((keyword) => keyword.name === current.text));
        keywords.push({ name: current.text, value: this.parseExpression() });
      } else {
        ensure(!rest && !restKeywords && keywords.length === 0);
        args.push(this.parseExpression());
      }
    }
    stream.expect('operator', ')');
    return { args, keywords, rest, restKeywords };
  }

  private dottedName(): string {
    let name = this.stream.expect('name').text;
    while (this.stream.skip('operator', '.')) name += `.${this.stream.expect('name').text}`;
    return name;
  }

  private parseFilter(value: Expression): FilterNode {
    this.stream.expect('operator', '|');
    return this.filterNamed(value);
  }

  private filterNamed(value: Expression | undefined): FilterNode {
    const { stream } = this;
    const { at } = stream.current;
    const name = this.dottedName();
    const given = stream.isOperator('(') ? this.parseArguments() : noArguments;
    return this.tall<FilterNode>(
      { kind: 'filter', name, value, ...given, at },
      value,
      ...partsOf(given),
    );
  }

  /** The filters of a block: the first without its `|` where the tag is a filter's. */
  parseBlockFilters(startInline: boolean): FilterNode | undefined {
    let node: FilterNode | undefined;
    if (startInline) node = this.filterNamed(undefined);
    while (this.stream.skip('operator', '|')) node = this.filterNamed(node);
    return node;
  }

  private parseTest(value: Expression): Expression {
    const { stream } = this;
    const { at } = stream.next();
    const negated = stream.skip('name', 'not');
    const name = this.dottedName();
    let given = noArguments;
    if (stream.isOperator('(')) given = this.parseArguments();
    else if (this.startsArgument()) {
      if (stream.isName('is')) stream.fail('You cannot chain multiple tests with is');
      given = { ...noArguments, args: [this.parsePostfix(this.parsePrimary())] };
    }
    const node = this.tall<Expression>(
      { kind: 'test', name, value, ...given, at },
      value,
      ...partsOf(given),
    );
    return negated ? this.tall({ kind: 'unary', operator: 'not', value: node, at }, node) : node;
  }

  /** Whether an argument without parentheses follows a test's name. */
  private startsArgument(): boolean {
    const { stream } = this;
    const { type } = stream.current;
    if (type === 'operator') return stream.isOperator('[') || stream.isOperator('{');
    if (type === 'string' || type === 'integer' || type === 'float') return true;
    return type === 'name' && !stream.isName('else', 'or', 'and');
  }

  /** A target of an assignment: a name, names with commas, or with `attributes` also `name.name`. */
  protected parseTarget(options: { attributes?: boolean; endNames?: readonly string[] }): Target {
    const { stream } = this;
    const { at } = stream.current;
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) stream.expect('operator', ',');
      const ends = ['variable_end', 'block_end'].includes(stream.current.type);
      if (ends || stream.isOperator(')') || stream.isName(...(options.endNames ?? []))) break;
      items.push(this.parseSingleTarget(options.attributes ?? false));
      if (!stream.isOperator(',')) break;
      isTuple = true;
    }
    const [first] = items;
    if (!isTuple && first) return first;
    if (items.length === 0) stream.fail(`expected a name, got ${stream.describe()}`);
    return { kind: 'tuple', items, at };
  }

  private parseSingleTarget(attributes: boolean): Target {
    const { stream } = this;
    const { current, following } = stream;
    if (
      current.type === 'name' &&
      attributes &&
      following.type === 'operator' &&
      following.text === '.'
    ) {
      stream.next();
      stream.next();
      const attribute = stream.expect('name').text;
      return { kind: 'attribute', name: current.text, attribute, at: current.at };
    }
    return this.deeper(() => this.asTarget(this.parsePrimary()));
  }

  private asTarget(node: Expression): Target {
    if (node.kind === 'name') return { kind: 'name', name: node.name, at: node.at };
    if (node.kind === 'tuple') {
      return { kind: 'tuple', items: node.items.map((item) => this.asTarget(item)), at: node.at };
    }
    return this.stream.fail(`cannot assign to ${node.kind}`, node.at);
  }
}

const noArguments: Arguments = {
  args: [],
  keywords: [],
  rest: undefined,
  restKeywords: undefined,
};

/** The expressions of arguments. */
export function partsOf(given: Arguments): (Expression | undefined)[] {
  return [
    ...given.args,
    ...given.keywords.map((item) => item.value),
    given.rest,
    given.restKeywords,
  ];
}
