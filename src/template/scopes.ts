/**
 * Which variable a name means, decided before rendering by Jinja's rules: loops, macros, `with` and
 * blocks have names of their own, `if` has none, and a name that a frame writes begins there with
 * the outer value. The result says what each frame has to load when it is entered.
 */
import type { Expression, ForNode, Statement, Target } from './nodes.js';
import { childrenOf } from './tree.js';

/** A variable: a slot in the environment of one function. */
export interface Variable {
  readonly scope: FunctionScope;
  readonly index: number;
  readonly name: string;
}

/** What a variable holds when its frame is entered. */
export type Load =
  | { readonly from: 'parameter' }
  | { readonly from: 'context' }
  | { readonly from: 'outer'; readonly variable: Variable }
  | { readonly from: 'nothing' };

/** What has an environment of its own at run time: the template, a macro, a recursive loop. */
export class FunctionScope {
  private readonly variables = new Map<string, Variable>();

  constructor(readonly parent: FunctionScope | undefined) {}

  /** The number of slots; complete once all frames of the function are compiled. */
  get size(): number {
    return this.variables.size;
  }

  variable(level: number, name: string): Variable {
    const key = `${level}:${name}`;
    let variable = this.variables.get(key);
    if (!variable) {
      variable = { scope: this, index: this.variables.size, name };
      this.variables.set(key, variable);
    }
    return variable;
  }
}

/** The names of one frame. */
export class Symbols {
  private references = new Map<string, Variable>();
  private loads = new Map<Variable, Load>();
  private stores = new Set<string>();
  private readonly level: number;

  constructor(
    readonly scope: FunctionScope,
    private readonly parent?: Symbols,
  ) {
    this.level = parent ? parent.level + 1 : 0;
  }

  find(name: string): Variable | undefined {
    return this.references.get(name) ?? this.parent?.find(name);
  }

  /** The variable of a name, which is looked up in the context if no frame has it. */
  resolve(name: string): Variable {
    this.load(name);
    return this.find(name) as Variable;
  }

  /** What to load on entry. */
  entries(): readonly (readonly [Variable, Load])[] {
    return [...this.loads].filter(([, load]) => load.from !== 'parameter');
  }

  /** Names that this frame or one around it has written, with their variables. */
  written(): ReadonlyMap<string, Variable> {
    const result = new Map(this.parent?.written());
    for (const name of this.stores) {
      const variable = this.find(name);
      if (variable) result.set(name, variable);
    }
    return result;
  }

  private define(name: string, load: Load): Variable {
    const variable = this.scope.variable(this.level, name);
    this.references.set(name, variable);
    this.loads.set(variable, load);
    return variable;
  }

  parameter(name: string): Variable {
    this.stores.add(name);
    return this.define(name, { from: 'parameter' });
  }

  load(name: string): void {
    if (!this.find(name)) this.define(name, { from: 'context' });
  }

  store(name: string): void {
    this.stores.add(name);
    if (this.references.has(name)) return;
    const outer = this.parent?.find(name);
    this.define(name, outer ? { from: 'outer', variable: outer } : { from: 'nothing' });
  }

  private copy(): Symbols {
    const copy = new Symbols(this.scope, this.parent);
    copy.references = new Map(this.references);
    copy.loads = new Map(this.loads);
    copy.stores = new Set(this.stores);
    return copy;
  }

  /** A condition's branches have no frames: what only some of them write keeps the outer value. */
  private merge(branches: readonly Symbols[]): void {
    const fresh = new Set<string>();
    for (const branch of branches) {
      for (const name of branch.stores) if (!this.stores.has(name)) fresh.add(name);
    }
    for (const branch of branches) {
      for (const [name, variable] of branch.references) this.references.set(name, variable);
      for (const [variable, load] of branch.loads) this.loads.set(variable, load);
      for (const name of branch.stores) this.stores.add(name);
    }
    for (const name of fresh) {
      const target = this.find(name) as Variable;
      const outer = this.parent?.find(name);
      this.loads.set(target, outer ? { from: 'outer', variable: outer } : { from: 'context' });
    }
  }

  read(node: Expression | undefined): void {
    if (!node) return;
    if (node.kind === 'name') this.load(node.name);
    for (const child of childrenOf(node)) this.read(child);
  }

  write(target: Target, asParameter = false): void {
    if (target.kind === 'tuple') {
      for (const item of target.items) this.write(item, asParameter);
    } else if (target.kind === 'attribute') this.load(target.name);
    else if (asParameter) this.parameter(target.name);
    else this.store(target.name);
  }

  visitAll(body: readonly Statement[]): void {
    for (const node of body) this.visit(node);
  }

  /** The names of a statement in this frame; what has a frame of its own only in so far. */
  private visit(node: Statement): void {
    switch (node.kind) {
      case 'output':
      case 'with':
        for (const value of node.values) this.read(value);
        break;
      case 'if':
        this.visitIf(node.branches, node.otherwise);
        break;
      case 'for':
        this.read(node.iterable);
        break;
      case 'set':
        this.read(node.value);
        this.write(node.target);
        break;
      case 'set-block':
        this.write(node.target);
        break;
      case 'macro':
        this.store(node.name);
        break;
      case 'call-block':
        this.read(node.call);
        break;
      case 'filter-block':
        this.read(node.filter);
        break;
    }
  }

  private visitIf(
    branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[],
    otherwise: readonly Statement[],
  ): void {
    const [first, ...rest] = branches;
    if (!first) return;
    this.read(first.test);
    const main = this.copy();
    main.visitAll(first.body);
    const others = this.copy();
    for (const branch of rest) others.visitIf([branch], []);
    const last = this.copy();
    last.visitAll(otherwise);
    this.merge([main, others, last]);
  }

  visitLoop(node: ForNode, part: 'body' | 'otherwise' | 'test'): void {
    if (part !== 'otherwise') this.write(node.target, true);
    if (part === 'test') this.read(node.test);
    else this.visitAll(part === 'body' ? node.body : node.otherwise);
  }
}
