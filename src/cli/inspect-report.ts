/** What `paceline inspect` prints. */

export async function inspectCommand(_model: string, _flags: object): Promise<void> {}
