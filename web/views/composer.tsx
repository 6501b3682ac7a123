/** Where one writes: Enter sends, Shift and Enter begins a line, files can be dropped or pasted. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { chooseFiles, readText } from '../data/browser.js';
import type { AttachedFile, Conversation } from '../lib/tree.js';
import { readTools, send, stop } from '../state/generate.js';
import { lives, path, say } from '../state/store.js';
import { IconButton } from './icons.js';

const mostFiles = 20;

export function Composer({ conversation }: { readonly conversation: Conversation }) {
  const [text, setText] = useState('');
  const [files, setFiles] = useState<readonly AttachedFile[]>([]);
  const field = useRef<HTMLTextAreaElement>(null);
  const last = path.value.at(-1);
  const busy = last !== undefined && lives.value.has(last.id);
  useEffect(() => {
    if (matchMedia('(hover: hover)').matches) field.current?.focus();
  }, []);

  const attach = async (list: Iterable<File>): Promise<void> => {
    const read: AttachedFile[] = [];
    for (const file of list) {
      try {
        read.push({ name: file.name, text: await readText(file) });
      } catch (error) {
        say(error instanceof Error ? error.message : String(error), true);
      }
    }
    setFiles((old) => [...old, ...read].slice(0, mostFiles));
  };
  const submit = (): void => {
    if (busy || (text.trim() === '' && files.length === 0)) return;
    try {
      readTools(conversation.tools);
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), true);
      return;
    }
    setText('');
    setFiles([]);
    void send(conversation, { role: 'user', text, files, parent: last?.id });
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        void attach(event.dataTransfer?.files ?? []);
      }}
    >
      {files.length > 0 && (
        <ul class="files">
          {files.map(({ name }, index) => (
            <li key={index} class="chip">
              {name}
              <IconButton
                icon="close"
                label={`Leave out ${name}`}
                onClick={() => setFiles(files.filter((_, at) => at !== index))}
              />
            </li>
          ))}
        </ul>
      )}
      <div class="composer-row">
        <IconButton
          icon="clip"
          label="Attach text files"
          onClick={() => void chooseFiles('', true).then(attach)}
        />
        <label class="grow">
          <span class="unseen">Message</span>
          <textarea
            id="composer"
            ref={field}
            rows={1}
            value={text}
            placeholder="Write a message"
            onInput={(event) => setText(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
              event.preventDefault();
              submit();
            }}
            onPaste={(event) => {
              const pasted = event.clipboardData?.files;
              if (pasted === undefined || pasted.length === 0) return;
              event.preventDefault();
              void attach(pasted);
            }}
          />
        </label>
        {busy ? (
          <IconButton icon="stop" label="Stop (Esc)" class="primary" onClick={stop} />
        ) : (
          <button
            type="submit"
            class="icon-button primary"
            aria-label="Send"
            title="Send (Enter)"
            disabled={text.trim() === '' && files.length === 0}
          >
            <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
              <path d="M10 16V4M5 9l5-5 5 5" />
            </svg>
          </button>
        )}
      </div>
    </form>
  );
}
