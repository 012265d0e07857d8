/** The frame of the app for somebody who is signed in: sidebar from 840 px, a header below that. */
import { Link } from "@tanstack/react-router";
import { LogOut, Settings } from "lucide-react";
import type { ReactNode } from "react";

import { Button } from "@/components/Button";
import { Mark, Wordmark } from "@/components/Mark";
import { initialsOf, nameOf, useSignOut, type Me } from "@/features/session/session";

export function Shell({ me, children }: { me: Me; children: ReactNode }) {
  return (
    <div className="min-h-dvh rail:grid rail:grid-cols-[52px_1fr] wide:grid-cols-[224px_1fr]">
      <a
        href="#content"
        className="absolute top-2 left-2 z-10 -translate-y-24 rounded-control bg-raised px-3 py-2 focus:translate-y-0 focus:shadow-overlay"
      >
        To the content
      </a>
      <aside className="sticky top-0 z-1 flex h-12 items-center justify-between border-b border-line bg-bg px-4 rail:h-dvh rail:flex-col rail:items-stretch rail:justify-start rail:gap-4 rail:border-r rail:border-b-0 rail:px-2 rail:py-3.5 wide:px-2.5">
        <div className="wide:px-1.5">
          <span className="hidden rail:grid rail:place-items-center wide:hidden">
            <Mark />
          </span>
          <span className="rail:hidden wide:block">
            <Wordmark />
          </span>
        </div>
        <nav aria-label="Main" className="hidden flex-1 rail:block">
          <Link
            to="/settings"
            className="flex h-7 items-center justify-center gap-2.5 rounded-control font-[450] text-ink2 ring-focus hover:bg-hover wide:justify-start wide:px-2"
            activeProps={{ className: "bg-active text-ink" }}
          >
            <Settings size={16} strokeWidth={1.6} aria-hidden />
            <span className="sr-only wide:not-sr-only">Settings</span>
          </Link>
        </nav>
        <Person me={me} />
      </aside>
      <div className="min-w-0">
        {children}
      </div>
    </div>
  );
}

function Person({ me }: { me: Me }) {
  const signOut = useSignOut();
  const name = nameOf(me);
  return (
    <div className="flex items-center gap-1 rail:flex-col wide:flex-row">
      <Link
        to="/settings/user"
        className="flex min-w-0 flex-1 items-center justify-center gap-2.5 rounded-control ring-focus hover:bg-hover max-rail:size-11 rail:h-9 rail:w-full wide:w-auto wide:justify-start wide:px-1.5"
      >
        <span
          aria-hidden="true"
          className="grid size-6 shrink-0 place-items-center rounded-full bg-active text-label font-medium text-ink2"
        >
          {initialsOf(name)}
        </span>
        <span className="sr-only font-[450] wide:not-sr-only wide:truncate">{name}</span>
      </Link>
      <Button
        kind="quiet"
        aria-label="Sign out"
        working={signOut.isPending}
        onClick={() => signOut.mutate()}
        className="max-rail:w-11 rail:w-9"
      >
        <LogOut size={16} strokeWidth={1.6} aria-hidden className="shrink-0" />
      </Button>
    </div>
  );
}
