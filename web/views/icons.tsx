/** Icons, drawn with strokes in the colour of the text; hidden from screen readers. */
import type { JSX } from 'preact';

const paths = {
  menu: 'M3 5h14M3 10h14M3 15h14',
  plus: 'M10 4v12M4 10h12',
  send: 'M10 16V4M5 9l5-5 5 5',
  stop: 'M6 6h8v8H6z',
  copy: 'M7 7h9v9H7zM13 7V4H4v9h3',
  check: 'M4 10.500l4 4 8-9',
  edit: 'M4 16l1-4 8.500-8.500 3 3L8 15z',
  again: 'M16 10a6 6 0 1 1-2-4.500M16 3v4h-4',
  branch: 'M6 4v12M6 8c0 4 8 2 8 6v2M14 4v2',
  left: 'M12 5l-5 5 5 5',
  right: 'M8 5l5 5-5 5',
  close: 'M5 5l10 10M15 5L5 15',
  clip: 'M14 8l-5 5a2 2 0 0 1-3-3l6-6a3.500 3.500 0 0 1 5 5l-6.500 6.500a5 5 0 0 1-7-7L9 4',
  chart: 'M4 16V9M8 16V4M12 16v-5M16 16V7',
  sliders: 'M4 6h7M15 6h1M4 14h1M9 14h7M13 4v4M7 12v4',
  trash: 'M4 6h12M8 6V4h4v2M6 6l1 11h6l1-11',
  proof: 'M10 3l6 2v5c0 4-3 6-6 7-3-1-6-3-6-7V5zM7.500 10l2 2 3.500-4',
  sun: 'M10 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM10 2v2M10 16v2M2 10h2M16 10h2M4.500 4.500L6 6M14 14l1.500 1.500M4.500 15.500L6 14M14 6l1.500-1.500',
  moon: 'M15.500 12A6.500 6.500 0 0 1 8 4.500a6 6 0 1 0 7.500 7.500z',
  auto: 'M10 3a7 7 0 1 0 0 14zM10 3v14a7 7 0 0 0 0-14z',
  download: 'M10 3v9M6 8.500l4 4 4-4M4 16h12',
  upload: 'M10 13V4M6 7.500l4-4 4 4M4 16h12',
  undo: 'M4 8h8a4 4 0 0 1 0 8H8M7 5L4 8l3 3',
  file: 'M6 3h6l3 3v11H6zM12 3v3h3',
  tool: 'M12 4a4 4 0 0 0-3.500 6L4 14.500 5.500 16 10 11.500A4 4 0 0 0 15.500 7L13 9l-2-2 2-2.500z',
  colours: 'M4 7h12M4 13h7M13.500 13h2.500',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

interface ButtonProps {
  readonly icon: IconName;
  readonly label: string;
  readonly onClick: () => void;
  readonly pressed?: boolean;
  readonly expanded?: boolean;
  readonly disabled?: boolean;
  readonly class?: string;
}

/** A button that is an icon, with its name for everybody who does not see it. */
export function IconButton({
  icon,
  label,
  onClick,
  pressed,
  expanded,
  disabled,
  class: extra,
}: ButtonProps) {
  return (
    <button
      type="button"
      class={`icon-button ${extra ?? ''}`}
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      aria-expanded={expanded}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}
