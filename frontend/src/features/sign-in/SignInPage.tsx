/** Signing in, as the host's identity provider has it: by a one-time link, or at a provider. */
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Navigate } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { safePath } from "@/app/returnTo";
import { Button } from "@/components/Button";
import { Field } from "@/components/Field";
import { Note } from "@/components/Note";
import { LoadingRows, PageError } from "@/components/PageState";
import { readCode } from "@/features/device/code";
import { CordPanel } from "@/features/gate/CordPanel";
import { GateLayout } from "@/features/gate/GateLayout";
import { useMeNow } from "@/features/session/session";

import { configQuery } from "./config";
import { LinkSignIn } from "./LinkSignIn";
import { ProviderSignIn } from "./ProviderSignIn";

const route = getRouteApi("/login");

export function SignInPage() {
  const search = route.useSearch();
  const config = useQuery(configQuery);
  const me = useMeNow();
  const back = safePath(search.returnTo);
  // Whoever is signed in has come by an old link, or has just signed in elsewhere.
  if (me.now) {
    return <Navigate to={back} replace />;
  }
  if (search.email_verification_required) {
    return <Navigate to="/verify-email" search={{ user_id: search.user_id, returnTo: search.returnTo }} replace />;
  }
  const byLink = config.data?.identity_provider === "local";
  return (
    <GateLayout title={byLink ? "Open your sign-in link" : "Sign in"} art={<CordPanel />}>
      <Arrival {...search} />
      {config.isPending && <LoadingRows rows={2} />}
      {config.error && (
        <PageError error={config.error} title="The sign-in could not be read" again={() => void config.refetch()} />
      )}
      {config.data?.error_message && <Note kind="warn">{config.data.error_message}</Note>}
      {config.data && byLink && <LinkSignIn back={back} sends={config.data.sign_in_links ?? true} />}
      {config.data && !byLink && <ProviderSignIn config={config.data} back={back} />}
      {config.data && <DeviceCode />}
    </GateLayout>
  );
}

/** What the way here left to say. */
function Arrival({ email_verified, duplicated_email, recaptcha_blocked, error }: Record<string, string | undefined>) {
  if (error === "invalid_link") {
    return (
      <Note kind="bad" title="This link does not sign in any more">
        A link works once, and not for long. Get a new one below.
      </Note>
    );
  }
  if (error === "invalid_verification_link") {
    return (
      <Note kind="warn" title="This link confirms no address any more">
        It was used, has expired, or is of an address from before. If yours is confirmed already, sign in to go on.
      </Note>
    );
  }
  if (duplicated_email) {
    return (
      <Note kind="bad" title="This address has an account already">
        Sign in the way you did before. Addresses that differ only by what follows a plus sign count as one.
      </Note>
    );
  }
  if (recaptcha_blocked) {
    return (
      <Note kind="bad" title="The sign-in was refused">
        It looked like one by a program. Try again from another network, or ask the people who run this host.
      </Note>
    );
  }
  return email_verified ? <Note kind="well">Your e-mail address is verified. Sign in to go on.</Note> : null;
}

function DeviceCode() {
  const navigate = route.useNavigate();
  const [error, setError] = useState<string>();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const code = readCode(String(new FormData(event.currentTarget).get("user_code")));
    if (code === undefined) {
      setError("A code has eight letters and digits, as the device shows it.");
      return;
    }
    void navigate({ to: "/oauth/device/verify", search: { user_code: code } });
  };
  return (
    <form onSubmit={submit} noValidate className="mt-1 border-t border-line pt-5">
      <Field
        label="Signing in a device or the command line?"
        name="user_code"
        placeholder="ABCD-EFGH"
        autoComplete="off"
        autoCapitalize="characters"
        spellCheck={false}
        className="max-w-40 font-mono tracking-wider uppercase"
        error={error}
        action={
          <Button type="submit" className="h-9">
            Use code
          </Button>
        }
      />
    </form>
  );
}
