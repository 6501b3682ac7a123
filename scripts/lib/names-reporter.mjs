/** A reporter of node --test: one line of JSON a test, suites left out. */
export default async function* namesReporter(source) {
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const { name, details, skip, file } = data;
    // A file that could not be run reports itself.
    if (details?.type === 'suite' || name === file) continue;
    const error = details?.error?.cause?.message ?? details?.error?.message;
    yield `${JSON.stringify({ name, passed: type === 'test:pass', skipped: skip !== undefined, error })}\n`;
  }
}
