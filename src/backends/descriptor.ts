/**
 * What another engine is to this one, as typed data: what it serves, where it runs, how it is installed,
 * started, asked for health and stopped, and which fields of a request it understands. The command line,
 * the documentation, the installer and the router read the same descriptors; none of them knows a
 * backend by name. Nothing here starts, downloads or asks anything.
 */

export const backendNames = [
  'paceline',
  'vllm',
  'sglang',
  'llama-server',
  'ollama',
  'openai',
] as const;

export type BackendName = (typeof backendNames)[number];

/** What a backend can do for a client. */
export type Service =
  | 'chat'
  | 'completions'
  | 'embeddings'
  | 'rerank'
  | 'tools'
  | 'schemas'
  | 'reasoning';

/** `process.platform` and `process.arch`, as in `linux-x64`. */
export type Platform =
  | 'linux-x64'
  | 'linux-arm64'
  | 'darwin-x64'
  | 'darwin-arm64'
  | 'win32-x64'
  | 'win32-arm64';

export type DeviceFamily = 'cpu' | 'cuda' | 'rocm' | 'vulkan' | 'metal';

/** Machines on which something runs. */
export interface Target {
  readonly platforms: readonly Platform[];
  readonly devices: readonly DeviceFamily[];
}

/** A file whose content was written down here, which the release's listing must confirm. */
export interface RecordedPart {
  readonly name: string;
  /** Hexadecimal. */
  readonly sha256: string;
}

/**
 * One archive of a release on GitHub, in as many parts as its maker made of it. The release's listing
 * names them with their sizes and SHA-256s.
 */
export interface ReleaseAsset {
  /** `owner/name`. */
  readonly repository: string;
  readonly tag: string;
  /** The `.tar.gz` that the parts join to. */
  readonly name: string;
  /** Chips that it was built for, as their makers name them (`gfx1151`); empty: any of the target. */
  readonly chips: readonly string[];
  /** Of parts that somebody has checked before. */
  readonly recorded: readonly RecordedPart[];
}

interface InstallationBase extends Target {
  /** What distinguishes it from the backend's others in commands and folders: `cpu`, `cuda`, `rocm`. */
  readonly variant: string;
  readonly version: string;
  /** What comes over the network, and what it takes on the disk, about. */
  readonly downloadBytes: number;
  readonly installedBytes: number;
  /** What was done with it, in a sentence for the documentation: installed and run, or only dry-run. */
  readonly tested: string;
}

/** A virtual environment of Python of its own. */
export interface PythonInstallation extends InstallationBase {
  readonly kind: 'python';
  /** Versions of Python that its wheels are for, the preferred one first: `3.12`. */
  readonly pythons: readonly string[];
  /** What it is all for, each with one version: `vllm==1.2.3`. */
  readonly requirements: readonly string[];
  /** Indexes beside PyPI's, as wheels for some devices have. */
  readonly extraIndexes: readonly string[];
  /**
   * By platform, a file in `installations/locks` that names every package with its version and SHA-256,
   * for pip's `--require-hashes`. Made by `scripts/backend-locks.mjs`.
   */
  readonly locks: Readonly<Partial<Record<Platform, string>>>;
  /** Variables that it needs; `{folder}` stands for the environment's. */
  readonly environment: Readonly<Record<string, string>>;
  /** The program inside the environment, and arguments that always come first. */
  readonly program: readonly [string, ...string[]];
}

/** An archive of a release, unpacked. */
export interface ArchiveInstallation extends InstallationBase {
  readonly kind: 'archive';
  readonly assets: readonly ReleaseAsset[];
  /** The program inside the archive, and arguments that always come first. */
  readonly program: readonly [string, ...string[]];
}

/** A program that the user has: nothing is downloaded. */
export interface ProvidedInstallation
  extends Omit<InstallationBase, 'downloadBytes' | 'installedBytes'> {
  readonly kind: 'provided';
  /** Names that are looked for in `PATH`, and arguments that always come first. */
  readonly program: readonly [string, ...string[]];
  /** Environment variable with the program's path, which comes before `PATH`. */
  readonly variable: string;
  /** How a user gets it, a sentence. */
  readonly hint: string;
}

export type Installation = PythonInstallation | ArchiveInstallation | ProvidedInstallation;

/** Values that the arguments of a start may name, as in `{port}`. */
export interface LaunchValues {
  /** A path or a name, as the backend understands it. */
  readonly model: string;
  /** What requests call the model. */
  readonly servedName: string;
  readonly host: string;
  readonly port: number;
  readonly contextLength?: number;
  /** Texts at once. */
  readonly slots?: number;
  readonly threads?: number;
  readonly device?: DeviceFamily;
  /** The key that only this server knows. */
  readonly key?: string;
}

/** An argument, or arguments that are given only under a condition. `{name}` stands for a value. */
export type ArgumentTemplate =
  | string
  | {
      /** Given where this value is known. */
      readonly when: keyof LaunchValues;
      /** And, for `device`, is one of these. */
      readonly is?: readonly DeviceFamily[];
      readonly arguments: readonly string[];
    };

/** States of a process on its way to its first answer. */
export type ReadinessState = 'installing' | 'loading' | 'compiling' | 'ready';

export interface Launch {
  /** What its models are: files of GGUF, or names and folders as Hugging Face has them. */
  readonly models: 'gguf' | 'repository';
  /** After the program of the installation. */
  readonly arguments: readonly ArgumentTemplate[];
  readonly environment: Readonly<Record<string, string>>;
  /**
   * Variables that set the number of threads on some devices, for a backend that has no argument for it;
   * elsewhere a number of threads is refused.
   */
  readonly threads?: {
    readonly devices: readonly DeviceFamily[];
    readonly environment: Readonly<Record<string, string>>;
  };
  /**
   * Environment variable that carries the key, so that it stands in no list of processes; undefined: the
   * backend takes no key and is reached by loopback alone.
   */
  readonly keyVariable?: string;
  /** Flags that a user may not give, because the arguments above do. */
  readonly reserved: readonly string[];
  /** Regular expressions on lines of its log that tell a state. */
  readonly signs: readonly { readonly state: ReadinessState; readonly pattern: string }[];
  /** Longest time in each state, in seconds; compiling takes minutes. */
  readonly limits: Readonly<Record<Exclude<ReadinessState, 'ready'>, number>>;
  readonly stop: {
    readonly signal: 'SIGTERM' | 'SIGINT';
    /** Seconds until the whole group is killed. */
    readonly patience: number;
  };
}

/** How a backend is asked whether it answers. */
export interface HealthCheck {
  readonly path: string;
  /** Whether a process that is loading answers at all, with 503. */
  readonly answersWhileLoading: boolean;
}

/** What requests can ask for beyond a text. */
export const requestFields = [
  'seed',
  'stop',
  'n',
  'top_k',
  'min_p',
  'repetition_penalty',
  'penalty_window',
  'presence_penalty',
  'frequency_penalty',
  'logit_bias',
  'logprobs',
  'thinking',
  'template_variables',
  'reasoning_budget',
  'json',
  'json_schema',
  'regex',
  'grammar',
  'choice',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'token_prompts',
  'cached_tokens',
  'count_tokens',
] as const;

export type RequestField = (typeof requestFields)[number];

/** Who serves a field. */
export type FieldSupport =
  /** The backend does; `as` is the path of the field in its own requests. */
  | { readonly by: 'backend'; readonly as: string }
  /** This server does, in the way that the sentence says. */
  | { readonly by: 'us'; readonly how: string }
  /** Nobody: requests with it are refused by name, unless the value changes nothing. */
  | { readonly by: 'nobody'; readonly why: string };

/** How its requests differ where the APIs of all of them are nearly the same. */
export interface WireFacts {
  /** Name of the limit of tokens in a chat; in completions it is `max_tokens` everywhere. */
  readonly maxTokens: 'max_tokens' | 'max_completion_tokens';
  /** Fields of every stream that make it tell its counts before its end. */
  readonly streamFields: Readonly<Record<string, unknown>>;
  /** Path of the field for a schema in `/v1/completions`; undefined: there is none. */
  readonly completionSchema?: 'response_format' | 'json_schema';
  /** How a regular expression, a grammar or a choice is written there. */
  readonly formatSyntax: 'plain' | 'response_format';
  /**
   * Parameters of calls that have to be made are enforced only where their tool is `strict`, so that this
   * is said of every tool then, as our own engine holds all of them.
   */
  readonly enforcesStrictOnly?: boolean;
  /** The `top_k` that is off. */
  readonly topKOff: 0 | -1;
  /** Seeds are whole numbers below this. */
  readonly seedLimit: number;
  /** False where it hangs up on the next request of a connection. */
  readonly keepsConnections: boolean;
  /**
   * Whether texts that are held to something get a budget of thought where nobody gave one, half of their
   * tokens as in our own engine, so that there is room for what they are held to.
   */
  readonly limitsThought: boolean;
  /** Whether a message may have the thought before it, as `reasoning_content`. */
  readonly takesThought: boolean;
  /** What `owned_by` says in its list of models, by which it is known. */
  readonly ownedBy?: string;
}

export interface BackendDescriptor {
  readonly name: BackendName;
  readonly title: string;
  /** Whose it is and what it is for, one or two sentences. */
  readonly summary: string;
  readonly homepage: string;
  readonly services: readonly Service[];
  /** Where it runs. */
  readonly targets: readonly Target[];
  /** In the order in which they are preferred; empty: it is only attached to. */
  readonly installations: readonly Installation[];
  /** Undefined: this server does not start it. */
  readonly launch?: Launch;
  readonly health: HealthCheck;
  /**
   * Whether Ollama's routes say what its models are (`/api/tags`), which are in memory (`/api/ps`), and
   * load and unload them (`/api/generate`).
   */
  readonly ollamaRoutes: boolean;
  /** Path of its metrics in Prometheus's format; undefined: it has none. */
  readonly metricsPath?: string;
  /** Its metrics under our names: its name to ours. */
  readonly metrics: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<RequestField, FieldSupport>>;
  readonly wire: WireFacts;
  /** What users should know before they choose it, in sentences. */
  readonly notes: readonly string[];
}
