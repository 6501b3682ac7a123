/** The tree of a template. Every node knows the offset in the source where it begins. */

import type { Operator } from './numbers.js';
import type { Comparison } from './operators.js';

interface At {
  readonly at: number;
}

/** An expression also knows its height, by which the parser bounds how deep trees get. */
interface Tall extends At {
  readonly height: number;
}

export interface Arguments {
  readonly args: readonly Expression[];
  readonly keywords: readonly { readonly name: string; readonly value: Expression }[];
  /** After `*`. */
  readonly rest: Expression | undefined;
  /** After `**`. */
  readonly restKeywords: Expression | undefined;
}

export type Constant = null | boolean | bigint | number | string;
export type NameNode = Tall & { readonly kind: 'name'; readonly name: string };
export type CallNode = Tall & Arguments & { readonly kind: 'call'; readonly callee: Expression };
export type FilterNode = Tall &
  Arguments & {
    readonly kind: 'filter';
    readonly name: string;
    /** Undefined for the text of a block. */
    readonly value: Expression | undefined;
  };

export type Expression =
  | NameNode
  | CallNode
  | FilterNode
  | (Tall & { readonly kind: 'constant'; readonly value: Constant })
  | (Tall & { readonly kind: 'list' | 'tuple'; readonly items: readonly Expression[] })
  | (Tall & {
      readonly kind: 'dict';
      readonly pairs: readonly { readonly key: Expression; readonly value: Expression }[];
    })
  | (Tall & {
      readonly kind: 'binary';
      readonly operator: Operator;
      readonly left: Expression;
      readonly right: Expression;
    })
  | (Tall & {
      readonly kind: 'and' | 'or';
      readonly left: Expression;
      readonly right: Expression;
    })
  | (Tall & {
      readonly kind: 'unary';
      readonly operator: '-' | '+' | 'not';
      readonly value: Expression;
    })
  | (Tall & {
      readonly kind: 'compare';
      readonly first: Expression;
      readonly rest: readonly { readonly comparison: Comparison; readonly value: Expression }[];
    })
  | (Tall & { readonly kind: 'concat'; readonly parts: readonly Expression[] })
  | (Tall & {
      readonly kind: 'condition';
      readonly test: Expression;
      readonly yes: Expression;
      readonly no: Expression | undefined;
    })
  | (Tall & { readonly kind: 'attribute'; readonly value: Expression; readonly name: string })
  | (Tall & { readonly kind: 'item'; readonly value: Expression; readonly key: Expression })
  | (Tall & {
      readonly kind: 'slice';
      readonly value: Expression;
      readonly start: Expression | undefined;
      readonly stop: Expression | undefined;
      readonly step: Expression | undefined;
    })
  | (Tall &
      Arguments & { readonly kind: 'test'; readonly name: string; readonly value: Expression });

/** What an assignment writes to. */
export type Target =
  | (At & { readonly kind: 'name'; readonly name: string })
  | (At & { readonly kind: 'tuple'; readonly items: readonly Target[] })
  | (At & { readonly kind: 'attribute'; readonly name: string; readonly attribute: string });

export interface MacroSignature {
  readonly parameters: readonly string[];
  /** Of the last parameters. */
  readonly presets: readonly Expression[];
}

export type IfNode = At & {
  readonly kind: 'if';
  readonly branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[];
  readonly otherwise: readonly Statement[];
};
export type ForNode = At & {
  readonly kind: 'for';
  readonly target: Target;
  readonly iterable: Expression;
  readonly test: Expression | undefined;
  readonly recursive: boolean;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
};
export type MacroNode = At &
  MacroSignature & {
    readonly kind: 'macro';
    readonly name: string;
    readonly body: readonly Statement[];
  };
export type CallBlockNode = At &
  MacroSignature & {
    readonly kind: 'call-block';
    /** Undefined for a `generation` block, which writes its body. */
    readonly call: CallNode | undefined;
    readonly body: readonly Statement[];
  };
export type BlockNode = At & {
  readonly kind: 'block';
  readonly name: string;
  readonly scoped: boolean;
  readonly required: boolean;
  readonly body: readonly Statement[];
};

export type Statement =
  | IfNode
  | ForNode
  | MacroNode
  | CallBlockNode
  | BlockNode
  | (At & { readonly kind: 'text'; readonly text: string })
  | (At & { readonly kind: 'output'; readonly values: readonly Expression[] })
  | (At & { readonly kind: 'set'; readonly target: Target; readonly value: Expression })
  | (At & {
      readonly kind: 'set-block';
      readonly target: Target;
      readonly filter: FilterNode | undefined;
      readonly body: readonly Statement[];
    })
  | (At & {
      readonly kind: 'with';
      readonly targets: readonly Target[];
      readonly values: readonly Expression[];
      readonly body: readonly Statement[];
    })
  | (At & {
      readonly kind: 'filter-block';
      readonly filter: FilterNode;
      readonly body: readonly Statement[];
    })
  | (At & {
      readonly kind: 'autoescape';
      readonly value: Expression;
      readonly body: readonly Statement[];
    })
  | (At & { readonly kind: 'break' | 'continue' });
