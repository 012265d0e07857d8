/** Waits until the link in the verification mail was opened, on whatever device. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link, Navigate } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api, body } from "@/api/client";
import { ApiError, needsVerification } from "@/api/errors";
import { safePath } from "@/app/returnTo";
import { Button } from "@/components/Button";
import { Field } from "@/components/Field";
import { Glyph } from "@/components/Glyph";
import { Failure } from "@/components/Note";
import { GateLayout } from "@/features/gate/GateLayout";
import { meQuery, useMeNow } from "@/features/session/session";

import { useCountdown } from "./useCountdown";

/** The host takes one request in this time. */
const COOLDOWN_SECONDS = 30;

const route = getRouteApi("/verify-email");

export function VerifyEmailPage() {
  const { user_id, returnTo } = route.useSearch();
  const [changing, change] = useState(false);
  const countdown = useCountdown();
  const me = useMeNow({
    // Somebody without a session cannot be told when it is done.
    enabled: user_id === undefined,
    every: (error) => (error && !needsVerification(error) ? false : 5000),
  });
  const resend = useMutation({
    meta: { gated: false },
    mutationFn: () => {
      const who = user_id === undefined ? {} : { user_id, is_auth_flow: true };
      return body(api.PUT("/api/email/resend", { body: who }));
    },
    onSuccess: () => countdown.start(COOLDOWN_SECONDS),
    // Asked for elsewhere a moment ago: to press again at once would be refused again.
    onError: (error) => {
      if (error instanceof ApiError && error.refusal.status === 429) {
        countdown.start(COOLDOWN_SECONDS);
      }
    },
  });
  if (me.now?.email_verified) {
    return <Navigate to={safePath(returnTo)} replace />;
  }
  const waits = user_id === undefined && (me.known !== undefined || needsVerification(me.error));
  return (
    <GateLayout title="Check your mail">
      <p className="text-reading text-ink2">
        We sent a link to {me.known?.email ? <strong className="text-ink">{me.known.email}</strong> : "your e-mail address"}.{" "}
        {waits
          ? "This page goes on by itself when you open it, on any device."
          : "Open it, on any device, then sign in again."}
      </p>
      {changing && waits ? (
        <ChangeAddress done={() => change(false)} />
      ) : (
        <div className="flex flex-wrap gap-2">
          <Button
            size="large"
            off={countdown.left > 0}
            working={resend.isPending}
            onClick={() => resend.mutate()}
            className="min-w-37 tabular-nums"
          >
            {countdown.left > 0 ? `Send again in ${countdown.left} s` : "Send it again"}
          </Button>
          {waits && (
            <Button kind="quiet" size="large" onClick={() => change(true)}>
              Use another address
            </Button>
          )}
        </div>
      )}
      {resend.error && <Failure error={resend.error} title="The mail was not sent again" />}
      <p role="status" className="sr-only">
        {resend.isSuccess && "The mail was sent again"}
      </p>
      {waits ? (
        <p className="flex items-center gap-2 text-note text-ink3">
          <Glyph state="running" /> Waiting for the click
        </p>
      ) : (
        <Link to="/login" search={returnTo ? { returnTo } : {}} className="text-ink underline underline-offset-4 ring-focus">
          Sign in again
        </Link>
      )}
    </GateLayout>
  );
}

function ChangeAddress({ done }: { done: () => void }) {
  const queries = useQueryClient();
  const save = useMutation({
    mutationFn: (email: string) => body(api.POST("/api/email", { body: { email } })),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: meQuery.queryKey });
      done();
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    save.mutate(String(new FormData(event.currentTarget).get("email")).trim());
  };
  return (
    <form onSubmit={submit} noValidate className="grid gap-3">
      <Field
        label="Another e-mail address"
        name="email"
        type="email"
        autoComplete="email"
        error={save.error?.message}
        className="h-10"
      />
      <div className="flex gap-2">
        <Button type="submit" kind="primary" size="large" working={save.isPending}>
          Send a link there
        </Button>
        <Button kind="quiet" size="large" onClick={done}>
          Keep the old one
        </Button>
      </div>
    </form>
  );
}
