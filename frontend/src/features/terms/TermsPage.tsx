/**
 * The terms, before anything else. This page asks the host for nothing until somebody decides: any other call would end a session
 * whose terms are not accepted.
 */
import { useMutation } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";

import { api, body } from "@/api/client";
import { safePath } from "@/app/returnTo";
import { Button } from "@/components/Button";
import { Checkbox } from "@/components/Checkbox";
import { Failure } from "@/components/Note";
import { GateLayout } from "@/features/gate/GateLayout";
import { useSignOut } from "@/features/session/session";

const route = getRouteApi("/accept-tos");

export function TermsPage() {
  const { redirect_url } = route.useSearch();
  const [read, setRead] = useState(false);
  const [asked, ask] = useState(false);
  const signOut = useSignOut();
  const accept = useMutation({
    meta: { gated: false },
    mutationFn: () => body(api.POST("/api/accept_tos", { body: { redirect_url: redirect_url ?? "/" } })),
    // Loaded anew: the session is another one now.
    onSuccess: ({ redirect_url: next }) => window.location.assign(safePath(typeof next === "string" ? next : "/")),
  });
  return (
    <GateLayout title="Accept the terms to go on">
      <p className="text-reading text-ink2">
        The people who run {window.location.host} ask everybody to accept their terms of service and their privacy notice once.
      </p>
      <div className="grid gap-1">
        <Checkbox
          checked={read}
          onChange={(checked) => {
            setRead(checked);
            ask(false);
          }}
        >
          I have read and accept the terms and the privacy notice.
        </Checkbox>
        {asked && (
          <p role="alert" className="text-note text-bad">
            Tick the box first: without it nothing is accepted.
          </p>
        )}
      </div>
      {accept.error && <Failure error={accept.error} title="The terms are not accepted yet" />}
      <div className="flex flex-wrap gap-2">
        <Button
          kind="primary"
          size="large"
          working={accept.isPending}
          onClick={() => (read ? accept.mutate() : ask(true))}
        >
          Accept and go on
        </Button>
        <Button kind="quiet" size="large" working={signOut.isPending} onClick={() => signOut.mutate()}>
          Sign out
        </Button>
      </div>
    </GateLayout>
  );
}
