/** The keys as a table; on phones as rows of two lines. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { clsx } from "clsx";
import { Trash2 } from "lucide-react";
import { useState } from "react";

import { api } from "@/api/client";
import { Button } from "@/components/Button";
import { Dialog, DialogClose } from "@/components/Dialog";
import { Failure } from "@/components/Note";
import { ago, day, isSoon, readTime } from "@/components/time";
import { useToast } from "@/components/Toasts";

import { keysQuery, mayOf, type ApiKey } from "./keys";

const HEAD = "px-2 py-1.5 text-left text-note font-normal text-ink3 first:pl-4 rail:first:pl-5";
const CELL = "px-2 py-1 first:pl-4 rail:first:pl-5";

export function KeyTable({ keys }: { keys: ApiKey[] }) {
  return (
    <table className="w-full border-collapse">
      <thead className="max-rail:sr-only">
        <tr className="border-b border-line">
          <th scope="col" className={HEAD}>
            Name
          </th>
          <th scope="col" className={HEAD}>
            Key
          </th>
          <th scope="col" className={HEAD}>
            May
          </th>
          <th scope="col" className={HEAD}>
            Made
          </th>
          <th scope="col" className={HEAD}>
            Used
          </th>
          <th scope="col" className={HEAD}>
            Ends
          </th>
          <th scope="col" className={HEAD}>
            <span className="sr-only">Delete</span>
          </th>
        </tr>
      </thead>
      <tbody className="max-rail:border-t max-rail:border-line">
        {keys.map((key) => (
          <Row key={key.id} entry={key} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ entry }: { entry: ApiKey }) {
  const used = entry.last_used_at ? ago(readTime(entry.last_used_at)) : "never";
  const ended = entry.expires_at ? isSoon(readTime(entry.expires_at), 0) : false;
  return (
    <tr className={clsx("h-8 border-b border-line", ended && "text-ink3")}>
      <td className={clsx(CELL, "font-medium break-words")}>
        {entry.name ?? "without a name"}
        <span className="block text-note font-normal text-ink3 rail:hidden">
          <span className="font-mono">{entry.prefix}…</span> {mayOf(entry)}, used {used}
        </span>
      </td>
      <td className={clsx(CELL, "font-mono text-mono text-ink3 max-rail:hidden")}>{entry.prefix}…</td>
      <td className={clsx(CELL, "max-rail:hidden")}>{mayOf(entry)}</td>
      <td className={clsx(CELL, "whitespace-nowrap text-ink3 max-rail:hidden")}>
        {entry.created_at && ago(readTime(entry.created_at))}
      </td>
      <td className={clsx(CELL, "whitespace-nowrap text-ink3 max-rail:hidden")}>{used}</td>
      <td className={clsx(CELL, "whitespace-nowrap")}>
        <Ends at={entry.expires_at} />
      </td>
      <td className={clsx(CELL, "w-0 pr-4 text-right rail:pr-5")}>
        <Delete entry={entry} />
      </td>
    </tr>
  );
}

function Ends({ at }: { at: string | null | undefined }) {
  const time = at ? readTime(at) : undefined;
  if (time && isSoon(time, 0)) {
    return <span>ended {day(time)}</span>;
  }
  return (
    <span className={!time || isSoon(time, 7) ? "text-warn" : undefined}>
      {/* Where the column has no visible head. */}
      <span aria-hidden="true" className="rail:hidden">
        ends{" "}
      </span>
      {time ? day(time) : "never"}
    </span>
  );
}

function Delete({ entry }: { entry: ApiKey }) {
  const [open, setOpen] = useState(false);
  const queries = useQueryClient();
  const toast = useToast();
  const name = entry.name ?? "the key without a name";
  const remove = useMutation({
    mutationFn: () => api.DELETE("/api/keys/{key_id}", { params: { path: { key_id: entry.id } } }),
    onSuccess: async () => {
      setOpen(false);
      toast(`${name} is deleted`, "cannot be undone");
      await queries.invalidateQueries({ queryKey: keysQuery.queryKey });
    },
  });
  return (
    <Dialog
      open={open}
      onOpenChange={setOpen}
      trigger={
        <Button kind="quiet" size="small" aria-label={`Delete ${name}…`} className="max-rail:w-11">
          <Trash2 size={16} strokeWidth={1.6} aria-hidden />
        </Button>
      }
      title={`Delete ${name}?`}
      description="What uses it is refused from now on. This cannot be undone."
      actions={
        <>
          <DialogClose render={<Button kind="quiet">Keep it</Button>} />
          <Button kind="destructive" working={remove.isPending} onClick={() => remove.mutate()}>
            Delete the key
          </Button>
        </>
      }
    >
      {remove.error && <Failure error={remove.error} title="The key was not deleted" />}
    </Dialog>
  );
}
