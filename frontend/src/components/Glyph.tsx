/** What is in the socket: the shape tells the state, colour only helps, and a word or a label stands beside it. */

export type State = "done" | "empty" | "running" | "attention" | "failed";

const COLOUR: Record<State, string> = {
  done: "text-accent",
  empty: "text-ink3",
  running: "text-info",
  attention: "text-warn",
  failed: "text-bad",
};

function Inside({ state }: { state: State }) {
  switch (state) {
    case "done":
      return <circle cx="8" cy="8" r="2.6" fill="currentColor" stroke="none" />;
    case "empty":
      return null;
    case "running":
      return <circle cx="8" cy="8" r="1.5" fill="currentColor" stroke="none" />;
    case "attention":
      return <path d="M8 4.8v3.8M8 10.8v.2" strokeLinecap="round" />;
    case "failed":
      return <path d="M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4" strokeLinecap="round" />;
  }
}

export function Glyph({ state, label, size = 16 }: { state: State; label?: string; size?: number }) {
  const named = label ? { role: "img", "aria-label": label } : { "aria-hidden": true };
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      className={`shrink-0 ${COLOUR[state]}`}
      {...named}
    >
      <circle cx="8" cy="8" r="6" opacity={state === "running" ? 0.35 : 1} />
      {state === "running" && (
        <path d="M8 2a6 6 0 0 1 6 6" strokeLinecap="round" className="origin-center animate-turn" />
      )}
      <Inside state={state} />
    </svg>
  );
}

/** A large socket, for a page that has nothing else to show. */
export function Socket({ state }: { state: State }) {
  return (
    <span className="grid size-10.5 place-items-center rounded-full border border-line2 bg-sunken" aria-hidden="true">
      <Glyph state={state} size={34} />
    </span>
  );
}
