/** What the server's own routes answer (docs/server.md). Types only. */

export interface ModelBody {
  readonly id: string;
  readonly name: string;
  readonly architecture: string;
  readonly parameters: number;
  readonly quantization: string;
  readonly bytes: number;
  /** The other engine that serves it; null: this one. */
  readonly backend?: string | null;
  readonly expert_bytes: number;
  readonly state: 'unloaded' | 'loading' | 'ready';
  readonly pinned: boolean;
  readonly users: number;
  readonly progress: { readonly done: number; readonly total: number } | null;
  readonly has_chat_template: boolean;
  readonly is_base_model: boolean;
  readonly thinks: boolean;
  readonly context_length: number | null;
  readonly trained_context_length: number | null;
  readonly expires_at: number | null;
  readonly slots: readonly {
    readonly id: number;
    readonly busy: boolean;
    readonly tokens: number;
  }[];
  readonly drafters: readonly string[];
  readonly kernels: string | null;
  readonly threads: number | null;
  readonly exact: boolean | null;
  readonly kv_type: string | null;
  readonly sampling: Readonly<Record<string, number>>;
  readonly load_ms: number | null;
  readonly memory: {
    readonly weight_bytes: number;
    readonly drafters: readonly { readonly name: string; readonly weight_bytes: number }[];
    readonly texts: readonly { readonly tokens: number; readonly bytes: number }[];
    readonly full_text_bytes: number;
  } | null;
}

export interface StatusBody {
  readonly version: string;
  readonly engine: 'loading' | 'ready' | 'restarting' | 'failed' | 'stopped';
  readonly restarts: number;
  readonly waiting: number;
  readonly memory: { readonly total: number; readonly available: number; readonly engine: number };
  readonly models: readonly ModelBody[];
}

export interface PassBody {
  readonly number: number;
  readonly ended_at: number;
  readonly ms: number;
  readonly parts: readonly {
    readonly text: number;
    readonly kind: 'prefill' | 'decode';
    readonly rows: number;
    readonly kept: number;
  }[];
}

export interface ActivityBody {
  readonly now: number;
  readonly passes: readonly PassBody[];
  readonly pass_ms: Readonly<Record<string, number>>;
  readonly prompt_row_ms: number | null;
}

export interface LibraryBody {
  readonly models: readonly {
    readonly id: string;
    /** What the server calls it; null while it is none of the server's. */
    readonly served_as: string | null;
    readonly name: string;
    readonly bytes: number;
    readonly quantization: string | null;
    readonly architecture: string | null;
    readonly parameters: number | null;
    readonly problem: string | null;
  }[];
}

export type ProofLine =
  | {
      readonly type: 'tokens';
      readonly way: 'plain' | 'drafted';
      readonly tokens: readonly {
        readonly id: number;
        readonly text: string;
        readonly drafter?: string;
      }[];
    }
  | {
      readonly type: 'way-end';
      readonly way: 'plain' | 'drafted';
      readonly ms: number;
      readonly steps: number;
      readonly drafted: number;
      readonly accepted: number;
    }
  | {
      readonly type: 'verdict';
      readonly identical: boolean;
      readonly seed: number;
      readonly rows: number;
      readonly difference?: { readonly kind: 'token' | 'logits'; readonly index: number };
    }
  | { readonly type: 'error'; readonly error: { readonly message: string } };
