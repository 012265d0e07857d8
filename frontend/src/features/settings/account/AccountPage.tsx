/** Who one is here, and how the app looks. */
import { useSuspenseQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { Button } from "@/components/Button";
import { ThemeSwitch } from "@/components/ThemeSwitch";
import { meQuery, useSignOut } from "@/features/session/session";

import { Page } from "../Page";

export function AccountPage() {
  const { data: me } = useSuspenseQuery(meQuery);
  const signOut = useSignOut();
  return (
    <Page title="Account" about="Who you are on this host. Names come from where you signed in.">
      <dl className="mx-4 max-w-[760px] rail:mx-5">
        <Row name="Name">{me.name || me.username || <None />}</Row>
        <Row name="E-mail address">
          {me.email ? (
            <>
              <span className="break-all">{me.email}</span>{" "}
              {me.email_verified ? (
                <span className="text-note text-ink3">verified</span>
              ) : (
                <Link
                  to="/verify-email"
                  search={{ returnTo: "/settings/user" }}
                  className="text-note text-warn underline underline-offset-4 ring-focus"
                >
                  not verified yet
                </Link>
              )}
            </>
          ) : (
            <None />
          )}
        </Row>
        {/* The one that everybody has to themselves is named by their id. */}
        <Row name="Organisation">{me.organization === me.id ? "Your own" : me.organization || <None />}</Row>
        <Row name="Role" note="Operators run this host: plugins, deliveries, people.">
          {me.operator ? "Operator" : "Member"}
        </Row>
        <Row name="Id" note="For people who read logs.">
          <code className="font-mono text-mono break-all">{me.id}</code>
        </Row>
        <Row name="Theme" note="Kept in this browser.">
          <ThemeSwitch />
        </Row>
        <Row name="This session" note="API keys and other sessions stay.">
          <Button working={signOut.isPending} onClick={() => signOut.mutate()}>
            Sign out
          </Button>
        </Row>
      </dl>
    </Page>
  );
}

function Row({ name, note, children }: { name: string; note?: string; children: ReactNode }) {
  return (
    <div className="grid gap-1.5 border-b border-line py-4 rail:grid-cols-[236px_1fr] rail:gap-2">
      <dt>
        <span className="font-medium">{name}</span>
        {note && <span className="mt-0.5 block text-note text-ink3">{note}</span>}
      </dt>
      <dd className="min-w-0 self-center">{children}</dd>
    </div>
  );
}

function None() {
  return <span className="text-ink3">not given</span>;
}
