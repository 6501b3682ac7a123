/** A parser's view of the tokens: the current one, the next one, and what is expected. */
import { SyntaxFault } from './faults.js';
import type { Token, TokenType } from './lexer.js';

const names: Partial<Record<TokenType, string>> = {
  variable_begin: '{{',
  variable_end: '}}',
  block_begin: '{%',
  block_end: '%}',
  data: 'text',
  eof: 'the end of the template',
};

export class TokenStream {
  private index = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  get current(): Token {
    return this.tokens[this.index] as Token;
  }

  get following(): Token {
    return this.tokens[Math.min(this.index + 1, this.tokens.length - 1)] as Token;
  }

  /** The current token; steps on. */
  next(): Token {
    const token = this.current;
    if (token.type !== 'eof') this.index++;
    return token;
  }

  /** Whether the current token is this name or this operator. */
  is(type: 'name' | 'operator', text: string): boolean {
    return this.current.type === type && this.current.text === text;
  }

  isOperator(text: string): boolean {
    return this.is('operator', text);
  }

  isName(...texts: readonly string[]): boolean {
    return this.current.type === 'name' && texts.includes(this.current.text);
  }

  /** Steps over the token if it is that. */
  skip(type: 'name' | 'operator', text: string): boolean {
    if (!this.is(type, text)) return false;
    this.next();
    return true;
  }

  /** @throws {SyntaxFault} when the current token is another */
  expect(type: TokenType, text?: string): Token {
    const { current } = this;
    if (current.type === type && (text === undefined || current.text === text)) return this.next();
    return this.fail(`expected ${text ?? names[type] ?? type}, got ${this.describe()}`);
  }

  describe(token: Token = this.current): string {
    return names[token.type] ?? JSON.stringify(token.text);
  }

  fail(message: string, at: number = this.current.at): never {
    throw new SyntaxFault(message, at);
  }
}
