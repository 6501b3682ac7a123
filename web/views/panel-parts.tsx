/** Parts that the panel's subjects share. */

/** Said where there is nothing to show yet. */
export function Nothing({ children }: { readonly children: string }) {
  return <p class="nothing">{children}</p>;
}

/** A number with what it is. */
export function Fact({ label, value }: { readonly label: string; readonly value: string }) {
  return (
    <div class="fact">
      <dt>{label}</dt>
      <dd class="number">{value}</dd>
    </div>
  );
}
