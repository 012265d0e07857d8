/** What a page shows instead of its content: empty, failed, loading. */
import { useEffect, useState, type ReactNode } from "react";

import { ApiError } from "@/api/errors";

import { Button } from "./Button";
import { Socket, type State } from "./Glyph";

interface PageStateProps {
  state: State;
  title: string;
  children?: ReactNode;
  actions?: ReactNode;
  role?: "alert";
}

export function PageState({ state, title, children, actions, role }: PageStateProps) {
  return (
    <div role={role} className="mx-auto grid max-w-100 justify-items-center gap-2 px-4 py-16 text-center">
      <Socket state={state} />
      <h2 className="mt-2 text-page">{title}</h2>
      {children && <div className="text-ink2">{children}</div>}
      {actions && <div className="mt-2 flex flex-wrap justify-center gap-2">{actions}</div>}
    </div>
  );
}

export function PageError({ error, title, again }: { error: Error; title: string; again: () => void }) {
  const request = error instanceof ApiError ? error.refusal.request : "";
  const retry = (
    <Button kind="primary" onClick={again}>
      Try again
    </Button>
  );
  return (
    <PageState state="failed" title={title} role="alert" actions={retry}>
      <p>{error.message}</p>
      {request && <p className="mt-2 font-mono text-mono text-ink3">{request}</p>}
    </PageState>
  );
}

/** Rows of the right height, once waiting has become noticeable. */
export function LoadingRows({ rows = 3 }: { rows?: number }) {
  const [shown, show] = useState(false);
  useEffect(() => {
    const timer = window.setTimeout(show, 150, true);
    return () => window.clearTimeout(timer);
  }, []);
  return (
    <div role="status" aria-label="Loading">
      {shown &&
        Array.from({ length: rows }, (_, row) => (
          <div key={row} className="flex h-14 items-center gap-3 border-b border-line px-5">
            <span className="size-4 rounded-full bg-active" />
            <span className="h-2.5 w-40 rounded-full bg-active" />
          </div>
        ))}
    </div>
  );
}
