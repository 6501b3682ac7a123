/**
 * Statements to functions that write their text. Each frame's names are complete before anything in
 * it is compiled, as in Jinja's compiler.
 */
import { deeper, spend } from './budget.js';
import { compileCall, compileExpression, compileFilter } from './compile-expression.js';
import { Fault, SyntaxFault, typeFault } from './faults.js';
import {
  type Frame,
  frameEntry,
  innerFrame,
  newEnvironment,
  reader,
  softFrame,
  topFrame,
  writer,
} from './frames.js';
import { escapeText } from './html.js';
import type {
  BlockNode,
  CallBlockNode,
  ForNode,
  IfNode,
  MacroNode,
  Statement,
  Target,
} from './nodes.js';
import { filtered, Loop, Macro, TemplateReference } from './objects.js';
import {
  type Context,
  type Ending,
  type Environment,
  type Evaluate,
  type Execute,
  Output,
  type Runtime,
} from './runtime.js';
import { truthy, unpack } from './sequences.js';
import { toText } from './text.js';
import { allStatements, isConstant, targetNames, undeclared } from './tree.js';
import { Markup, Namespace, Stream, textOf, typeName, Undefined, type Value } from './values.js';

/** A template as functions: its text, and the named blocks in it. */
export interface Program {
  readonly main: (runtime: Runtime) => string;
  readonly blocks: ReadonlyMap<string, (runtime: Runtime) => string>;
}

/** @throws {SyntaxFault} */
export function compileTemplate(body: readonly Statement[]): Program {
  const blocks = new Map<string, (runtime: Runtime) => string>();
  for (const node of allStatements(body)) {
    if (node.kind !== 'block') continue;
    if (blocks.has(node.name)) throw new SyntaxFault(`block '${node.name}' defined twice`, node.at);
    blocks.set(node.name, compileNamedBlock(node));
  }
  return { main: compileTop(body, topFrame(), ['self']), blocks };
}

function compileNamedBlock(node: BlockNode): (runtime: Runtime) => string {
  return compileTop(node.body, { ...topFrame(), isTop: false }, ['self', 'super']);
}

/** A function of the template that sees only the context. */
function compileTop(
  body: readonly Statement[],
  frame: Frame,
  special: readonly string[],
): (runtime: Runtime) => string {
  const found = undeclared(body, special);
  const { symbols } = frame;
  const self = found.has('self') ? writer(symbols.parameter('self')) : undefined;
  const parent = found.has('super') ? writer(symbols.parameter('super')) : undefined;
  symbols.visitAll(body);
  const run = compileBody(body, frame);
  const enter = frameEntry(frame);
  return (runtime) => {
    const environment = newEnvironment(symbols.scope, undefined);
    self?.(environment, new TemplateReference(runtime));
    parent?.(environment, new Undefined('there is no parent block', 'UndefinedError'));
    enter(environment, runtime);
    const output = new Output();
    run(environment, runtime, output);
    return output.text;
  };
}

function compileBody(body: readonly Statement[], frame: Frame): Execute {
  const parts = body.map((node) => compileStatement(node, frame));
  const [only] = parts;
  if (parts.length === 1 && only) return only;
  return (environment, runtime, output) => {
    for (const part of parts) {
      const ending = part(environment, runtime, output);
      if (ending !== 'end') return ending;
    }
    return 'end';
  };
}

/** A body in a frame of its own. */
function compileInner(body: readonly Statement[], frame: Frame): Execute {
  const run = compileBody(body, frame);
  const enter = frameEntry(frame);
  return (environment, runtime, output) => {
    enter(environment, runtime);
    return run(environment, runtime, output);
  };
}

function compileStatement(node: Statement, frame: Frame): Execute {
  switch (node.kind) {
    case 'text': {
      const { text } = node;
      return (_environment, _runtime, output) => {
        spend();
        output.write(text);
        return 'end';
      };
    }
    case 'output':
      return compileOutput(
        node.values.map((value) =>
          compileExpression(value, { ...frame, isConstant: isConstant(value) }),
        ),
        frame,
      );
    case 'if':
      return compileIf(node, softFrame(frame));
    case 'for':
      return compileFor(node, frame);
    case 'set': {
      const value = compileExpression(node.value, frame);
      const check = compileNamespaceChecks(node.target, frame);
      const assign = compileAssignment(node.target, frame, frame.isTop);
      const { at } = node;
      return (environment, runtime) => {
        runtime.at = at;
        check(environment);
        const result = value(environment, runtime);
        runtime.at = at;
        assign(environment, runtime, result);
        return 'end';
      };
    }
    case 'set-block':
      return compileSetBlock(node, frame);
    case 'with':
      return compileWith(node, frame);
    case 'macro':
      return compileMacroStatement(node, frame);
    case 'call-block':
      return compileCallBlock(node, frame);
    case 'filter-block': {
      const inner = innerFrame(frame);
      inner.symbols.visitAll(node.body);
      inner.symbols.read(node.filter);
      const capture = compileCapture(node.body, inner);
      let text: Value = '';
      const apply = compileFilter(node.filter, inner, () => text);
      return (environment, runtime, output) => {
        const { ending, text: captured } = capture(environment, runtime);
        if (ending !== 'end') return ending;
        text = marked(captured, runtime);
        writeText(apply(environment, runtime), output);
        return 'end';
      };
    }
    case 'autoescape':
      return compileAutoescape(node, frame);
    case 'block':
      return compileBlock(node, frame);
    default: {
      if (!frame.inLoop) throw new SyntaxFault(`'${node.kind}' outside of a loop`, node.at);
      const ending: Ending = node.kind;
      return () => ending;
    }
  }
}

/** The text as Markup where results count as HTML. */
const marked = (text: string, runtime: Runtime): Value =>
  runtime.autoescape ? new Markup(text) : text;

/** Writes what must be text already: the result of a filter block, a call or a recursive loop. */
function writeText(value: Value, output: Output): void {
  const text = textOf(value);
  if (text === undefined) throw typeFault(`expected str instance, ${typeName(value)} found`);
  output.write(text);
}

type Write = (value: Value, runtime: Runtime, output: Output) => void;

function compileWrite(frame: Frame): Write {
  if (frame.autoescape === false) return (value, _runtime, output) => output.write(toText(value));
  const always = frame.autoescape === true;
  return (value, runtime, output) => {
    const escapes = always || runtime.autoescape;
    output.write(escapes ? escapeText(value).text : toText(value));
  };
}

function compileOutput(values: readonly Evaluate[], frame: Frame): Execute {
  const write = compileWrite(frame);
  return (environment, runtime, output) => {
    for (const value of values) write(value(environment, runtime), runtime, output);
    return 'end';
  };
}

/** Runs a body into a text of its own. */
function compileCapture(
  body: readonly Statement[],
  frame: Frame,
): (environment: Environment, runtime: Runtime) => { ending: Ending; text: string } {
  const run = compileInner(body, frame);
  return (environment, runtime) => {
    const output = new Output();
    const ending = run(environment, runtime, output);
    return { ending, text: output.text };
  };
}

function compileIf(node: IfNode, frame: Frame): Execute {
  const branches = node.branches.map(({ test, body }) => ({
    test: compileExpression(test, frame),
    run: compileBody(body, frame),
  }));
  const otherwise = compileBody(node.otherwise, frame);
  return (environment, runtime, output) => {
    for (const { test, run } of branches) {
      spend();
      if (truthy(test(environment, runtime))) return run(environment, runtime, output);
    }
    return otherwise(environment, runtime, output);
  };
}

type Assign = (environment: Environment, runtime: Runtime, value: Value) => void;

/** @param exports whether names become names of the context, too */
function compileAssignment(target: Target, frame: Frame, exports: boolean): Assign {
  if (target.kind === 'tuple') {
    const items = target.items.map((item) => compileAssignment(item, frame, exports));
    return (environment, runtime, value) => {
      const values = unpack(value, items.length);
      items.forEach((assign, index) => {
        assign(environment, runtime, values[index] as Value);
      });
    };
  }
  const { name } = target;
  const variable = frame.symbols.resolve(name);
  if (target.kind === 'attribute') {
    const read = reader(frame, variable);
    const { attribute } = target;
    return (environment, _runtime, value) => {
      const owner = read(environment);
      if (owner instanceof Namespace) owner.attributes.set(attribute, value);
    };
  }
  const write = writer(variable);
  if (!exports) return (environment, _runtime, value) => write(environment, value);
  return (environment, runtime, value) => {
    write(environment, value);
    runtime.context.set(name, value);
  };
}

/** Checks that what gets an attribute is a namespace, before the value is computed. */
function compileNamespaceChecks(target: Target, frame: Frame): (environment: Environment) => void {
  if (target.kind === 'name') return () => {};
  if (target.kind === 'tuple') {
    const checks = target.items.map((item) => compileNamespaceChecks(item, frame));
    return (environment) => {
      for (const check of checks) check(environment);
    };
  }
  const read = reader(frame, frame.symbols.resolve(target.name));
  return (environment) => {
    if (!(read(environment) instanceof Namespace)) {
      throw new Fault('TemplateRuntimeError', 'cannot assign attribute on non-namespace object');
    }
  };
}

function compileFor(node: ForNode, frame: Frame): Execute {
  for (const inner of allStatements([node])) {
    const target = 'target' in inner ? inner.target : undefined;
    if (target && targetNames(target).includes('loop')) {
      throw new SyntaxFault("Can't assign to special loop variable in for-loop target", inner.at);
    }
  }
  const iterable = compileExpression(node.iterable, frame);
  const select = node.test && compileSelection(node, node.test, frame);
  const loopFrame: Frame = { ...innerFrame(frame, node.recursive), inLoop: true };
  const { symbols } = loopFrame;
  const setLoop = writer(symbols.parameter('loop'));
  symbols.visitLoop(node, 'body');
  const assign = compileAssignment(node.target, loopFrame, false);
  const body = compileInner(node.body, loopFrame);
  const otherwise = compileElse(node, frame, loopFrame);
  const { at } = node;

  const run = (
    items: Value,
    depth: number,
    recurse: ((items: Value, depth: number) => Value) | undefined,
    [outer, environment]: readonly [Environment, Environment],
    runtime: Runtime,
    output: Output,
  ): Ending => {
    runtime.at = at;
    const chosen = select ? select(items, outer, runtime) : items;
    const loop = new Loop(chosen, recurse, depth);
    let completed = false;
    for (let item = loop.next(); item !== undefined; item = loop.next()) {
      runtime.at = at;
      setLoop(environment, loop);
      assign(environment, runtime, item);
      const ending = body(environment, runtime, output);
      if (ending === 'break') break;
      // Jinja takes a loop for empty when no round reaches its end.
      if (ending === 'end') completed = true;
    }
    if (completed || !otherwise) return 'end';
    return otherwise(environment, runtime, output);
  };

  if (!node.recursive) {
    return (environment, runtime, output) => {
      const items = iterable(environment, runtime);
      return run(items, 0, undefined, [environment, environment], runtime, output);
    };
  }
  return (environment, runtime, output) => {
    const recurse = (items: Value, depth: number): Value =>
      deeper(() => {
        const part = new Output();
        const own = newEnvironment(symbols.scope, environment);
        run(items, depth, recurse, [environment, own], runtime, part);
        return marked(part.text, runtime);
      });
    writeText(recurse(iterable(environment, runtime), 0), output);
    return 'end';
  };
}

/** The `else` of a loop: a frame beside that of the body. */
function compileElse(node: ForNode, frame: Frame, loopFrame: Frame): Execute | undefined {
  if (node.otherwise.length === 0) return undefined;
  const elseFrame = node.recursive
    ? { ...innerFrame(loopFrame), inLoop: false }
    : innerFrame(frame);
  elseFrame.symbols.visitLoop(node, 'otherwise');
  return compileInner(node.otherwise, elseFrame);
}

/** The items of a loop that pass its test, which has an environment of its own. */
function compileSelection(
  node: ForNode,
  test: NonNullable<ForNode['test']>,
  frame: Frame,
): (items: Value, outer: Environment, runtime: Runtime) => Value {
  const inner = innerFrame(frame, true);
  inner.symbols.visitLoop(node, 'test');
  const assign = compileAssignment(node.target, inner, false);
  const passes = compileExpression(test, inner);
  const enter = frameEntry(inner);
  return (items, outer, runtime) => {
    const environment = newEnvironment(inner.symbols.scope, outer);
    enter(environment, runtime);
    return new Stream(
      filtered(items, (item) => {
        assign(environment, runtime, item);
        return truthy(passes(environment, runtime));
      }),
    );
  };
}

function compileSetBlock(node: Statement & { kind: 'set-block' }, frame: Frame): Execute {
  const inner = innerFrame(frame);
  inner.symbols.visitAll(node.body);
  inner.symbols.read(node.filter);
  const capture = compileCapture(node.body, inner);
  let text: Value = '';
  const apply = node.filter && compileFilter(node.filter, inner, () => text);
  const check = compileNamespaceChecks(node.target, frame);
  const assign = compileAssignment(node.target, frame, frame.isTop);
  const { at } = node;
  return (environment, runtime) => {
    const { ending, text: captured } = capture(environment, runtime);
    if (ending !== 'end') return ending;
    text = marked(captured, runtime);
    const value = apply ? apply(environment, runtime) : text;
    runtime.at = at;
    check(environment);
    assign(
      environment,
      runtime,
      runtime.autoescape && !(value instanceof Markup) ? new Markup(toText(value)) : value,
    );
    return 'end';
  };
}

function compileWith(node: Statement & { kind: 'with' }, frame: Frame): Execute {
  const inner = innerFrame(frame);
  for (const target of node.targets) inner.symbols.write(target, true);
  inner.symbols.visitAll(node.body);
  const pairs = node.targets.map((target, index) => ({
    assign: compileAssignment(target, inner, false),
    value: compileExpression(node.values[index] as NonNullable<(typeof node.values)[0]>, frame),
  }));
  const body = compileBody(node.body, inner);
  const enter = frameEntry(inner);
  return (environment, runtime, output) => {
    enter(environment, runtime);
    for (const { assign, value } of pairs)
      assign(environment, runtime, value(environment, runtime));
    return body(environment, runtime, output);
  };
}

function compileMacroStatement(node: MacroNode, frame: Frame): Execute {
  const make = compileMacro(node, node.name, frame);
  const assign = compileAssignment(
    { kind: 'name', name: node.name, at: node.at },
    frame,
    frame.isTop,
  );
  return (environment, runtime) => {
    assign(environment, runtime, make(environment, runtime));
    return 'end';
  };
}

type MakeMacro = (environment: Environment, runtime: Runtime) => Macro;

/** @param name undefined for the body of a `call` block */
function compileMacro(
  node: MacroNode | CallBlockNode,
  name: string | undefined,
  frame: Frame,
): MakeMacro {
  const inner = innerFrame(frame, true);
  const { symbols } = inner;
  const { parameters, presets } = node;
  const found = undeclared(node.body, ['caller', 'kwargs', 'varargs']);
  const slots = parameters.map((parameter) => symbols.parameter(parameter));
  const usesCaller = found.has('caller');
  const callerAt = parameters.indexOf('caller');
  if (usesCaller && callerAt >= 0 && callerAt < parameters.length - presets.length) {
    throw new SyntaxFault(
      'the special "caller" argument must be omitted or have a default',
      node.at,
    );
  }
  const special = (wanted: string) => found.has(wanted) && !parameters.includes(wanted);
  if (special('caller')) slots.push(symbols.parameter('caller'));
  if (special('kwargs')) slots.push(symbols.parameter('kwargs'));
  if (special('varargs')) slots.push(symbols.parameter('varargs'));
  for (const preset of presets) symbols.read(preset);
  symbols.visitAll(node.body);
  const first = parameters.length - presets.length;
  const defaults = presets.map((preset) => compileExpression(preset, inner));
  const body = compileBody(node.body, inner);
  const enter = frameEntry(inner);
  const definition = {
    name,
    parameters,
    usesCaller,
    catchesKeywords: special('kwargs'),
    catchesRest: special('varargs'),
  };
  return (outer, runtime) =>
    new Macro(definition, runtime, (values) => {
      const environment = newEnvironment(symbols.scope, outer);
      slots.forEach((slot, index) => {
        environment.slots[slot.index] = values[index];
      });
      enter(environment, runtime);
      parameters.forEach((parameter, index) => {
        const slot = (slots[index] as (typeof slots)[0]).index;
        if (environment.slots[slot] !== undefined) return;
        const preset = defaults[index - first];
        environment.slots[slot] = preset
          ? preset(environment, runtime)
          : new Undefined(`parameter '${parameter}' was not provided`);
      });
      const output = new Output();
      body(environment, runtime, output);
      return output.text;
    });
}

function compileCallBlock(node: CallBlockNode, frame: Frame): Execute {
  const make = compileMacro(node, undefined, frame);
  const { call } = node;
  if (!call) {
    return (environment, runtime, output) => {
      writeText(make(environment, runtime).call([], new Map()), output);
      return 'end';
    };
  }
  const run = compileCall(call, frame, make);
  return (environment, runtime, output) => {
    writeText(run(environment, runtime), output);
    return 'end';
  };
}

function compileAutoescape(node: Statement & { kind: 'autoescape' }, frame: Frame): Execute {
  const inner = innerFrame(frame);
  inner.symbols.read(node.value);
  inner.symbols.visitAll(node.body);
  const value = compileExpression(node.value, inner);
  const constant = node.value.kind === 'constant' ? truthy(node.value.value) : 'unknown';
  const body = compileBody(node.body, { ...inner, autoescape: constant });
  const enter = frameEntry(inner);
  return (environment, runtime, output) => {
    enter(environment, runtime);
    const before = runtime.autoescape;
    runtime.autoescape = truthy(value(environment, runtime));
    try {
      return body(environment, runtime, output);
    } finally {
      runtime.autoescape = before;
    }
  };
}

function compileBlock(node: BlockNode, frame: Frame): Execute {
  const { name, required, scoped, at } = node;
  const visible = [...frame.symbols.written()].map(
    ([key, variable]) => [key, reader(frame, variable)] as const,
  );
  return (environment, runtime, output) => {
    runtime.at = at;
    if (required) {
      throw new Fault('TemplateRuntimeError', `Required block '${name}' not found`);
    }
    let context: Context = runtime.context;
    if (scoped) {
      const values: [string, Value][] = [];
      for (const [key, read] of visible) {
        const value = read(environment);
        if (value !== undefined) values.push([key, value]);
      }
      context = context.derived(values);
    }
    const block = runtime.blocks.get(name);
    if (block) output.write(deeper(() => block(context)));
    return 'end';
  };
}
