/**
 * What speaks for a security fix without any model: where a commit changes something, what it says,
 * what its lines look like, and its shape. Each signal has a weight in log-odds and shows where it was
 * found. The weights are judgements, not fitted to anything.
 */
import type { ChangedFile, Commit } from './commit.js';

export interface Signal {
  readonly name: string;
  /** In log-odds: above 0 speaks for a fix. */
  readonly weight: number;
  /** The words or the line that it was found in, or a count. */
  readonly where: string;
}

/** Log-odds of a commit of which nothing is known: about 2 of 100. */
export const base = -4;

interface TextSignal {
  readonly name: string;
  readonly weight: number;
  readonly pattern: RegExp;
}

const inPath: readonly TextSignal[] = [
  {
    name: 'path of access and secrets',
    weight: 0.8,
    pattern: /(auth|login|session|token|crypt|password|permission|acl|oauth|jwt|sandbox|secur)/i,
  },
  {
    name: 'path of what reads strangers’ input',
    weight: 0.5,
    pattern:
      /(pars|decod|deserial|upload|request|router?|handler|middleware|proxy|sanitiz|escape|query|archive|unzip|template)/i,
  },
];

const inMessage: readonly TextSignal[] = [
  { name: 'names an advisory', weight: 4, pattern: /\b(CVE-\d{4}-\d+|GHSA-[\w-]+|CWE-\d+)\b/i },
  {
    name: 'names a vulnerability',
    weight: 3,
    pattern:
      /\b(vulnerab\w+|exploit\w*|security (fix|issue|hole|bug)|xss|csrf|ssrf|redos|rce|injection|(path|directory) traversal|use[- ]after[- ]free|(buffer|heap|stack|integer) overflow|out[- ]of[- ]bounds|timing attack|privilege escalation|prototype pollution)\b/i,
  },
  {
    name: 'speaks of untrusted input',
    weight: 1.2,
    pattern:
      /\b(untrusted|malicious|attacker|sanitiz\w+|escap(e|es|ing) (html|output|shell|sql|user|names?)|validate|bounds?|limits?|harden\w*|reject\w*|unsafe|insecure|leak\w*)\b/i,
  },
];

/** Lines that were added. */
const inAdded: readonly TextSignal[] = [
  {
    name: 'a check of length or bounds',
    weight: 1.4,
    pattern:
      /\bif\s*\(.*\b(\w*(len|length|size|count|offset|index|idx|cap|capacity|remaining|byteLength|nbytes|depth))\b.*(<|>|<=|>=).*\)|\bif\s.*\blen\(.*(<|>)/,
  },
  {
    name: 'a limit',
    weight: 0.9,
    pattern:
      /\b(MAX_\w+|max_?(size|len|length|depth|bytes|entries|redirects)|limit\s*[:=]|LIMIT_\w+)\b/,
  },
  {
    name: 'escapes or sanitises',
    weight: 1.6,
    pattern:
      /\b(escape\w*|sanitiz\w*|encodeURIComponent|htmlspecialchars|textContent|shlex\.quote|quote\(|DOMPurify|autoescape)/,
  },
  {
    name: 'keeps paths inside a folder',
    weight: 1.8,
    pattern:
      /\bstarts_?with\(\s*\w*(root|folder|dir|base|path|prefix)|\b(commonpath|realpath|is_relative_to|path\.relative)\b|['"]\.\.['"]\s+in\b|includes\(['"]\.\.['"]\)/i,
  },
  {
    name: 'compares in constant time',
    weight: 2.5,
    pattern: /\b(timingSafeEqual|compare_digest|constant_?time\w*|CRYPTO_memcmp|hmac\.Equal)\b/,
  },
  {
    name: 'randomness or hashes for secrets',
    weight: 1.6,
    pattern:
      /\b(randomBytes|randomUUID|getRandomValues|secrets\.\w+|urandom|getrandom|scrypt|argon2|bcrypt|pbkdf2|sha256|sha512)\b/i,
  },
  {
    name: 'arguments apart from commands and queries',
    weight: 1.8,
    pattern:
      /\b(execFile|spawn)\b|shell\s*=\s*False|execute\(.*(\?|%s|\$1).*,|\b(prepare|bind|parameterized)\w*\(|yaml\.safe_load|literal_eval/,
  },
  {
    name: 'asks who may do this',
    weight: 1.3,
    pattern:
      /\b(if|assert|require\w*|ensure\w*|check\w*)\b.*\b(owner\w*|isAdmin|is_admin|permission\w*|authoriz\w*|can(Edit|Read|Write|View)|role|userId|user_id|csrf\w*|allowed\w*)\b/,
  },
  {
    name: 'keeps prototypes clean',
    weight: 2.2,
    pattern: /__proto__|Object\.create\(null\)|hasOwn(Property)?\b|'constructor'/,
  },
  {
    name: 'checks hosts, origins or certificates',
    weight: 1.6,
    pattern:
      /\b(rejectUnauthorized:\s*true|verify\s*=\s*True|CERT_REQUIRED|isPrivate\w*|is_private|allowedHosts?|allowlist|allowed_hosts|origin\b.*(===|==|in )|httpOnly|sameSite|secure:\s*true)/i,
  },
  {
    name: 'bounded functions of C, or a pointer cleared',
    weight: 1.6,
    pattern:
      /\b(snprintf|strlcpy|strncpy|strlcat|calloc|__builtin_\w+_overflow|SIZE_MAX)\b|=\s*NULL;/,
  },
];

/** Lines that were removed: what was dangerous. */
const inRemoved: readonly TextSignal[] = [
  {
    name: 'a dangerous call goes',
    weight: 1.6,
    pattern:
      /\b(strcpy|strcat|sprintf|gets|alloca|eval|exec|execSync|system|popen|innerHTML|dangerouslySetInnerHTML|pickle\.loads?|yaml\.load|Math\.random|md5|sha1|shell\s*=\s*True|verify\s*=\s*False|rejectUnauthorized:\s*false)\b/,
  },
  {
    name: 'text goes into a query or command no more',
    weight: 1.6,
    pattern:
      /\b(SELECT|INSERT|UPDATE|DELETE)\b.*(\$\{|['"]\s*\+|%s['"]\s*%|\{\w+\})|\bexec\w*\(.*(\$\{|['"]\s*\+)/i,
  },
];

const isTest = (path: string): boolean =>
  /(^|[/._-])(tests?|specs?|fixtures?|__tests__)([/._-]|$)/i.test(path);
const isDocument = (path: string): boolean =>
  /\.(md|rst|txt|adoc|svg|png|css)$|(^|\/)(docs?|LICENSE|CHANGELOG|README)(\/|$|\.)/i.test(path);
const isGenerated = (path: string): boolean =>
  /(^|\/)(package-lock\.json|yarn\.lock|pnpm-lock\.yaml|Cargo\.lock|go\.sum|poetry\.lock|dist|vendor|third_party)(\/|$)|\.min\.\w+$/i.test(
    path,
  );

/** What was found in a commit. The same signal counts once, where it was first found. */
export function signalsOf(commit: Commit): readonly Signal[] {
  const code = commit.files.filter(
    ({ path, status }) =>
      status !== 'binary' && !isTest(path) && !isDocument(path) && !isGenerated(path),
  );
  const added = new Set(linesOf(code, '+'));
  const removed = new Set(linesOf(code, '-'));
  return [
    ...found(
      inPath,
      code.map(({ path }) => path),
    ),
    ...found(inMessage, commit.message.split('\n')),
    ...found(
      inAdded,
      [...added].filter((line) => !removed.has(line)),
    ),
    ...found(
      inRemoved,
      [...removed].filter((line) => !added.has(line)),
    ),
    ...shapeOf(commit, code),
  ];
}

/** Log-odds of the signals together. */
export function logOddsOf(signals: readonly Signal[]): number {
  return signals.reduce((sum, { weight }) => sum + weight, base);
}

function found(signals: readonly TextSignal[], texts: readonly string[]): readonly Signal[] {
  return signals.flatMap(({ name, weight, pattern }) => {
    const where = texts.find((text) => pattern.test(text));
    return where === undefined ? [] : [{ name, weight, where: where.trim().slice(0, 160) }];
  });
}

function linesOf(files: readonly ChangedFile[], mark: '+' | '-'): readonly string[] {
  return files.flatMap(({ lines }) =>
    lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(1).trim()),
  );
}

function shapeOf(commit: Commit, code: readonly ChangedFile[]): readonly Signal[] {
  const { added, removed, fileCount, parents, files } = commit;
  const signals: Signal[] = [];
  const say = (name: string, weight: number, where: string): void => {
    signals.push({ name, weight, where });
  };
  const size = `${added} added, ${removed} removed, ${fileCount} files`;
  if (code.length === 0) say('no code is changed', -3, size);
  else if (added + removed <= 20) say('a small change', 0.6, size);
  // A large change holds some of everything: what is found in it says less.
  else if (added + removed > 2000) say('a very large change', -8, size);
  else if (added + removed > 500) say('a large change', -4, size);
  else if (added + removed > 100) say('more than a small change', -1, size);
  if (code.length === 1) say('one file of code', 0.3, code[0]?.path ?? '');
  if (parents.length > 1) say('a merge', -1, `${parents.length} parents`);
  if (files.length > 0 && files.every(({ status }) => status === 'added')) {
    say('only new files', -1.5, size);
  }
  const lines = linesOf(code, '+');
  const guard = lines.findIndex((line) =>
    /^(if|unless|assert|ensure)\b|^\}? ?else if\b/.test(line),
  );
  const next = lines.slice(guard, guard + 2).join(' ');
  if (guard >= 0 && /\b(return|throw|raise|abort|reject|die|goto|continue|panic)\b/.test(next)) {
    say('a new check that gives up', 1, next.slice(0, 160));
  }
  if (files.some(({ path, added: tests }) => isTest(path) && tests > 0) && code.length === 1) {
    say('with a test', 0.2, files.find(({ path }) => isTest(path))?.path ?? '');
  }
  return signals;
}
