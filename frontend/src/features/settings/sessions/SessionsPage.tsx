/** Where one is signed in; each of it can be ended. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Monitor, Smartphone, Terminal } from "lucide-react";
import { useState } from "react";

import { Button } from "@/components/Button";
import { Dialog, DialogClose } from "@/components/Dialog";
import { Failure } from "@/components/Note";
import { LoadingRows, PageError } from "@/components/PageState";
import { ago, readTime } from "@/components/time";
import { useToast } from "@/components/Toasts";

import { Page } from "../Page";
import { deviceOf, type Device } from "./device";
import { endSessions, sessionsQuery, type Session } from "./sessions";

const ICON: Record<Device["kind"], typeof Monitor> = { desktop: Monitor, phone: Smartphone, program: Terminal };

export function SessionsPage() {
  const sessions = useQuery(sessionsQuery);
  const queries = useQueryClient();
  const toast = useToast();
  const end = useMutation(endSessions(queries));
  const others = (sessions.data ?? []).filter(({ current }) => !current);
  const here = (sessions.data ?? []).filter(({ current }) => current);
  const revoke = (session: Session) =>
    end.mutate([session.id], {
      onSuccess: () => toast(`${deviceOf(session.user_agent).name} is signed out`, "cannot be undone"),
    });
  return (
    <Page
      title="My sessions"
      about="Browsers that are signed in as you. API keys have a page of their own."
      action={others.length > 0 && <EndOthers others={others} />}
    >
      {end.error && (
        <div className="px-4 pb-4 rail:px-5">
          <Failure error={end.error} title="The session was not ended" />
        </div>
      )}
      {sessions.isPending && <LoadingRows />}
      {sessions.error && !sessions.data && (
        <PageError
          error={sessions.error}
          title="Your sessions could not be read"
          again={() => void sessions.refetch()}
        />
      )}
      {sessions.data && (
        <ul className="border-t border-line">
          {[...here, ...others].map((session) => (
            <Row
              key={session.id}
              session={session}
              working={end.isPending && (end.variables.includes(session.id))}
              revoke={() => revoke(session)}
            />
          ))}
        </ul>
      )}
    </Page>
  );
}

function Row({ session, working, revoke }: { session: Session; working: boolean; revoke: () => void }) {
  const device = deviceOf(session.user_agent);
  const Icon = ICON[device.kind];
  const seen = session.last_seen_at ? readTime(session.last_seen_at) : undefined;
  return (
    <li className="flex min-h-14 items-center gap-3 border-b border-line px-4 py-2 rail:px-5">
      <Icon size={16} strokeWidth={1.6} aria-hidden className="shrink-0 text-ink3" />
      <div className="min-w-0 flex-1">
        <p className="flex flex-wrap items-center gap-x-2 font-medium">
          <span className="break-words">{device.name}</span>
          {session.current && (
            <span className="rounded-chip bg-accent-soft px-1.5 text-note font-normal text-accent">this one</span>
          )}
        </p>
        <p className="text-note text-ink3">
          {session.address ?? "address not known"}
          {session.created_at && ` · since ${ago(readTime(session.created_at))}`}
        </p>
      </div>
      {seen && (
        <time dateTime={seen.toISOString()} title={seen.toLocaleString()} className="shrink-0 text-note text-ink3">
          {session.current ? "now" : ago(seen)}
        </time>
      )}
      {!session.current && (
        <Button size="small" working={working} onClick={revoke} aria-label={`Revoke ${device.name}`}>
          Revoke
        </Button>
      )}
    </li>
  );
}

function EndOthers({ others }: { others: Session[] }) {
  const [open, setOpen] = useState(false);
  const toast = useToast();
  const queries = useQueryClient();
  const end = useMutation(endSessions(queries));
  const count = others.length === 1 ? "1 session" : `${others.length} sessions`;
  const go = () =>
    end.mutate(
      others.map(({ id }) => id),
      {
        onSuccess: () => {
          setOpen(false);
          toast(`${count} signed out`, "cannot be undone");
        },
      },
    );
  return (
    <Dialog
      open={open}
      onOpenChange={setOpen}
      trigger={<Button kind="danger">Sign out all others…</Button>}
      title="Sign out everywhere else?"
      description="Every browser but this one must sign in again. API keys stay."
      actions={
        <>
          <DialogClose render={<Button kind="quiet">Keep them</Button>} />
          <Button kind="destructive" working={end.isPending} onClick={go}>
            Sign out {count}
          </Button>
        </>
      }
    >
      {end.error && <Failure error={end.error} title="Not all of them were signed out" />}
    </Dialog>
  );
}
