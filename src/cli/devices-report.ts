/** What `paceline devices` prints. */

export async function devicesCommand(_json: boolean): Promise<void> {}
