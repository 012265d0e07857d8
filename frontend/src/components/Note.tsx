/** A remark in its place: what happened, why, what to do. */
import { clsx } from "clsx";
import type { ReactNode } from "react";

import { Glyph, type State } from "./Glyph";

export type NoteKind = "bad" | "warn" | "info" | "well" | "neutral";

const LOOK: Record<NoteKind, { state: State; colour: string }> = {
  bad: { state: "failed", colour: "border-transparent bg-bad-soft" },
  warn: { state: "attention", colour: "border-transparent bg-warn-soft" },
  info: { state: "attention", colour: "border-transparent bg-info-soft" },
  well: { state: "done", colour: "border-transparent bg-accent-soft" },
  neutral: { state: "empty", colour: "border-line2 bg-sunken" },
};

interface NoteProps {
  kind: NoteKind;
  title?: ReactNode;
  children?: ReactNode;
  actions?: ReactNode;
  /** Read out when it appears: `alert` at once, `status` when there is time. */
  role?: "alert" | "status";
}

export function Note({ kind, title, children, actions, role }: NoteProps) {
  const { state, colour } = LOOK[kind];
  return (
    <div role={role} className={clsx("flex gap-2.5 rounded-card border px-3.5 py-3 text-ink", colour)}>
      <span className="mt-0.5">
        <Glyph state={state} />
      </span>
      <div className="grid min-w-0 gap-1 break-words">
        {title && <p className="font-semibold">{title}</p>}
        {children && <div className="text-ink2">{children}</div>}
        {actions && <div className="mt-1 flex flex-wrap gap-2">{actions}</div>}
      </div>
    </div>
  );
}

/** What the host refused with, and the request to look for in its log. */
export function Failure({ error, title }: { error: Error; title?: string }) {
  const request = "refusal" in error ? (error.refusal as { request: string }).request : "";
  return (
    <Note kind="bad" title={title} role="alert">
      {error.message}
      {request && <span className="mt-1 block font-mono text-mono text-ink2">{request}</span>}
    </Note>
  );
}
