/** Two letters of an id, in a colour that the id decides. Never a state. */
export function Tile({ id }: { id: string }) {
  const hue = (fnv1a(id) % 24) * 15;
  return (
    <span
      aria-hidden="true"
      className="grid size-[18px] shrink-0 place-items-center rounded-[4.5px] font-mono text-[9.5px] leading-none font-medium"
      style={{ color: `oklch(var(--tile-ink) ${hue})`, backgroundColor: `oklch(var(--tile-fill) ${hue})` }}
    >
      {letters(id)}
    </span>
  );
}

function letters(id: string): string {
  const known: Record<string, string> = { github: "gh", gitlab: "gl" };
  return known[id] ?? id.slice(0, 2).toLowerCase();
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash >>> 0;
}
