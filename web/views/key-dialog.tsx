/** Asks for the server's key, which is kept until the window is closed. */
import { useEffect, useRef } from 'preact/hooks';
import { setKey } from '../data/api.js';
import { lookNow } from '../state/store.js';

export function KeyDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby="key-title"
      onCancel={(e) => e.preventDefault()}
    >
      <form
        method="dialog"
        onSubmit={() => {
          setKey(field.current?.value.trim() ?? '');
          lookNow();
        }}
      >
        <h2 id="key-title">This server asks for a key</h2>
        <p>
          It is one of those that <code>paceline serve</code> was started with. It stays in this
          window and is forgotten when you close it.
        </p>
        <label class="field">
          <span>Key</span>
          <input ref={field} type="password" autocomplete="off" required />
        </label>
        <div class="dialog-buttons">
          <button type="submit" class="button primary">
            Continue
          </button>
        </div>
      </form>
    </dialog>
  );
}
