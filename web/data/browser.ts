/** Small things of the browser that need a word: ids, the clipboard, files, what is remembered. */

/** A random id; `crypto.randomUUID` is missing on pages that other machines see over plain HTTP. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** This window, also after a reload. */
export function windowId(): string {
  const name = 'paceline.window';
  const id = sessionStorage.getItem(name) ?? newId();
  sessionStorage.setItem(name, id);
  return id;
}

/** Puts text into the clipboard; false where the browser does not allow it. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function saveFile(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Lets a person choose files; none when the dialog is closed. */
export function chooseFiles(accept: string, multiple: boolean): Promise<readonly File[]> {
  return new Promise((resolve) => {
    const input = document.createElement('input');
    input.type = 'file';
    input.accept = accept;
    input.multiple = multiple;
    input.addEventListener('change', () => resolve([...(input.files ?? [])]));
    input.addEventListener('cancel', () => resolve([]));
    input.click();
  });
}

const longestFile = 4 * 2 ** 20;

/** A file as text. @throws Error for files that are none, or too long */
export async function readText(file: File): Promise<string> {
  if (file.size > longestFile) throw new Error(`${file.name} is larger than 4 MB`);
  const bytes = await file.arrayBuffer();
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (!text.includes('\0')) return text;
  } catch {
    // Not UTF-8: said below.
  }
  throw new Error(`${file.name} is no text`);
}

/** A word that outlives the page; browsers may forbid to keep any. */
export function remembered(name: string): string | undefined {
  try {
    return localStorage.getItem(`paceline.${name}`) ?? undefined;
  } catch {
    return undefined;
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(`paceline.${name}`, value);
  } catch {
    // It lasts as long as the page then.
  }
}
