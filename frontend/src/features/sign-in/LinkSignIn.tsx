/**
 * Signing in by a link that works once. Whether an address is known is told to nobody: the page says the same for every address
 * that the host took.
 */
import { useMutation } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api, body } from "@/api/client";
import { ApiError } from "@/api/errors";
import { Button } from "@/components/Button";
import { CommandLine } from "@/components/CopyButton";
import { Field } from "@/components/Field";
import { Failure, Note } from "@/components/Note";

/** What the host has no route for is refused to the anonymous as everything else that they may not see. */
function isMissing(error: Error): boolean {
  return error instanceof ApiError && (error.refusal.status === 401 || error.refusal.status === 404);
}

/** `back` is where the link is to lead; `sends` whether the host sends mail. */
export function LinkSignIn({ back, sends }: { back: string; sends: boolean }) {
  const [missing, setMissing] = useState<string>();
  const send = useMutation({
    meta: { gated: false },
    mutationFn: (email: string) => {
      const wish = back === "/" ? { email } : { email, returnTo: back };
      return body(api.POST("/api/v1/sign-in/link", { body: wish }));
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const email = String(new FormData(event.currentTarget).get("email")).trim();
    if (!/^[^\s@]+@[^\s@]+$/u.test(email)) {
      setMissing("Write an address such as mara@acme.dev.");
      return;
    }
    setMissing(undefined);
    send.mutate(email);
  };
  return (
    <>
      <p className="text-reading text-ink2">This host has no sign-in provider: a link that works once signs you in.</p>
      {sends ? (
        <>
          <form onSubmit={submit} noValidate className="grid gap-3">
            <Field
              label="E-mail address"
              name="email"
              type="email"
              autoComplete="email"
              error={missing}
              className="h-10"
            />
            <Button type="submit" kind="primary" size="large" working={send.isPending}>
              Send a sign-in link
            </Button>
          </form>
          {send.isSuccess && (
            <Note kind="neutral" role="status" title="Look into your mail">
              If {send.variables} is known here, a link is on its way. It works once, for 15 minutes.
            </Note>
          )}
          {send.error &&
            (isMissing(send.error) ? <NoLinks /> : <Failure error={send.error} title="No link was sent" />)}
        </>
      ) : (
        <NoLinks />
      )}
      <div className="grid gap-2 text-ink2">
        <p>
          No mail? <code className="font-mono text-mono">jackfield serve</code> printed a link when it first started. Get a
          fresh one on the machine it runs on:
        </p>
        <CommandLine command="jackfield admin sign-in-link" />
      </div>
    </>
  );
}

function NoLinks() {
  return (
    <Note kind="warn" role="alert" title="This host sends no links">
      Ask the people who run it for one, or make one as below.
    </Note>
  );
}
