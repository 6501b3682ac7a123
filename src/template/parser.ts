/**
 * Template source to a tree, by Jinja's grammar with the extensions of Hugging Face's environment:
 * `break`, `continue`, `generation`. What would read other templates is refused.
 */
import { ExpressionParser } from './expression-parser.js';
import { tokenize } from './lexer.js';
import type { CallBlockNode, Expression, MacroSignature, Statement, Target } from './nodes.js';
import { TokenStream } from './token-stream.js';

/** Statements within statements. */
const MAX_DEPTH = 60;

/** @param source with normalised line ends @throws {SyntaxFault} */
export function parseTemplate(source: string): Statement[] {
  return new Parser(new TokenStream(tokenize(source))).parse();
}

class Parser extends ExpressionParser {
  private readonly tags: string[] = [];

  parse(): Statement[] {
    return this.parseBody([]);
  }

  /** Statements up to one of the end tags, whose name is then the current token. */
  private parseBody(ends: readonly string[]): Statement[] {
    const { stream } = this;
    const body: Statement[] = [];
    for (;;) {
      const { type, text, at } = stream.current;
      if (type === 'eof') {
        if (ends.length === 0) return body;
        stream.fail(`the template ends where ${ends.join(' or ')} is missing`);
      }
      stream.next();
      if (type === 'data') body.push({ kind: 'text', text, at });
      else if (type === 'variable_begin') {
        body.push({ kind: 'output', values: [this.parseTuple()], at });
        stream.expect('variable_end');
      } else {
        if (stream.isName(...ends)) return body;
        body.push(this.parseStatement());
        stream.expect('block_end');
      }
    }
  }

  /** The body of a tag, after which the end tag's name is consumed and returned. */
  private parseBlock(...ends: readonly string[]): { body: Statement[]; end: string } {
    this.stream.skip('operator', ':');
    this.stream.expect('block_end');
    const body = this.parseBody(ends);
    return { body, end: this.stream.next().text };
  }

  private parseStatement(): Statement {
    const { stream } = this;
    const { text, at, type } = stream.current;
    if (type !== 'name') stream.fail(`expected the name of a tag, got ${stream.describe()}`);
    if (this.tags.length >= MAX_DEPTH) stream.fail('tags are nested too deeply');
    this.tags.push(text);
    stream.next();
    const statement = this.parseTag(text, at);
    this.tags.pop();
    return statement;
  }

  private parseTag(tag: string, at: number): Statement {
    switch (tag) {
      case 'if':
        return this.parseIf(at);
      case 'for':
        return this.parseFor(at);
      case 'set':
        return this.parseSet(at);
      case 'macro': {
        const name = this.parseName();
        const given = this.parseSignature();
        return { kind: 'macro', name, ...given, body: this.parseBlock('endmacro').body, at };
      }
      case 'call':
        return this.parseCallBlock(at);
      case 'generation': {
        const { body } = this.parseBlock('endgeneration');
        return { kind: 'call-block', parameters: [], presets: [], call: undefined, body, at };
      }
      case 'filter': {
        const filter = this.parseBlockFilters(true);
        if (!filter) return this.stream.fail('a filter is missing', at);
        return { kind: 'filter-block', filter, body: this.parseBlock('endfilter').body, at };
      }
      case 'with':
        return this.parseWith(at);
      case 'autoescape': {
        const value = this.parseExpression();
        return { kind: 'autoescape', value, body: this.parseBlock('endautoescape').body, at };
      }
      case 'block':
        return this.parseNamedBlock(at);
      case 'print':
        return this.parsePrint(at);
      case 'break':
      case 'continue':
        return { kind: tag, at };
      case 'include':
      case 'import':
      case 'from':
      case 'extends':
        return this.stream.fail(
          `'${tag}' reads another template, which a chat template cannot do`,
          at,
        );
      default:
        return this.stream.fail(this.unknownTag(tag), at);
    }
  }

  private unknownTag(tag: string): string {
    const open = this.tags.at(-2);
    return `unknown tag '${tag}'${open === undefined ? '' : `; '${open}' is to be closed first`}`;
  }

  private parseIf(at: number): Statement {
    const branches: { test: Expression; body: Statement[] }[] = [];
    for (;;) {
      const test = this.parseTuple({ withCondition: false });
      const { body, end } = this.parseBlock('elif', 'else', 'endif');
      branches.push({ test, body });
      if (end === 'elif') continue;
      const otherwise = end === 'else' ? this.parseBlock('endif').body : [];
      return { kind: 'if', branches, otherwise, at };
    }
  }

  private parseFor(at: number): Statement {
    const { stream } = this;
    const target = this.parseTarget({ endNames: ['in'] });
    stream.expect('name', 'in');
    const iterable = this.parseTuple({ withCondition: false, endNames: ['recursive'] });
    const test = stream.skip('name', 'if') ? this.parseExpression() : undefined;
    const recursive = stream.skip('name', 'recursive');
    const { body, end } = this.parseBlock('endfor', 'else');
    const otherwise = end === 'else' ? this.parseBlock('endfor').body : [];
    return { kind: 'for', target, iterable, test, recursive, body, otherwise, at };
  }

  private parseSet(at: number): Statement {
    const target = this.parseTarget({ attributes: true });
    if (this.stream.skip('operator', '=')) {
      return { kind: 'set', target, value: this.parseTuple(), at };
    }
    const filter = this.parseBlockFilters(false);
    return { kind: 'set-block', target, filter, body: this.parseBlock('endset').body, at };
  }

  /** A name that can be assigned to. */
  private parseName(): string {
    const { text, at } = this.stream.expect('name');
    if (/^(?:true|false|none)$/i.test(text)) this.stream.fail(`cannot assign to ${text}`, at);
    return text;
  }

  private parseSignature(): MacroSignature {
    const { stream } = this;
    const parameters: string[] = [];
    const presets: Expression[] = [];
    stream.expect('operator', '(');
    while (!stream.isOperator(')')) {
      if (parameters.length > 0) stream.expect('operator', ',');
      const { at } = stream.current;
      const text = this.parseName();
      if (parameters.includes(text)) stream.fail(`two parameters are called '${text}'`, at);
      parameters.push(text);
      if (stream.skip('operator', '=')) presets.push(this.parseExpression());
      else if (presets.length > 0) stream.fail('a parameter without a value follows one with', at);
    }
    stream.expect('operator', ')');
    return { parameters, presets };
  }

  private parseCallBlock(at: number): CallBlockNode {
    const given = this.stream.isOperator('(')
      ? this.parseSignature()
      : { parameters: [], presets: [] };
    const call = this.parseExpression();
    if (call.kind !== 'call') return this.stream.fail('a call is missing', at);
    return { kind: 'call-block', ...given, call, body: this.parseBlock('endcall').body, at };
  }

  private parseWith(at: number): Statement {
    const { stream } = this;
    const targets: Target[] = [];
    const values: Expression[] = [];
    while (stream.current.type !== 'block_end') {
      if (targets.length > 0) stream.expect('operator', ',');
      targets.push(this.parseTarget({}));
      stream.expect('operator', '=');
      values.push(this.parseExpression());
    }
    return { kind: 'with', targets, values, body: this.parseBlock('endwith').body, at };
  }

  private parseNamedBlock(at: number): Statement {
    const { stream } = this;
    const name = stream.expect('name').text;
    const scoped = stream.skip('name', 'scoped');
    const required = stream.skip('name', 'required');
    const { body } = this.parseBlock('endblock');
    const blank = (item: Statement) => item.kind === 'text' && item.text.trim() === '';
    if (required && !body.every(blank)) {
      stream.fail('a required block can only hold comments or white space', at);
    }
    stream.skip('name', name);
    return { kind: 'block', name, scoped, required, body, at };
  }

  private parsePrint(at: number): Statement {
    const { stream } = this;
    const values: Expression[] = [];
    while (stream.current.type !== 'block_end') {
      if (values.length > 0) stream.expect('operator', ',');
      values.push(this.parseExpression());
    }
    return { kind: 'output', values, at };
  }
}
