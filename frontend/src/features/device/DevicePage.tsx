/** Lets a device sign in as this person, or refuses it. */
import { useMutation } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api, body, FORM } from "@/api/client";
import { Button } from "@/components/Button";
import { Field } from "@/components/Field";
import { Failure, Note } from "@/components/Note";
import { GateLayout } from "@/features/gate/GateLayout";
import { nameOf } from "@/features/session/session";

import { readCode } from "./code";

const route = getRouteApi("/oauth/device/verify");

export function DevicePage() {
  const code = readCode(route.useSearch().user_code);
  return code === undefined ? <Ask /> : <Decide key={code} code={code} />;
}

function Ask() {
  const navigate = route.useNavigate();
  const given = route.useSearch().user_code;
  const [refused, setRefused] = useState(Boolean(given));
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const code = readCode(String(new FormData(event.currentTarget).get("user_code")));
    setRefused(code === undefined);
    if (code !== undefined) {
      void navigate({ search: { user_code: code } });
    }
  };
  return (
    <GateLayout title="Which device?">
      <form onSubmit={submit} noValidate className="grid gap-4">
        <Field
          label="The code that the device shows"
          name="user_code"
          defaultValue={given}
          placeholder="ABCD-EFGH"
          autoComplete="off"
          autoCapitalize="characters"
          spellCheck={false}
          className="h-10 font-mono tracking-wider uppercase"
          error={refused ? "A code has eight letters and digits, as the device shows it." : undefined}
        />
        <Button type="submit" kind="primary" size="large">
          Go on
        </Button>
      </form>
    </GateLayout>
  );
}

function Decide({ code }: { code: string }) {
  const me = route.useLoaderData();
  const approve = useMutation({
    mutationFn: () => body(api.POST("/oauth/device/verify-authenticated", { body: { user_code: code }, headers: FORM })),
  });
  const deny = useMutation({
    mutationFn: () => body(api.POST("/oauth/device/deny", { body: { user_code: code }, headers: FORM })),
  });
  if (approve.isSuccess) {
    return (
      <GateLayout title="The device is signed in">
        <Note kind="well" role="status">
          It goes on by itself; you can close this page. Its key stands under Settings, API keys: delete it there to sign the
          device out.
        </Note>
      </GateLayout>
    );
  }
  if (deny.isSuccess) {
    return (
      <GateLayout title="The device was refused">
        <Note kind="neutral" role="status">
          It got no access. If you did not start this yourself, nothing else is to be done.
        </Note>
      </GateLayout>
    );
  }
  const error = approve.error ?? deny.error;
  const busy = approve.isPending || deny.isPending;
  return (
    <GateLayout title="Let a device sign in as you?">
      <Code code={code} />
      <dl className="grid grid-cols-[auto_1fr] gap-x-5 gap-y-2">
        <dt className="text-ink3">You</dt>
        <dd className="min-w-0 break-words">{nameOf(me)}</dd>
        <dt className="text-ink3">It may</dt>
        <dd>do what you may do, for 7 days</dd>
      </dl>
      {error && <Failure error={error} title="Nothing was decided" />}
      <div className="grid grid-cols-2 gap-2">
        <Button size="large" working={deny.isPending} off={busy} onClick={() => deny.mutate()}>
          Deny
        </Button>
        <Button kind="primary" size="large" working={approve.isPending} off={busy} onClick={() => approve.mutate()}>
          Approve
        </Button>
      </div>
      <p className="text-note text-ink3">Approve only if the same code is on that device. A code lasts 10 minutes.</p>
    </GateLayout>
  );
}

function Code({ code }: { code: string }) {
  return (
    <p className="flex items-center gap-2">
      <span className="sr-only">{`Code ${[...code].join(" ")}`}</span>
      {[...code].map((letter, place) => (
        // oxlint-disable-next-line react/no-array-index-key -- letters repeat, their places do not change
        <span key={place} aria-hidden="true" className="contents">
          {place === 4 && <span className="text-ink3">–</span>}
          <span className="grid h-9.5 w-7.5 place-items-center rounded-control border border-line2 bg-raised font-mono text-[18px] font-medium">
            {letter}
          </span>
        </span>
      ))}
    </p>
  );
}
