/** The dialog that makes a key. */
import { useMutation, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useId, useState, type FormEvent } from "react";

import { api, body } from "@/api/client";
import { Button } from "@/components/Button";
import { Checkbox } from "@/components/Checkbox";
import { Dialog, DialogClose } from "@/components/Dialog";
import { Field, inputClass } from "@/components/Field";
import { Failure } from "@/components/Note";
import { inDays } from "@/components/time";
import { meQuery } from "@/features/session/session";

import { keysQuery, type NewApiKey, type WantedKey } from "./keys";

const LIVES = [
  { days: 30, word: "in 30 days" },
  { days: 90, word: "in 90 days" },
  { days: 365, word: "in a year" },
  { days: undefined, word: "never" },
] as const;

export function NewKey({ onMade }: { onMade: (made: NewApiKey) => void }) {
  const [open, setOpen] = useState(false);
  return (
    <Dialog
      open={open}
      onOpenChange={setOpen}
      trigger={
        <Button kind="primary">
          <Plus size={16} strokeWidth={1.6} aria-hidden />
          New key…
        </Button>
      }
      title="New API key"
      description="It is shown once. Whoever has it acts as you."
      actions={
        <>
          <DialogClose render={<Button kind="quiet">Cancel</Button>} />
          <Button kind="primary" type="submit" form="new-key">
            Make the key
          </Button>
        </>
      }
    >
      <KeyForm
        onMade={(made) => {
          setOpen(false);
          onMade(made);
        }}
      />
    </Dialog>
  );
}

function KeyForm({ onMade }: { onMade: (made: NewApiKey) => void }) {
  const { data: me } = useSuspenseQuery(meQuery);
  const queries = useQueryClient();
  const [missing, setMissing] = useState(false);
  const [operator, setOperator] = useState(false);
  const ends = useId();
  const make = useMutation({
    mutationFn: (wanted: WantedKey) =>
      body(
        api.POST("/api/keys", {
          body: {
            name: wanted.name,
            expires_at: wanted.days === undefined ? null : inDays(wanted.days).toISOString(),
            ...(wanted.operator && { scopes: ["operator"] }),
          },
        }),
      ),
    onSuccess: async (made) => {
      await queries.invalidateQueries({ queryKey: keysQuery.queryKey });
      onMade(made);
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const name = String(form.get("name")).trim();
    setMissing(!name);
    if (name && !make.isPending) {
      make.mutate({ name, days: LIVES[Number(form.get("life"))]?.days, operator });
    }
  };
  return (
    <form id="new-key" onSubmit={submit} noValidate className="grid gap-4">
      <Field
        label="Name"
        name="name"
        placeholder="laptop"
        autoComplete="off"
        error={missing ? "Give it a name that tells you later what it is for." : undefined}
      />
      <div className="grid gap-1.5">
        <label htmlFor={ends} className="font-medium">
          Ends
        </label>
        <select id={ends} name="life" defaultValue={1} className={inputClass}>
          {LIVES.map(({ word }, place) => (
            <option key={word} value={place}>
              {word}
            </option>
          ))}
        </select>
      </div>
      {me.operator && (
        <Checkbox checked={operator} onChange={setOperator}>
          May run this host (scope <code className="font-mono text-mono">operator</code>)
        </Checkbox>
      )}
      {make.error && <Failure error={make.error} title="No key was made" />}
    </form>
  );
}
