/** What `paceline bench` does. */

export async function benchCommand(_model: string | undefined, _flags: object): Promise<void> {}
