/**
 * Edits that the synthetic repository is made of: code before and after, with words to be filled in
 * (`{noun}`, `{verb}`, `{n}`), and messages. Fixes say little of what they repair; ordinary edits look
 * like fixes now and then (checks, clamps, words such as “escape” and “token”).
 */
import type { Answer } from '../prompt.js';

export interface Edit {
  /** What it repairs; `none`: nothing. */
  readonly kind: Answer['kind'];
  readonly path: string;
  readonly before: string;
  readonly after: string;
  readonly messages: readonly string[];
}

export const fixes: readonly Edit[] = [
  {
    kind: 'memory',
    path: 'lib/{noun}.c',
    before: `int {verb}_{noun}(struct {noun} *it, const char *text) {
  strcpy(it->name, text);
  return 0;
}
`,
    after: `int {verb}_{noun}(struct {noun} *it, const char *text) {
  if (strlen(text) >= sizeof(it->name)) return -1;
  strcpy(it->name, text);
  return 0;
}
`,
    messages: ['Handle long names in {noun}', 'Make {verb}_{noun} return an error'],
  },
  {
    kind: 'memory',
    path: 'lib/{noun}_read.c',
    before: `static int read_{noun}(const uint8_t *data, size_t size, struct {noun} *out) {
  uint32_t count = le32(data);
  out->items = malloc(count * sizeof(*out->items));
  memcpy(out->items, data + 4, count * sizeof(*out->items));
  return 0;
}
`,
    after: `static int read_{noun}(const uint8_t *data, size_t size, struct {noun} *out) {
  if (size < 4) return -1;
  uint32_t count = le32(data);
  if (count > (size - 4) / sizeof(*out->items)) return -1;
  out->items = malloc(count * sizeof(*out->items));
  memcpy(out->items, data + 4, count * sizeof(*out->items));
  return 0;
}
`,
    messages: ['Read {noun} files that end early', 'Tidy up read_{noun}'],
  },
  {
    kind: 'memory',
    path: 'lib/{noun}_list.c',
    before: `void drop_{noun}(struct list *list, struct {noun} *it) {
  free(it->data);
  free(it);
  list->count--;
}
`,
    after: `void drop_{noun}(struct list *list, struct {noun} *it) {
  if (list->current == it) list->current = NULL;
  free(it->data);
  free(it);
  list->count--;
}
`,
    messages: ['Keep the current {noun} right', 'Fix a rare crash when a {noun} is removed'],
  },
  {
    kind: 'injection',
    path: 'server/{noun}.ts',
    before: `export async function find{Noun}(db: Database, name: string) {
  return db.query(\`SELECT * FROM {noun} WHERE name = '\${name}' LIMIT {n}\`);
}
`,
    after: `export async function find{Noun}(db: Database, name: string) {
  return db.query('SELECT * FROM {noun} WHERE name = $1 LIMIT {n}', [name]);
}
`,
    messages: ['Use one style for queries', 'Find {noun}s whose name has an apostrophe'],
  },
  {
    kind: 'injection',
    path: 'tools/{noun}.py',
    before: `def {verb}_{noun}(path):
    return subprocess.run(f"convert {path} out.png", shell=True, check=True)
`,
    after: `def {verb}_{noun}(path):
    return subprocess.run(["convert", "--", path, "out.png"], check=True)
`,
    messages: ['Work with spaces in file names', 'Simplify {verb}_{noun}'],
  },
  {
    kind: 'injection',
    path: 'tools/{noun}_config.py',
    before: `def load_{noun}(text):
    return yaml.load(text, Loader=yaml.Loader)
`,
    after: `def load_{noun}(text):
    return yaml.safe_load(text)
`,
    messages: ['Update the use of yaml', 'Quiet a warning of the linter'],
  },
  {
    kind: 'xss',
    path: 'web/{noun}.ts',
    before: `export function show{Noun}(element: HTMLElement, title: string): void {
  element.innerHTML = '<h{n}>' + title + '</h{n}>';
}
`,
    after: `export function show{Noun}(element: HTMLElement, title: string): void {
  const heading = document.createElement('h{n}');
  heading.textContent = title;
  element.replaceChildren(heading);
}
`,
    messages: ['Build the heading of {noun} with the DOM', 'Show titles that have a < in them'],
  },
  {
    kind: 'path',
    path: 'server/{noun}-files.ts',
    before: `export async function read{Noun}(folder: string, name: string) {
  return readFile(join(folder, name));
}
`,
    after: `export async function read{Noun}(folder: string, name: string) {
  const path = resolve(folder, name);
  if (!path.startsWith(folder + sep)) throw new NotFound(name);
  return readFile(path);
}
`,
    messages: ['Answer 404 for odd names', 'Resolve names of {noun} in one place'],
  },
  {
    kind: 'path',
    path: 'tools/{noun}_unpack.py',
    before: `def unpack_{noun}(archive, target):
    for member in archive.namelist():
        archive.extract(member, target)
`,
    after: `def unpack_{noun}(archive, target):
    root = os.path.realpath(target)
    for member in archive.namelist():
        if os.path.commonpath([root, os.path.realpath(os.path.join(root, member))]) != root:
            continue
        archive.extract(member, target)
`,
    messages: ['Skip members that do not belong here', 'Unpack {noun} archives of other systems'],
  },
  {
    kind: 'auth',
    path: 'server/{noun}-routes.ts',
    before: `router.delete('/{noun}/:id', async (request, response) => {
  await store.remove(request.params.id);
  response.status(204).end();
});
`,
    after: `router.delete('/{noun}/:id', async (request, response) => {
  const item = await store.get(request.params.id);
  if (item.ownerId !== request.user.id) return response.status(404).end();
  await store.remove(request.params.id);
  response.status(204).end();
});
`,
    messages: ['Look the {noun} up before it is removed', 'Return 404 for unknown {noun}s'],
  },
  {
    kind: 'auth',
    path: 'server/{noun}-update.ts',
    before: `export async function update{Noun}(user: User, body: Record<string, unknown>) {
  Object.assign(user, body);
  await user.save();
}
`,
    after: `export async function update{Noun}(user: User, body: Record<string, unknown>) {
  user.name = String(body.name);
  user.{noun} = String(body.{noun});
  await user.save();
}
`,
    messages: ['Be explicit about fields', 'Update name and {noun} only'],
  },
  {
    kind: 'crypto',
    path: 'server/{noun}-sign.ts',
    before: `export function verify{Noun}(body: string, signature: string): boolean {
  return sign(body) === signature;
}
`,
    after: `export function verify{Noun}(body: string, signature: string): boolean {
  const expected = Buffer.from(sign(body));
  const given = Buffer.from(signature);
  return expected.length === given.length && timingSafeEqual(expected, given);
}
`,
    messages: ['Compare buffers in verify{Noun}', 'Refactor verify{Noun}'],
  },
  {
    kind: 'crypto',
    path: 'server/{noun}-reset.ts',
    before: `export function new{Noun}Link(): string {
  return base + Math.random().toString(36).slice(2);
}
`,
    after: `export function new{Noun}Link(): string {
  return base + randomBytes(24).toString('base64url');
}
`,
    messages: ['Make links longer', 'Give {noun} links a fixed length'],
  },
  {
    kind: 'crypto',
    path: 'tools/{noun}_fetch.py',
    before: `def fetch_{noun}(url):
    return requests.get(url, timeout={n}, verify=False).json()
`,
    after: `def fetch_{noun}(url):
    return requests.get(url, timeout={n}).json()
`,
    messages: ['Use defaults of requests', 'Clean up after the tests of {noun}'],
  },
  {
    kind: 'dos',
    path: 'server/{noun}-parse.ts',
    before: `export function parse{Noun}(text: string): Node {
  return text.startsWith('[') ? list(text.slice(1)) : leaf(text);
}
`,
    after: `export function parse{Noun}(text: string, depth = 0): Node {
  if (depth > MAX_DEPTH) throw new SyntaxError('nested too deep');
  return text.startsWith('[') ? list(text.slice(1), depth + 1) : leaf(text);
}
`,
    messages: ['Report where {noun} files are nested', 'Pass the depth along in parse{Noun}'],
  },
  {
    kind: 'dos',
    path: 'server/{noun}-match.ts',
    before: `const {noun}Pattern = /^(\\w+\\s?)+$/;
export const is{Noun} = (text: string) => {noun}Pattern.test(text);
`,
    after: `const {noun}Pattern = /^\\w+(?:\\s\\w+)*\\s?$/;
export const is{Noun} = (text: string) => text.length < 1000 && {noun}Pattern.test(text);
`,
    messages: ['Speed up is{Noun}', 'Simplify the pattern of {noun}'],
  },
  {
    kind: 'leak',
    path: 'server/{noun}-log.ts',
    before: `export function log{Noun}(request: Request): void {
  log.info('{noun}', { url: request.url, headers: request.headers });
}
`,
    after: `export function log{Noun}(request: Request): void {
  const { authorization, cookie, ...headers } = request.headers;
  log.info('{noun}', { url: request.url, headers });
}
`,
    messages: ['Make the log of {noun} shorter', 'Log fewer headers'],
  },
  {
    kind: 'other',
    path: 'server/{noun}-options.ts',
    before: `export function merge{Noun}(target: Options, source: Options): Options {
  for (const key in source) target[key] = source[key];
  return target;
}
`,
    after: `export function merge{Noun}(target: Options, source: Options): Options {
  for (const key of Object.keys(source)) {
    if (key === '__proto__' || key === 'constructor') continue;
    target[key] = source[key];
  }
  return target;
}
`,
    messages: ['Merge own keys only', 'Modernise merge{Noun}'],
  },
];

export const ordinary: readonly Edit[] = [
  {
    kind: 'none',
    path: 'web/{noun}-list.ts',
    before: `export function page{Noun}(items: Item[], page: number): Item[] {
  return items.slice(page * {n}, page * {n} + {n});
}
`,
    after: `export function page{Noun}(items: Item[], page: number): Item[] {
  if (page < 0) return [];
  return items.slice(page * {n}, (page + 1) * {n});
}
`,
    messages: ['Show an empty page before the first', 'Fix paging of {noun}'],
  },
  {
    kind: 'none',
    path: 'web/{noun}-dialog.ts',
    before: `export function open{Noun}(dialog: Dialog): void {
  dialog.show();
}
`,
    after: `export function open{Noun}(dialog: Dialog): void {
  dialog.show();
  dialog.on('keydown', (event) => event.key === 'Escape' && dialog.close());
}
`,
    messages: ['Close {noun} with the escape key', 'Let escape close the dialog of {noun}'],
  },
  {
    kind: 'none',
    path: 'web/{noun}-size.ts',
    before: `export const width{Noun} = (columns: number) => columns * {n};
`,
    after: `export const width{Noun} = (columns: number) => Math.min(columns * {n}, MAX_WIDTH);
`,
    messages: ['Limit the width of {noun}', 'Keep {noun} inside the window'],
  },
  {
    kind: 'none',
    path: 'lib/{noun}_fast.c',
    before: `int sum_{noun}(const int *values, size_t count) {
  int sum = 0;
  for (size_t i = 0; i < count; i++) sum += values[i];
  return sum;
}
`,
    after: `int sum_{noun}(const int *values, size_t count) {
  int sum = 0;
  size_t i = 0;
  for (; i + 4 <= count; i += 4) sum += values[i] + values[i + 1] + values[i + 2] + values[i + 3];
  for (; i < count; i++) sum += values[i];
  return sum;
}
`,
    messages: ['Unroll sum_{noun}', 'Make sums of {noun} faster'],
  },
  {
    kind: 'none',
    path: 'server/{noun}-token.ts',
    before: `export function tokens{Noun}(text: string): string[] {
  return text.split(' ');
}
`,
    after: `export function tokens{Noun}(text: string): string[] {
  if (text.length === 0) return [];
  return text.split(/\\s+/);
}
`,
    messages: ['Split tokens of {noun} at any space', 'No token for an empty text'],
  },
  {
    kind: 'none',
    path: 'server/{noun}-cache.ts',
    before: `export async function get{Noun}(id: string) {
  return store.get(id);
}
`,
    after: `export async function get{Noun}(id: string) {
  const known = cache.get(id);
  if (known !== undefined) return known;
  const found = await store.get(id);
  cache.set(id, found);
  return found;
}
`,
    messages: ['Cache {noun}', 'Ask the store once for each {noun}'],
  },
  {
    kind: 'none',
    path: 'tools/{noun}_report.py',
    before: `def {verb}_{noun}(rows):
    for row in rows:
        print(row)
`,
    after: `def {verb}_{noun}(rows, limit=None):
    for row in rows[:limit]:
        print(", ".join(str(value) for value in row))
`,
    messages: ['Write {noun} reports as CSV', 'Add a limit of rows'],
  },
  {
    kind: 'none',
    path: 'server/{noun}-auth.ts',
    before: `export const login{Noun} = 'Log in';
export const logout{Noun} = 'Log out';
`,
    after: `export const login{Noun} = translate('Log in');
export const logout{Noun} = translate('Log out');
`,
    messages: ['Translate the words of the login', 'Move texts of {noun} to the catalogue'],
  },
  {
    kind: 'none',
    path: 'server/{noun}-null.ts',
    before: `export function name{Noun}(item: Item): string {
  return item.owner.name;
}
`,
    after: `export function name{Noun}(item: Item): string {
  if (item.owner === null) return 'nobody';
  return item.owner.name;
}
`,
    messages: ['Show items of nobody', 'Fix a crash for {noun}s without an owner'],
  },
  {
    kind: 'none',
    path: 'server/{noun}-retry.ts',
    before: `export async function send{Noun}(body: string) {
  return post(url, body);
}
`,
    after: `export async function send{Noun}(body: string) {
  for (let attempt = 0; attempt < {n}; attempt++) {
    const answer = await post(url, body);
    if (answer.ok) return answer;
  }
  throw new Error('no answer');
}
`,
    messages: ['Try again when {noun} has no answer', 'Send {noun} up to {n} times'],
  },
  {
    kind: 'none',
    path: 'server/{noun}-rename.ts',
    before: `export function {verb}{Noun}(a: number, b: number) {
  const x = a + b;
  return x * {n};
}
`,
    after: `export function {verb}{Noun}(first: number, second: number) {
  const sum = first + second;
  return sum * {n};
}
`,
    messages: ['Give variables of {noun} names', 'Rename for readers'],
  },
  {
    kind: 'none',
    path: 'lib/{noun}_log.c',
    before: `void log_{noun}(int level, const char *text) {
  fprintf(stderr, "%s\\n", text);
}
`,
    after: `void log_{noun}(int level, const char *text) {
  if (level < log_level) return;
  fprintf(stderr, "[%d] %s\\n", level, text);
}
`,
    messages: ['Levels for the log of {noun}', 'Write less by default'],
  },
];
